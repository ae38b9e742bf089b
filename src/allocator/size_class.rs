//! The sizes that the allocator sets aside.

/// jemalloc's greatest small size class. What is larger takes whole pages.
pub const SMALL_MAX: usize = 14 << 10;

const PAGE: usize = 4 << 10;

/// The bytes that the allocator sets aside for an allocation of `size` bytes: jemalloc's size classes,
/// which are 8, the multiples of 16 up to 128, then four for each doubling, and whole pages.
#[inline]
pub const fn size_class(size: usize) -> usize {
    if size <= 8 {
        return 8;
    }
    if size > SMALL_MAX {
        return round_up(size, PAGE);
    }
    let doubling = usize::BITS - (size - 1).leading_zeros();
    round_up(size, if doubling <= 7 { 16 } else { 1 << (doubling - 3) })
}

/// The next multiple of a power of two: this is done for every allocation, and a division takes longer
/// than the rest of the count.
#[inline]
pub(super) const fn round_up(size: usize, to: usize) -> usize {
    (size + to - 1) & !(to - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_jemallocs() {
        for (size, class) in [
            (1, 8),
            (8, 8),
            (9, 16),
            (17, 32),
            (65, 80),
            (113, 128),
            (128, 128),
            (129, 160),
            (225, 256),
            (257, 320),
            (4096, 4096),
            (4097, 5120),
            (14_336, 14_336),
            (14_337, 16_384),
            (16_385, 20_480),
            (100_000, 102_400),
            ((1 << 20) + 1, (1 << 20) + 4096),
        ] {
            assert_eq!(size_class(size), class, "{size}");
        }
    }
}
