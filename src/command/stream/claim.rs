//! XCLAIM, XAUTOCLAIM.

use smallvec::SmallVec;

use super::journal::{self, Claimed, Progress, Target};
use super::{
    Edge, STREAM, UNSTEADY, find_group, key, no_group, noted, parse_id, reply_entry, reply_id,
};
use crate::command::{Command, CommandError, Cx, Flags, KeyFlags, Result};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};
use crate::value::stream::{ConsumerId, Group, Log, Pending, StreamId};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "xclaim",
        arity: -6,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[key(KeyFlags::RW.union(KeyFlags::UPDATE))],
        tips: UNSTEADY,
        run: xclaim,
        ..STREAM
    },
    Command {
        name: "xautoclaim",
        arity: -6,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: &[key(KeyFlags::RW.union(KeyFlags::DELETE))],
        tips: UNSTEADY,
        run: xautoclaim,
        ..STREAM
    },
];

/// Entries that XAUTOCLAIM looks at for each one that it may return.
const ATTEMPTS: usize = 10;

/// Ids, most often few of them.
type Ids = SmallVec<[StreamId; 8]>;

/// What becomes of an entry that is claimed.
struct Claim {
    /// Entries that were delivered more recently stay where they are.
    min_idle: i64,
    /// The time of delivery.
    delivered: i64,
    /// The number of deliveries; otherwise it is one more than before, unless only ids are asked for.
    deliveries: Option<u64>,
    /// Entries that are not pending are claimed too.
    force: bool,
    just_ids: bool,
    /// The group's last delivered id becomes at least this.
    last_id: StreamId,
}

impl Claim {
    fn new(min_idle: &[u8], now: i64, command: &str) -> Result<Claim> {
        let min_idle = parse_i64(min_idle)
            .ok_or_else(|| format!("ERR Invalid min-idle-time argument for {command}"))?;
        Ok(Claim {
            min_idle: min_idle.max(0),
            delivered: now,
            deliveries: None,
            force: false,
            just_ids: false,
            last_id: StreamId::MIN,
        })
    }

    /// Takes the words after XCLAIM's ids.
    fn take_options(&mut self, words: Args<'_>, now: i64) -> Result {
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            let number = |name| {
                let number = parse_i64(words.at(at + 1));
                number.ok_or_else(|| format!("ERR Invalid {name} option argument for XCLAIM"))
            };
            let has_argument = words.len() > at + 1;
            let mut taken = 2;
            if is("force") {
                self.force = true;
                taken = 1;
            } else if is("justid") {
                self.just_ids = true;
                taken = 1;
            } else if is("idle") && has_argument {
                self.delivered = now.wrapping_sub(number("IDLE")?);
            } else if is("time") && has_argument {
                self.delivered = number("TIME")?;
            } else if is("retrycount") && has_argument {
                self.deliveries = u64::try_from(number("RETRYCOUNT")?).ok();
            } else if is("lastid") && has_argument {
                self.last_id = parse_id(words.at(at + 1), 0)?;
            } else {
                return Err(CommandError::quoting("ERR Unrecognized XCLAIM option '", word, "'"));
            }
            at += taken;
        }
        Ok(())
    }

    /// Claims one entry, which exists, for a consumer. Says whether it is theirs now.
    fn claim(&self, group: &mut Group, id: StreamId, consumer: ConsumerId, now: i64) -> bool {
        let deliveries = match group.pending().get(&id) {
            Some(pending)
                if self.min_idle > 0 && now.saturating_sub(pending.delivered) < self.min_idle =>
            {
                return false;
            }
            Some(pending) => pending.deliveries,
            None if self.force => 1,
            None => return false,
        };
        let deliveries =
            self.deliveries.unwrap_or_else(|| deliveries.saturating_add(u64::from(!self.just_ids)));
        group.assign(id, Pending { consumer, delivered: self.delivered, deliveries });
        group.consumer_mut(consumer).active = Some(now);
        true
    }

    /// Replies with the claimed entries.
    fn reply(&self, log: &Log, claimed: &[StreamId], out: &mut Reply<'_>) {
        out.array(claimed.len());
        for id in claimed {
            match log.get(*id) {
                Some(entry) if !self.just_ids => reply_entry(&entry, out),
                _ => reply_id(*id, out),
            }
        }
    }
}

/// What is journaled of the two commands.
struct Record {
    is_new_consumer: bool,
    progress: Progress,
    claimed: Vec<Claimed>,
    deleted: Ids,
}

impl Record {
    fn of(group: &Group, is_new_consumer: bool, claimed: &[StreamId], deleted: &Ids) -> Record {
        Record {
            is_new_consumer,
            progress: Progress::of(group),
            claimed: Claimed::of(group, claimed),
            deleted: deleted.clone(),
        }
    }

