//! The expiry options of SET, GETEX, MSETEX, HSETEX and HGETEX, and the times in SETEX and PSETEX.

use crate::command::{CommandError, Cx, Result, rewrite};
use crate::keyspace::Key;
use crate::number::parse_i64;

/// Option words that give an expiry, and how they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Milliseconds of one unit.
    milliseconds: i64,
    /// From the Unix epoch, not from now.
    absolute: bool,
}

impl Unit {
    pub const EX: Unit = Unit { milliseconds: 1000, absolute: false };
    pub const PX: Unit = Unit { milliseconds: 1, absolute: false };
    pub const EXAT: Unit = Unit { milliseconds: 1000, absolute: true };
    pub const PXAT: Unit = Unit { milliseconds: 1, absolute: true };

    /// The unit that an option word names.
    pub fn named(word: &[u8]) -> Option<Unit> {
        let units =
            [("ex", Unit::EX), ("px", Unit::PX), ("exat", Unit::EXAT), ("pxat", Unit::PXAT)];
        units
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, unit)| unit)
    }

    /// The time that `amount` means, in milliseconds of Unix time; no amount may be less than 1.
    /// `command` is named in the error.
    pub fn time(self, amount: &[u8], now: i64, command: &str) -> Result<i64> {
        self.time_from(1, amount, now, command)
    }

    fn time_from(self, least: i64, amount: &[u8], now: i64, command: &str) -> Result<i64> {
        let amount = parse_i64(amount).ok_or(CommandError::NOT_INTEGER)?;
        let base = if self.absolute { 0 } else { now };
        Some(amount)
            .filter(|amount| *amount >= least)
            .and_then(|amount| amount.checked_mul(self.milliseconds))
            .and_then(|amount| amount.checked_add(base))
            .ok_or_else(|| format!("ERR invalid expire time in '{command}' command").into())
    }
}

/// What a command says about its keys' expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry<'a> {
    #[default]
    Unsaid,
    Keep,
    Persist,
    At(Unit, &'a [u8]),
}

impl<'a> Expiry<'a> {
    /// Takes another option word, of those that `allowed` permits beside the four units; `amount` is
    /// the argument after it. Says how many arguments were taken.
    ///
    /// The same word may come again, and its last amount counts; two different ones contradict each
    /// other.
    pub fn take(
        &mut self,
        word: &[u8],
        amount: Option<&'a [u8]>,
        allowed: Expiry<'_>,
    ) -> Result<usize> {
        if let Some(unit) = Unit::named(word) {
            let amount = amount.ok_or(CommandError::SYNTAX)?;
            match *self {
                Expiry::Unsaid => {}
                Expiry::At(before, _) if before == unit => {}
                _ => return Err(CommandError::SYNTAX),
            }
            *self = Expiry::At(unit, amount);
            return Ok(2);
        }
        let said = match allowed {
            Expiry::Keep if word.eq_ignore_ascii_case(b"keepttl") => Expiry::Keep,
            Expiry::Persist if word.eq_ignore_ascii_case(b"persist") => Expiry::Persist,
            _ => return Err(CommandError::SYNTAX),
        };
        if *self != Expiry::Unsaid && *self != said {
            return Err(CommandError::SYNTAX);
        }
        *self = said;
        Ok(1)
    }

    /// The time that was given, if one was, in milliseconds of Unix time.
    pub fn time(self, now: i64, command: &str) -> Result<Option<i64>> {
        match self {
            Expiry::At(unit, amount) => unit.time(amount, now, command).map(Some),
            _ => Ok(None),
        }
    }

    /// As [`time`](Self::time), for a command that takes an amount of 0.
    pub fn time_or_now(self, now: i64, command: &str) -> Result<Option<i64>> {
        match self {
            Expiry::At(unit, amount) => unit.time_from(0, amount, now, command).map(Some),
            _ => Ok(None),
        }
    }
}

/// Removes a key whose expiry was set to a time that has passed.
pub fn expire_now(cx: &mut Cx<'_>, key: &Key<'_>) {
    if cx.remove(key).is_some() {
        cx.stats.expired_keys.add(1);
        cx.changed("expired", key);
        rewrite::unlink(cx, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_positive_and_does_not_overflow() {
        let now = 1_000_000;
        let time = |unit: Unit, amount: &str| unit.time(amount.as_bytes(), now, "set").ok();
        assert_eq!(time(Unit::EX, "10"), Some(1_010_000));
        assert_eq!(time(Unit::PXAT, "1"), Some(1));
        assert_eq!(time(Unit::PXAT, "9223372036854775807"), Some(i64::MAX));
        assert_eq!(time(Unit::EXAT, "9223372036854775"), Some(9_223_372_036_854_775_000));
        for (unit, amount) in [
            (Unit::EX, "0"),
            (Unit::PXAT, "-1"),
            (Unit::EXAT, "9223372036854776"),
            (Unit::EX, "9223372036854775"),
            (Unit::PX, "9223372036854775807"),
        ] {
            let error = unit.time(amount.as_bytes(), now, "set").unwrap_err();
            assert_eq!(error.to_string(), "ERR invalid expire time in 'set' command");
        }
        assert_eq!(Unit::EX.time(b"1.5", now, "set"), Err(CommandError::NOT_INTEGER));
    }

    #[test]
    fn options_may_repeat_but_not_contradict() {
        let take = |words: &[&'static str]| {
            let mut expiry = Expiry::Unsaid;
            for word in words {
                expiry.take(word.as_bytes(), Some(b"1"), Expiry::Keep)?;
            }
            Ok::<_, CommandError>(expiry)
        };
        assert_eq!(take(&["EX", "ex"]), Ok(Expiry::At(Unit::EX, b"1")));
        assert_eq!(take(&["keepttl", "KEEPTTL"]), Ok(Expiry::Keep));
        for words in [["ex", "px"], ["ex", "keepttl"], ["keepttl", "exat"], ["persist", "ex"]] {
            assert_eq!(take(&words), Err(CommandError::SYNTAX), "{words:?}");
        }
        assert_eq!(Expiry::Unsaid.take(b"ex", None, Expiry::Keep), Err(CommandError::SYNTAX));
    }
}
