//! A growing array for native functions: its memory is Lua's, so it is counted, limited, and collected after an error.

use std::mem::{MaybeUninit, size_of};
use std::ptr;

use super::Stack;

/// Elements of which the first `N` are in the frame of the function itself. It has a slot of the stack, which is the first free one
/// when it is made.
pub struct Pile<T: Copy, const N: usize> {
    stack: Stack,
    slot: i32,
    len: usize,
    capacity: usize,
    block: *mut T,
    first: [MaybeUninit<T>; N],
}

impl<T: Copy, const N: usize> Pile<T, N> {
    pub fn new(stack: Stack) -> Self {
        stack.push_nil();
        Pile {
            stack,
            slot: stack.top(),
            len: 0,
            capacity: N,
            block: ptr::null_mut(),
            first: [MaybeUninit::uninit(); N],
        }
    }

    fn start(&self) -> *const T {
        if self.block.is_null() { self.first.as_ptr().cast() } else { self.block }
    }

    fn start_mut(&mut self) -> *mut T {
        if self.block.is_null() { self.first.as_mut_ptr().cast() } else { self.block }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `len` elements have been written there.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Raises where memory runs out.
    pub fn push(&mut self, element: T) {
        self.reserve(1);
        // SAFETY: there is room for one more.
        unsafe { self.start_mut().add(self.len).write(element) };
        self.len += 1;
    }

    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the element was written.
        Some(unsafe { self.start().add(self.len).read() })
    }

    /// Raises where memory runs out.
    pub fn extend(&mut self, elements: &[T]) {
        self.reserve(elements.len());
        // SAFETY: there is room for them, and Lua's strings do not overlap it.
        unsafe {
            ptr::copy_nonoverlapping(
                elements.as_ptr(),
                self.start_mut().add(self.len),
                elements.len(),
            );
        }
        self.len += elements.len();
    }

    fn reserve(&mut self, more: usize) {
        if self.capacity - self.len < more {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let capacity = (self.len + more).max(self.capacity * 2);
        let block: *mut T = self.stack.new_block(capacity * size_of::<T>()).cast();
        // SAFETY: the new block is longer than what is copied, and aligned for any type of Lua's own.
        unsafe { ptr::copy_nonoverlapping(self.start(), block, self.len) };
        self.stack.replace(self.slot);
        self.block = block;
        self.capacity = capacity;
    }
}

/// Text that is being made.
pub type Text = Pile<u8, 512>;

impl Text {
    /// Pushes the text as a string. Raises where memory runs out.
    pub fn push_string(&self) {
        self.stack.push_bytes(self.as_slice());
    }
}
