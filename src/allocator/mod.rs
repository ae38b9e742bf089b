//! The program's allocator: jemalloc, and an exact count of the bytes that are allocated.
//!
//! The count decides whether there is room for a command, so it must be true at any moment and cost
//! next to nothing: every thread adds to a counter of its own, and a reader adds them up.

mod huge;
mod size_class;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use tikv_jemalloc_ctl::stats_print::{Options, stats_print};

use huge::HugePages;
use size_class::round_up;
pub use size_class::{SMALL_MAX, size_class};

/// jemalloc, counted. To be used as the global allocator.
pub struct Counted;

/// Threads that have a counter of their own; further ones share one.
const THREADS: usize = 128;

/// Bytes that each thread has allocated, less those that it has freed. One thread may free the memory of
/// another, so a single counter may well be negative.
static COUNTERS: [CachePadded<AtomicI64>; THREADS] =
    [const { CachePadded::new(AtomicI64::new(0)) }; THREADS];

static SHARED: CachePadded<AtomicI64> = CachePadded::new(AtomicI64::new(0));

/// Threads that have a counter.
static CLAIMED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The thread's own counter. Neither the cell nor its destruction allocates.
    static OWN: Cell<Option<&'static AtomicI64>> = const { Cell::new(None) };
}

/// Bytes that the program has allocated, in the sizes that the allocator sets aside for them. 0 if
/// [`Counted`] is not the program's allocator.
pub fn allocated() -> usize {
    let threads = CLAIMED.load(Ordering::Relaxed).min(THREADS);
    let own: i64 = COUNTERS[..threads].iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
    usize::try_from(own + SHARED.load(Ordering::Relaxed)).unwrap_or(0)
}

/// One thread's part of [`allocated`]: how it changes tells how much the thread has allocated or
/// freed.
#[derive(Clone, Copy)]
pub struct ThreadCount(&'static AtomicI64);

impl ThreadCount {
    /// The count of the calling thread.
    #[inline]
    pub fn own() -> Self {
        ThreadCount(own())
    }

    #[inline]
    pub fn get(self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[inline]
fn own() -> &'static AtomicI64 {
    OWN.get().unwrap_or_else(claim)
}

/// Gives the thread a counter of its own, if there is one left. It stays when the thread ends: what
/// the thread has allocated may live on.
#[cold]
fn claim() -> &'static AtomicI64 {
    let Some(counter) = COUNTERS.get(CLAIMED.fetch_add(1, Ordering::Relaxed)) else {
        return &SHARED;
    };
    OWN.set(Some(counter));
    counter
}

#[inline]
fn count(change: i64) {
    match OWN.get() {
        // Nobody else adds to it, so no atomic addition is needed, which would cost more than all else.
        Some(own) => own.store(own.load(Ordering::Relaxed) + change, Ordering::Relaxed),
        None => _ = claim().fetch_add(change, Ordering::Relaxed),
    }
}

/// The bytes set aside for an allocation. jemalloc makes small ones of a greater alignment by making
/// them a multiple of it.
#[inline]
fn set_aside(size: usize, align: usize) -> i64 {
    size_class(round_up(size, align)) as i64
}

/// The allocator's own report, for people.
pub fn report() -> String {
    let mut text = Vec::new();
    // A vector takes all that is written to it.
    let _ = stats_print(&mut text, Options::default());
    String::from_utf8_lossy(&text).into_owned()
}

/// Gives pages back to the system that nothing is in.
pub fn purge() {
    // The arena that stands for all.
    let name = c"arena.4096.purge";
    let nothing = std::ptr::null_mut();
    // SAFETY: the name ends with a zero byte; this control neither reads nor writes a value. Where it
    // fails nothing happens.
    unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), nothing, nothing.cast(), nothing, 0) };
}

// SAFETY: all calls are passed on as they are.
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let pointer = unsafe { HugePages.alloc(layout) };
        if !pointer.is_null() {
            count(set_aside(layout.size(), layout.align()));
        }
        pointer
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let pointer = unsafe { HugePages.alloc_zeroed(layout) };
        if !pointer.is_null() {
            count(set_aside(layout.size(), layout.align()));
        }
        pointer
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { HugePages.dealloc(pointer, layout) };
        count(-set_aside(layout.size(), layout.align()));
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { HugePages.realloc(pointer, layout, size) };
        if !moved.is_null() {
            let (from, align) = (layout.size(), layout.align());
            count(set_aside(size, align) - set_aside(from, align));
        }
        moved
    }
}
