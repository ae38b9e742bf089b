//! Commands on keys' expiry: EXPIRE and its kin, TTL and its kin, PERSIST.

use super::{Categories, Command, CommandError, Cx, Flags, KeyFlags, KeySpec, Result, rewrite};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

const CHANGED: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const ASKED_FOR: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];

const fn setter(name: &'static str, run: super::Handler) -> Command {
    Command {
        name,
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: CHANGED,
        run,
        ..Command::DEFAULT
    }
}

const fn getter(name: &'static str, tips: &'static [&'static str], run: super::Handler) -> Command {
    Command {
        name,
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: ASKED_FOR,
        tips,
        run,
        ..Command::DEFAULT
    }
}

pub const COMMANDS: &[Command] = &[
    setter("expire", |cx, args, out| {
        let from = cx.now;
        expire(cx, args, out, "expire", SECOND, from)
    }),
    setter("pexpire", |cx, args, out| {
        let from = cx.now;
        expire(cx, args, out, "pexpire", 1, from)
    }),
    setter("expireat", |cx, args, out| expire(cx, args, out, "expireat", SECOND, 0)),
    setter("pexpireat", |cx, args, out| expire(cx, args, out, "pexpireat", 1, 0)),
    getter("ttl", &["nondeterministic_output"], |cx, _, out| tell(cx, out, SECOND, true)),
    getter("pttl", &["nondeterministic_output"], |cx, _, out| tell(cx, out, 1, true)),
    getter("expiretime", &[], |cx, _, out| tell(cx, out, SECOND, false)),
    getter("pexpiretime", &[], |cx, _, out| tell(cx, out, 1, false)),
    Command {
        name: "persist",
        arity: 2,
        flags: Flags::WRITE.union(Flags::FAST),
        acl: Categories::KEYSPACE,
        keys: CHANGED,
        run: persist,
        ..Command::DEFAULT
    },
];

/// In milliseconds.
pub(super) const SECOND: i64 = 1000;

/// On which condition an expiry is set.
#[derive(Clone, Copy, Default)]
pub(super) struct Condition {
    /// NX: there is none yet.
    absent: bool,
    /// XX: there is one.
    present: bool,
    /// GT: the new one is later; none at all is the latest.
    later: bool,
    /// LT: the new one is earlier.
    earlier: bool,
}

impl Condition {
    pub fn parse(options: Args<'_>) -> Result<Condition> {
        let mut condition = Condition::default();
        for option in options.iter() {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => condition.absent = true,
                b"xx" => condition.present = true,
                b"gt" => condition.later = true,
                b"lt" => condition.earlier = true,
                _ => return Err(CommandError::quoting("ERR Unsupported option ", option, "")),
            }
        }
        let Condition { absent, present, later, earlier } = condition;
        if absent && (present || later || earlier) {
            return Err(
                "ERR NX and XX, GT or LT options at the same time are not compatible".into()
            );
        }
        if later && earlier {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(condition)
    }

    pub fn holds(&self, current: Option<i64>, new: i64) -> bool {
        match current {
            None => !self.present && !self.later,
            Some(current) => {
                !self.absent && (!self.later || new > current) && (!self.earlier || new < current)
            }
        }
    }
}

/// `unit` is that of the given time, in milliseconds; `from` is what the time is counted from.
fn expire(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    out: &mut Reply<'_>,
    name: &str,
    unit: i64,
    from: i64,
) -> Result {
    let key = cx.key();
    let condition = Condition::parse(args.from(3))?;
    let time = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let at = time.checked_mul(unit).and_then(|time| time.checked_add(from)).ok_or_else(|| {
        CommandError::from(format!("ERR invalid expire time in '{name}' command"))
    })?;
    let now = cx.removal_now();
    let Some(mut entry) = cx.write(&key) else {
        out.integer(0);
        return Ok(());
    };
    if !condition.holds(entry.entry().expiry(), at) {
        out.integer(0);
        return Ok(());
    }
    if at <= now {
        cx.remove_and_free(&key);
        cx.stats.expired_keys.add(1);
        cx.changed("expired", &key);
        rewrite::unlink(cx, &key);
    } else {
        entry.set_expiry(Some(at));
        cx.changed("expire", &key);
        if cx.is_journaled() {
            rewrite::expire_at(cx, &key, at);
        }
    }
    out.integer(1);
    Ok(())
}

/// Answers when the key expires, in units of `unit` milliseconds: how long until then, or the time.
fn tell(cx: &mut Cx<'_>, out: &mut Reply<'_>, unit: i64, remaining: bool) -> Result {
    let now = cx.now;
    let reply = match cx.inspect(&cx.key()).map(|entry| entry.expiry()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => {
            let time = if remaining { (at - now).max(0) } else { at };
            rounded(time, unit)
        }
    };
    out.integer(reply);
    Ok(())
}

/// A time, which is not negative, in units of so many milliseconds.
pub(super) fn rounded(time: i64, unit: i64) -> i64 {
    // The sum of the greatest time and half a second needs the 64th bit.
    ((time as u64 + unit as u64 / 2) / unit as u64) as i64
}

fn persist(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let persisted = match cx.write(&key) {
        Some(mut entry) if entry.entry().expiry().is_some() => {
            entry.set_expiry(None);
            true
        }
        _ => false,
    };
    if persisted {
        cx.changed("persist", &key);
    }
    out.integer(persisted.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_expiry_expires_last() {
        let none = Condition::default();
        assert!(none.holds(None, 5) && none.holds(Some(9), 5) && none.holds(Some(1), 5));
        let later = Condition { later: true, ..none };
        assert!(!later.holds(None, 5) && later.holds(Some(4), 5) && !later.holds(Some(5), 5));
        let earlier = Condition { earlier: true, ..none };
        assert!(earlier.holds(None, 5) && earlier.holds(Some(6), 5) && !earlier.holds(Some(5), 5));
        let both = Condition { earlier: true, present: true, ..none };
        assert!(!both.holds(None, 5) && both.holds(Some(6), 5));
        let absent = Condition { absent: true, ..none };
        assert!(absent.holds(None, 5) && !absent.holds(Some(9), 5));
    }
}
