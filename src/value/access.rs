//! The use of an entry, in 24 bits: when it was last used, or how often.
//!
//! The eviction policy in force decides which of the two is kept. A time is in seconds. A frequency
//! is in the low 8 bits, as a logarithm: the greater it is, the less likely one more use increments
//! it. Above it, 16 bits hold the minute at which it was last lowered for lack of use. The numbers
//! are those of `lfu-log-factor`'s and `lfu-decay-time`'s documentation.

use crate::config::Settings;
use crate::random;

const BITS: u32 = 0x00ff_ffff;

/// The frequency of a new entry: high enough that it is not the first to be evicted.
const NEW: u8 = 5;

/// Seconds of Unix time (`now` is in milliseconds), as far as they fit.
pub fn clock(now: i64) -> u32 {
    (now / 1000) as u32 & BITS
}

fn minutes(now: i64) -> u16 {
    (now / 60_000) as u16
}

/// The access bits of a new entry.
#[inline]
pub fn first(settings: &Settings, now: i64) -> u32 {
    if settings.maxmemory_policy.is_lfu() { pack(minutes(now), NEW) } else { clock(now) }
}

/// The access bits after one more use.
#[inline]
pub fn again(settings: &Settings, now: i64, access: u32) -> u32 {
    if settings.maxmemory_policy.is_lfu() { count(settings, now, access) } else { clock(now) }
}

/// The access bits of an entry that was last used so many seconds ago.
pub fn unused(now: i64, idle: i64) -> u32 {
    clock(now).wrapping_sub(idle as u32) & BITS
}

/// The access bits of an entry with this frequency.
pub fn used(now: i64, frequency: u8) -> u32 {
    pack(minutes(now), frequency)
}

/// Seconds since the last use.
pub fn idle(now: i64, access: u32) -> u32 {
    clock(now).wrapping_sub(access) & BITS
}

/// The frequency as of now.
pub fn frequency(settings: &Settings, now: i64, access: u32) -> u8 {
    let (since, frequency) = ((access >> 8) as u16, access as u8);
    let elapsed = minutes(now).wrapping_sub(since);
    let lost = i32::from(elapsed).checked_div(settings.lfu_decay_time).unwrap_or(0);
    u8::try_from(i32::from(frequency) - lost).unwrap_or(0)
}

fn count(settings: &Settings, now: i64, access: u32) -> u32 {
    let frequency = frequency(settings, now, access);
    let factor = u64::try_from(settings.lfu_log_factor).unwrap_or(0);
    let odds = u64::from(frequency.saturating_sub(NEW)) * factor + 1;
    pack(minutes(now), frequency.saturating_add((random::below(odds) == 0).into()))
}

fn pack(minutes: u16, frequency: u8) -> u32 {
    u32::from(minutes) << 8 | u32::from(frequency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaxmemoryPolicy;

    fn lfu() -> Settings {
        Settings { maxmemory_policy: MaxmemoryPolicy::AllkeysLfu, ..Settings::default() }
    }

    #[test]
    fn a_time_of_use_is_in_seconds_and_wraps() {
        let settings = Settings::default();
        let now = 1_700_000_000_000;
        let access = first(&settings, now);
        assert_eq!(idle(now + 5_999, access), 5);
        assert_eq!(idle(now + (1 << 24) * 1000 + 3_000, access), 3);
        assert_eq!(idle(now + 9_000, again(&settings, now + 7_000, access)), 2);
    }

    /// The table in the documentation of `lfu-log-factor`: hits and the frequency after them.
    #[test]
    fn a_frequency_grows_with_the_logarithm_of_the_uses() {
        let now = 1_700_000_000_000;
        for (factor, uses, expected) in
            [(0, 100, 100..=110), (1, 100, 12..=24), (10, 100, 7..=14), (10, 1000, 14..=24)]
        {
            let settings = Settings { lfu_log_factor: factor, ..lfu() };
            let mut sum = 0;
            for _ in 0..20 {
                let mut access = first(&settings, now);
                assert_eq!(frequency(&settings, now, access), 5);
                (0..uses).for_each(|_| access = again(&settings, now, access));
                sum += u32::from(frequency(&settings, now, access));
            }
            assert!(expected.contains(&(sum / 20)), "factor {factor}, {uses} uses: {}", sum / 20);
        }
        let settings = Settings { lfu_log_factor: 0, ..lfu() };
        let mut access = first(&settings, now);
        (0..1000).for_each(|_| access = again(&settings, now, access));
        assert_eq!(frequency(&settings, now, access), 255);
    }

    #[test]
    fn a_frequency_falls_by_one_each_decay_time() {
        let now = 1_700_000_000_000 / 60_000 * 60_000;
        let access = pack(minutes(now), 9);
        for (decay, minutes, expected) in
            [(1, 0, 9), (1, 4, 5), (1, 9, 0), (1, 60_000, 0), (3, 5, 8), (0, 500, 9)]
        {
            let settings = Settings { lfu_decay_time: decay, ..lfu() };
            assert_eq!(frequency(&settings, now + minutes * 60_000, access), expected);
        }
    }
}
