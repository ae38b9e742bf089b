//! The sizes that the allocator sets aside.

/// The bytes that the allocator sets aside for an allocation of `size` bytes: jemalloc's size classes,
/// which are 8, the multiples of 16 up to 128, and then four for each doubling.
#[inline]
pub const fn size_class(size: usize) -> usize {
    if size <= 8 {
        return 8;
    }
    let doubling = usize::BITS - (size - 1).leading_zeros();
    let spacing = if doubling <= 7 { 16 } else { 1 << (doubling - 3) };
    size.next_multiple_of(spacing)
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
            (16_385, 20_480),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, 1_310_720),
        ] {
            assert_eq!(size_class(size), class, "{size}");
        }
    }
}