    fn journal(&self, cx: &mut Cx<'_>, target: Target<'_>, consumer: &[u8]) {
        if self.is_new_consumer {
            journal::new_consumer(cx, target, consumer);
        }
        journal::claims(cx, target, consumer, self.progress, &self.claimed);
        journal::acknowledged(cx, target, &self.deleted);
    }
}

fn xclaim(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (key, now) = (cx.key(), cx.now);
    let (journaled, is_replay) = (cx.is_journaled(), cx.is_replay());
    let mut entry = cx.write(&key);
    let entry = entry.as_mut().map(|entry| entry.entry_mut());
    let (log, group) =
        find_group(entry, &args[2])?.ok_or_else(|| no_group(key.bytes, &args[2], ""))?;
    let mut claim = Claim::new(&args[4], now, "XCLAIM")?;
    let words = args.from(5);
    let ids = words.iter().map_while(|word| parse_id(word, 0).ok()).collect::<Ids>();
    claim.take_options(words.from(ids.len()), now)?;
    // No delivery is in the future, or before all times. But those of another server follow its clock.
    if !is_replay && !(0..=now).contains(&claim.delivered) {
        claim.delivered = now;
    }

    let before = Progress::of(group);
    let mut changes = u64::from(claim.last_id > group.last_delivered);
    group.last_delivered = group.last_delivered.max(claim.last_id);
    let (consumer, is_new) = group.find_or_add_consumer(&args[3], now);
    let (mut claimed, mut deleted) = (Ids::new(), Ids::new());
    for id in ids {
        if log.get(id).is_none() {
            // Nobody will ever get it.
            if group.acknowledge(id) {
                changes += 1;
                deleted.push(id);
            }
        } else if claim.claim(group, id, consumer, now) {
            changes += 1;
            claimed.push(id);
        }
    }
    claim.reply(log, &claimed, out);
    let record = journaled.then(|| Record::of(group, is_new, &claimed, &deleted));
    if is_new {
        noted(cx, "xgroup-createconsumer", &key);
    }
    cx.unit.changes += changes;
    if let Some(record) = record {
        let target = Target { key: &key, group: &args[2] };
        if record.progress != before {
            journal::progress(cx, target, record.progress);
        }
        record.journal(cx, target, &args[3]);
    }
    Ok(())
}

fn xautoclaim(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (key, now) = (cx.key(), cx.now);
    let mut claim = Claim::new(&args[4], now, "XAUTOCLAIM")?;
    let start = Edge::parse(&args[5], 0)?.start()?;
    let mut count = 100;
    let mut at = 6;
    while let Some(word) = args.get(at) {
        if word.eq_ignore_ascii_case(b"count")
            && let Some(number) = args.get(at + 1)
        {
            // As much as a list of ids may have.
            let range = 1..=i64::MAX / size_of::<StreamId>() as i64;
            let number = parse_i64(number).filter(|number| range.contains(number));
            count = number.ok_or("ERR COUNT must be > 0")? as usize;
            at += 2;
        } else if word.eq_ignore_ascii_case(b"justid") {
            claim.just_ids = true;
            at += 1;
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let journaled = cx.is_journaled();
    let mut entry = cx.write(&key);
    let entry = entry.as_mut().map(|entry| entry.entry_mut());
    let (log, group) =
        find_group(entry, &args[2])?.ok_or_else(|| no_group(key.bytes, &args[2], ""))?;
    let (consumer, is_new) = group.find_or_add_consumer(&args[3], now);

    let mut next = Some(start);
    let mut attempts = count.saturating_mul(ATTEMPTS);
    let (mut claimed, mut deleted) = (Ids::new(), Ids::new());
    let following = loop {
        let Some((&id, _)) = next.and_then(|next| group.pending().range(next..).next()) else {
            break StreamId::MIN;
        };
        if attempts == 0 || claimed.len() + deleted.len() == count {
            break id;
        }
        attempts -= 1;
        next = id.next();
        if log.get(id).is_none() {
            group.acknowledge(id);
            deleted.push(id);
        } else if claim.claim(group, id, consumer, now) {
            claimed.push(id);
        }
    };
    out.array(3);
    reply_id(following, out);
    claim.reply(log, &claimed, out);
    out.array(deleted.len());
    deleted.iter().for_each(|id| reply_id(*id, out));
    let record = journaled.then(|| Record::of(group, is_new, &claimed, &deleted));
    if is_new {
        noted(cx, "xgroup-createconsumer", &key);
    }
    cx.unit.changes += (claimed.len() + deleted.len()) as u64;
    if let Some(record) = record {
        record.journal(cx, Target { key: &key, group: &args[2] }, &args[3]);
    }
    Ok(())
}
