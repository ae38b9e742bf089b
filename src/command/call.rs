//! The one way in which a command runs, whoever its caller is.

use std::ops::Deref;

use super::client::tracking;
use super::context::Cx;
use super::table::Registered;
use super::{Caller, Flags, Origin, Result, blocking, monitor, observation};
use crate::config::Settings;
use crate::keyspace::{Key, Unit};
use crate::resp::{Args, Reply};
use crate::state::{ChangedKeys, ClientRecord, OutboxSender, Server, WorkerStats};

/// The server, and what belongs to one of the threads that call commands.
pub struct Local {
    pub server: &'static Server,
    pub stats: &'static WorkerStats,
    /// Ticks are taken from it for the statistics.
    pub clock: quanta::Clock,
    /// The thread's keys for those who have asked for all changes of keys with a prefix.
    pub changed_keys: ChangedKeys,
}

/// The surroundings of a call.
#[derive(Clone, Copy)]
pub struct Env<'e> {
    pub local: &'e Local,
    pub settings: &'e Settings,
}

impl Local {
    /// Of the thread with this number.
    pub fn new(server: &'static Server, thread: usize) -> Self {
        let stats = &server.stats[thread];
        let clock = quanta::Clock::new();
        Local { server, stats, clock, changed_keys: ChangedKeys::default() }
    }
}

impl Deref for Env<'_> {
    type Target = Local;

    #[inline]
    fn deref(&self) -> &Local {
        self.local
    }
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
    cx.writes = found.command.flags.contains(Flags::WRITE);
    let result: Result = (found.command.run)(&mut cx, args, out);
    let ticks = env.clock.raw() - started;
    if caller.block.is_some() {
        observation::begin(caller, found, args, ticks);
    } else {
        caller.commands += 1;
        count(env, found, ticks);
    }
    if let Err(error) = result {
        env.stats.commands[found.id].failed.add(1);
        if !error.is_counted() {
            env.stats.error(&error);
        }
        out.error(error.text());
    }
    let reply = (out.len() as u64).wrapping_sub(caller.reply_start);
    if env.stats.limits.may_be_reached(ticks, caller.request_bytes, reply) {
        observation::note(env, caller, found, args, ticks, reply);
    }
    if env.server.monitors.is_watched() {
        monitor::show(env, caller, found, args);
    }
    if caller.tracking.is_some() {
        let max_keys = env.settings.tracking_table_max_keys;
        tracking::note_reads(env.server, max_keys, unit, caller, found, keys);
    }
    if unit.changes != changes
        && let Some(records) = unit.records()
        && replaced == Some(records.replaced())
    {
        records.push(db, keys.first().map(|key| key.slot), args.iter());
    }
}

/// Counts a call that has ended.
#[inline]
pub fn count(env: &Env<'_>, found: &Registered, ticks: u64) {
    let stats = &env.stats.commands[found.id];
    stats.calls.add(1);
    stats.ticks.add(ticks);
    if env.settings.latency_tracking {
        stats.note_latency(env.clock.delta_as_nanos(0, ticks));
    }
}

/// Does what is left to do after a unit's calls, once: serves the clients that wait for keys which have
/// become readable, parks the unit's own caller if it wants that, commits the journal, releases the
/// locks, and then delivers what concerns others. Of a unit that concerns nobody else the locks are released
/// when it is dropped, which must be at once.
#[inline]
pub fn settle(env: &Env<'_>, unit: &mut Unit<'static>, caller: &mut Caller) {
    if unit.concerns_others() || caller.block.is_some() {
        return settle_with_others(env, unit, caller);
    }
    count_changes(env, unit);
}

/// [`settle`] for a unit that concerns others than its caller.
#[inline(never)]
fn settle_with_others(env: &Env<'_>, unit: &mut Unit<'static>, caller: &mut Caller) {
    if unit.has_ready_keys() || caller.block.is_some() {
        blocking::settle(env, unit, caller);
    }
    // A replay has no client, and no turn at whose end others are told of the keys that have changed.
    let is_client = caller.origin != Origin::Replay;
    release_by(env, unit, is_client.then_some(&*caller.record));
}

/// The last part of [`settle`], for units without a caller.
pub fn release(env: &Env<'_>, unit: &mut Unit<'static>) {
    release_by(env, unit, None);
}

/// Adds what the unit has changed to the statistics.
#[inline]
fn count_changes(env: &Env<'_>, unit: &Unit<'static>) {
    if unit.changes + unit.expired_keys + unit.expired_fields > 0 {
        env.stats.changes.add(unit.changes);
        env.stats.expired_keys.add(unit.expired_keys);
        env.stats.expired_fields.add(unit.expired_fields);
    }
}

fn release_by(env: &Env<'_>, unit: &mut Unit<'static>, by: Option<&ClientRecord>) {
    count_changes(env, unit);
    let delivery = &env.server.delivery;
    let mut queued = false;
    let changed = unit.finish(|notices| {
        delivery.queue(notices, by.map(|by| by.id));
        queued = true;
    });
    if queued || changed.is_some() {
        deliver(env, queued, changed, by);
    }
}

/// Hands others what the unit has for them: notices, if it has `queued` some, and the keys that have
/// `changed`, for those who have asked for all changes. These wait for the end of a client's turn.
#[cold]
fn deliver(
    env: &Env<'_>,
    queued: bool,
    changed: Option<Vec<Box<[u8]>>>,
    by: Option<&ClientRecord>,
) {
    let server = env.server;
    let mut sender = OutboxSender::new(&env.settings.client_output_buffer_limit);
    if queued {
        server.deliver(&mut sender);
    }
    if let Some(changed) = changed {
        env.changed_keys.extend(changed);
        if by.is_none() {
            server.tracking.broadcast(&env.changed_keys, None, &server.clients, &mut sender);
        }
    }
    server.end_over_limit(sender);
}
