//! The count of allocated bytes, compared with jemalloc's size of each allocation.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use verbena::allocator::{Counted, ThreadCount, allocated, size_class};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Bytes that jemalloc has set aside for an allocation.
fn usable(pointer: *mut u8) -> i64 {
    // SAFETY: the pointer is of an allocation that lives.
    unsafe { tikv_jemallocator::usable_size(pointer) as i64 }
}

#[test]
fn every_allocation_is_counted_as_large_as_it_is() {
    let _alone = alone();
    let count = ThreadCount::own();
    let start = count.get();
    let mut live = 0;
    let mut pointers = Vec::with_capacity(25_000);
    let own = count.get() - start;
    for size in (1..5000).chain((5000..50_000).step_by(97)).chain([1 << 20, 3_000_001]) {
        for align in [1, 8, 16, 64] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the size is not 0.
            let pointer =
                unsafe { if size % 2 == 0 { alloc(layout) } else { alloc_zeroed(layout) } };
            live += usable(pointer);
            if align <= 16 {
                assert_eq!(usable(pointer), size_class(size.next_multiple_of(align)) as i64);
            }
            pointers.push((pointer, layout));
        }
    }
    assert_eq!(count.get() - start - own, live);
    for (index, (pointer, layout)) in pointers.iter_mut().enumerate() {
        let size = layout.size() * 3 / (1 + index % 4) + 1;
        live -= usable(*pointer);
        // SAFETY: the allocation has this layout, and the new size is not 0.
        *pointer = unsafe { realloc(*pointer, *layout, size) };
        *layout = Layout::from_size_align(size, layout.align()).unwrap();
        live += usable(*pointer);
    }
    assert_eq!(count.get() - start - own, live);
    for (pointer, layout) in pointers.drain(..) {
        // SAFETY: the allocation has this layout and is not used any more.
        unsafe { dealloc(pointer, layout) };
    }
    drop(pointers);
    assert_eq!(count.get(), start);
}

/// The tests of this file read the same counter, so they run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn memory_freed_by_another_thread_is_counted() {
    const SIZE: usize = 8 << 20;
    let _alone = alone();
    let before = allocated();
    let blocks: Vec<Vec<u8>> =
        (0..8).map(|_| thread::spawn(|| vec![1; SIZE]).join().unwrap()).collect();
    let grown = allocated() - before;
    assert!((8 * SIZE..8 * SIZE + SIZE / 2).contains(&grown), "{grown}");
    let freeing = thread::spawn(move || {
        let before = ThreadCount::own().get();
        drop(blocks);
        before - ThreadCount::own().get()
    });
    assert!(freeing.join().unwrap() >= 8 * SIZE as i64);
    assert!(allocated() < before + SIZE / 2);
}

#[test]
fn threads_beyond_those_with_a_counter_are_counted_too() {
    let _alone = alone();
    let before = allocated();
    let blocks: Vec<Vec<u8>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..300).map(|_| scope.spawn(|| Vec::with_capacity(1 << 20))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(allocated() >= before + (250 << 20));
    drop(blocks);
    assert!(allocated() < before + (200 << 20));
}
