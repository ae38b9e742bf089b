//! The calls in progress of a thread: addresses first, names later.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use rustix::thread::gettid;

/// Calls of one thread that are kept, from the innermost one on.
const DEPTH: usize = 64;

/// Threads whose calls are kept: all workers, and as many others as there can be.
const THREADS: usize = 320;

/// The calls of one thread.
pub struct Stack {
    /// The thread's id; 0 if the place is free.
    thread: AtomicI32,
    is_complete: AtomicBool,
    len: AtomicUsize,
    frames: [AtomicUsize; DEPTH],
}

static STACKS: [Stack; THREADS] = [const {
    Stack {
        thread: AtomicI32::new(0),
        is_complete: AtomicBool::new(false),
        len: AtomicUsize::new(0),
        frames: [const { AtomicUsize::new(0) }; DEPTH],
    }
}; THREADS];

/// The calling thread's id.
pub fn thread() -> i32 {
    gettid().as_raw_nonzero().get()
}

/// A place for the calls of a thread, if there is one left.
pub fn place(thread: i32) -> Option<&'static Stack> {
    STACKS.iter().find(|stack| {
        let taken = stack.thread.compare_exchange(0, thread, Ordering::AcqRel, Ordering::Relaxed);
        taken.is_ok()
    })
}

/// The place of a thread's calls, if it has one.
pub fn of(thread: i32) -> Option<&'static Stack> {
    STACKS.iter().find(|stack| stack.thread() == thread)
}

/// The place that another thread wants the calling thread's calls in.
pub fn wanted() -> Option<&'static Stack> {
    of(thread()).filter(|stack| !stack.is_complete())
}

/// The calls of the calling thread: all, or from the one on that was interrupted at an address.
pub fn own(interrupted: Option<usize>) -> Option<&'static Stack> {
    let stack = place(thread())?;
    stack.collect(interrupted);
    Some(stack)
}

/// Frees all places.
pub fn clear() {
    for stack in &STACKS {
        stack.is_complete.store(false, Ordering::Relaxed);
        stack.len.store(0, Ordering::Relaxed);
        stack.thread.store(0, Ordering::Release);
    }
}

impl Stack {
    pub fn thread(&self) -> i32 {
        self.thread.load(Ordering::Acquire)
    }

    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Addresses of instructions, from the innermost call on.
    pub fn frames(&self) -> impl Iterator<Item = usize> {
        let len = self.len.load(Ordering::Relaxed);
        self.frames[..len].iter().map(|frame| frame.load(Ordering::Relaxed))
    }

    /// Takes the calling thread's calls. Works in a signal's handler.
    pub fn collect(&self, interrupted: Option<usize>) {
        let mut len = 0;
        let mut note = |frame: &backtrace::Frame| {
            let address = frame.ip() as usize;
            if Some(address) == interrupted {
                // Until here it was the handler.
                len = 0;
            }
            if len == DEPTH || address == 0 {
                return false;
            }
            self.frames[len].store(address, Ordering::Relaxed);
            len += 1;
            true
        };
        // SAFETY: the lock that this leaves out guards the resolution of names, which is not asked for here;
        // walking the calls changes nothing that threads share.
        unsafe { backtrace::trace_unsynchronized(&mut note) };
        self.len.store(len, Ordering::Relaxed);
        self.is_complete.store(true, Ordering::Release);
    }
}
