//! The one way in which a command runs, whoever its caller is.

use super::context::Cx;
use super::table::Registered;
use super::{Caller, Result, blocking};
use crate::config::Settings;
use crate::keyspace::{Key, Unit};
use crate::resp::{Args, Reply};
use crate::state::{Server, WorkerStats};

/// The surroundings of a call: the server, and what belongs to the calling thread.
#[derive(Clone, Copy)]
pub struct Env<'e> {
    pub server: &'static Server,
    pub settings: &'e Settings,
    pub stats: &'e WorkerStats,
    /// Ticks are taken from it for the statistics.
    pub clock: &'e quanta::Clock,
}

/// Runs a command within a unit that holds what the command needs: the shards of `keys`, or the keyspace.
/// Appends its reply, and journals it. The unit is to be [settled](settle) afterwards, once for all its
/// calls.
#[inline]
pub fn call(
    env: &Env<'_>,
    unit: &mut Unit<'static>,
    caller: &mut Caller,
    found: &'static Registered,
    keys: &[Key<'_>],
    args: Args<'_>,
    out: &mut Reply<'_>,
) {
    let started = env.clock.raw();
    let (db, changes) = (caller.db, unit.changes);
    let replaced = unit.records().map(|records| records.replaced());
    let mut cx = Cx::new(env, unit, caller, keys);
    let result: Result = (found.command.run)(&mut cx, args, out);
    let stats = &env.stats.commands[found.id];
    stats.calls.add(1);
    stats.ticks.add(env.clock.raw() - started);
    caller.commands += 1;
    if let Err(error) = result {
        stats.failed.add(1);
        env.stats.error(&error);
        out.error(error.text());
    }
    if unit.changes != changes
        && let Some(records) = unit.records()
        && replaced == Some(records.replaced())
    {
        records.push(db, keys.first().map(|key| key.slot), args.iter());
    }
}

/// Does what is left to do after a unit's calls, once: serves the clients that wait for keys which have
/// become readable, parks the unit's own caller if it wants that, commits the journal, releases the
/// locks, and then delivers what concerns others.
#[inline]
pub fn settle(env: &Env<'_>, unit: &mut Unit<'static>, caller: &mut Caller) {
    if unit.has_ready_keys() || caller.block.is_some() {
        blocking::settle(env, unit, caller);
    }
    release(env, unit);
}

/// The last part of [`settle`], for units without a caller.
#[inline]
pub fn release(env: &Env<'_>, unit: &mut Unit<'static>) {
    let stats = env.stats;
    stats.changes.add(unit.changes);
    if unit.expired_keys + unit.expired_fields > 0 {
        stats.expired_keys.add(unit.expired_keys);
        stats.expired_fields.add(unit.expired_fields);
    }
    let events = &env.server.events;
    let mut published = false;
    unit.finish(|unit_events| {
        events.publish(unit_events);
        published = true;
    });
    if published {
        events.deliver();
    }
}
