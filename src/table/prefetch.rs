//! Loading memory into the cache while the processor does something else.

/// Asks for the cache line of `target`. A hint: it changes nothing, and any address is allowed.
#[inline]
pub fn prefetch<T: ?Sized>(target: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch accesses nothing as far as the program can tell, faults on no address, and
    // the instruction is part of every x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(target.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}
