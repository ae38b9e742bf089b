//! Long runs of bytes in huge pages.
//!
//! A processor that walks through a string of 16 MiB has 4096 page table entries to look up, and fetches
//! nothing ahead across the pages' borders. In pages of 2 MiB, bits are counted and combined up to a
//! quarter faster, and the system hands the memory out with one fault in place of 512: a SET of 16 MiB
//! takes 37 ms in place of 62.
//!
//! Only long runs of bytes are laid out so, which are read and written from end to end: a table is
//! filled here and there, and what is short would leave much of its pages unused.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use tikv_jemalloc_sys::{MALLOCX_ALIGN, nallocx, xallocx};
use tikv_jemallocator::Jemalloc;

/// Bytes of a huge page. Where the system's are of another size, its advice helps less.
const PAGE: usize = 2 << 20;

/// The least bytes of an allocation in huge pages.
const FROM: usize = 4 << 20;

/// Where in its first page a string begins: not at the start. The reply to GET has a header before the
/// string, which puts the copy that the system sends a few bytes further into a page than the string is,
/// and so copying takes twice as long (seen on Zen 4; any other place will do).
const OFFSET: usize = 64;

/// More bytes than any machine has, so that a size can be rounded up to pages.
const LIMIT: usize = isize::MAX as usize - PAGE - OFFSET;

/// jemalloc, with long runs of bytes in huge pages.
pub(super) struct Paged;

/// Whether the allocation is for huge pages. That it is for bytes is told by its alignment.
#[inline]
fn suits(size: usize, align: usize) -> bool {
    align == 1 && (FROM..LIMIT).contains(&size)
}

// SAFETY: calls are passed on as they are, or with the layout that `outer` makes of theirs: which, the
// layout alone decides, so memory is freed as it was allocated.
unsafe impl GlobalAlloc for Paged {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe {
            if suits(layout.size(), layout.align()) {
                alloc(layout)
            } else {
                Jemalloc.alloc(layout)
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if suits(layout.size(), layout.align()) {
                alloc_zeroed(layout)
            } else {
                Jemalloc.alloc_zeroed(layout)
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            if suits(layout.size(), layout.align()) {
                dealloc(pointer, layout);
            } else {
                Jemalloc.dealloc(pointer, layout);
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if suits(layout.size().max(size), layout.align()) {
                realloc(pointer, layout, size)
            } else {
                Jemalloc.realloc(pointer, layout, size)
            }
        }
    }
}

/// Allocates. The bytes begin [`OFFSET`] behind a huge page's start.
///
/// # Safety
/// As [`GlobalAlloc::alloc`], and the layout [`suits`].
#[cold]
unsafe fn alloc(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promises are passed on.
    let start = unsafe { Jemalloc.alloc(outer(layout)) };
    advised(start, 0, layout.size())
}

/// Allocates zeros.
///
/// # Safety
/// As [`alloc`].
#[cold]
unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: as above.
    let start = unsafe { Jemalloc.alloc_zeroed(outer(layout)) };
    advised(start, 0, layout.size())
}

/// Frees what [`alloc`], [`alloc_zeroed`] or [`realloc`] made.
///
/// # Safety
/// As [`GlobalAlloc::dealloc`], and the layout [`suits`].
#[cold]
unsafe fn dealloc(pointer: *mut u8, layout: Layout) {
    let start = pointer.wrapping_sub(OFFSET);
    // What takes the memory next need not be long.
    advise(start, outer(layout).size(), libc::MADV_NOHUGEPAGE);
    // SAFETY: this is what was allocated; else as above.
    unsafe { Jemalloc.dealloc(start, outer(layout)) }
}

/// Changes the size, where it is or elsewhere.
///
/// # Safety
/// As [`GlobalAlloc::realloc`], and the layout [`suits`], or does with the new size.
#[cold]
unsafe fn realloc(pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    let old = layout.size();
    let (was, is) = (suits(old, layout.align()), suits(size, layout.align()));
    // SAFETY: the caller promises that the new size makes a layout, and that the memory was allocated
    // with the old one, so in huge pages if that suits. Old and new memory are two allocations, each at
    // least as long as what is copied.
    unsafe {
        let new = Layout::from_size_align_unchecked(size, layout.align());
        if was && is {
            let start = pointer.wrapping_sub(OFFSET);
            let (flags, wanted) = (MALLOCX_ALIGN(PAGE), outer(new).size());
            if xallocx(start.cast(), wanted, 0, flags) == nallocx(wanted, flags) {
                return advised(start, old / PAGE * PAGE, size);
            }
        }
        let moved = Paged.alloc(new);
        if !moved.is_null() {
            ptr::copy_nonoverlapping(pointer, moved, old.min(size));
            Paged.dealloc(pointer, layout);
        }
        moved
    }
}

/// The layout with which jemalloc is asked for the memory.
fn outer(layout: Layout) -> Layout {
    // SAFETY: the alignment is a power of two, and the size below the limit.
    unsafe { Layout::from_size_align_unchecked(layout.size() + OFFSET, PAGE) }
}

/// Asks for huge pages for an allocation of `size` bytes, from a page on that begins at the offset
/// `from`, and gives the place of the bytes. Null stays null.
fn advised(start: *mut u8, from: usize, size: usize) -> *mut u8 {
    if start.is_null() {
        return start;
    }
    advise(start.wrapping_add(from), (OFFSET + size).saturating_sub(from), libc::MADV_HUGEPAGE);
    start.wrapping_add(OFFSET)
}

/// Advises the system about the whole huge pages of memory that begins with one.
fn advise(start: *mut u8, size: usize, advice: libc::c_int) {
    // SAFETY: the range is allocated, and this advice changes nothing of what is in it. A system without
    // huge pages refuses, and nothing is lost.
    unsafe { libc::madvise(start.cast(), size / PAGE * PAGE, advice) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 1).unwrap()
    }

    #[test]
    fn what_is_written_stays_whatever_becomes_of_the_size() {
        const MIB: usize = 1 << 20;
        let sizes = [1, MIB, FROM - 1, FROM, FROM + 1, 5 * MIB, 16 * MIB + 3, 64 * MIB];
        for from in sizes {
            for to in sizes {
                // SAFETY: what is written and read lies inside the allocation, which is freed once with
                // the size that it has then.
                unsafe {
                    let mut pointer = Paged.alloc_zeroed(layout(from));
                    assert_eq!(pointer.add(from - 1).read(), 0);
                    pointer.write(1);
                    let last = from.min(to) - 1;
                    pointer.add(last).write(7);
                    pointer = Paged.realloc(pointer, layout(from), to);
                    assert_eq!(pointer.add(last).read(), 7, "{from} to {to}");
                    assert!(last == 0 || pointer.read() == 1, "{from} to {to}");
                    assert!(to < FROM || pointer.addr() % PAGE == OFFSET, "{from} to {to}");
                    pointer.add(to - 1).write(9);
                    Paged.dealloc(pointer, layout(to));
                }
            }
        }
    }
}
