//! Executing the requests that have arrived.

use std::rc::Rc;

use super::{Caller, Ending, ReplyMode};
use crate::command::{
    CommandError, Flags, Registered, Scope, abort, admission, busy, call, keys_of, patience,
    permission, settle,
};
use crate::config::Settings;
use crate::keyspace::{Entered, Key, Listeners, Section, ShardSet, Unit};
use crate::log;
use crate::resp::{Args, Limits, Reply, Request};
use crate::state::{Paused, Room};
use crate::worker::Worker;

/// A request that was parsed and not yet executed.
pub(super) struct Pending {
    pub(super) request: Request,
    /// None if there is no such command, or not with so many arguments.
    pub(super) found: Option<&'static Registered>,
    /// Hash and slot of the key, for commands whose only key is the first argument.
    pub(super) key: (u64, u16),
}

/// Why a turn ends before all requests are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The connection ends.
    Ended,
    /// The next request has to wait for the end of a pause.
    Paused,
    /// The last request has to wait for a key.
    Parked,
    /// There is so much to send that it should be sent before more is added.
    Replies,
}

/// Keys of one command that are looked up together before it runs: as many as the first-level cache
/// has room for, with two lines or three for each.
const MAX_PREFETCH: usize = 128;

/// Bytes of replies beyond the send buffer that end a turn, if the client may have as much unread.
const MAX_OVERFLOW: usize = 256 * 1024;

/// One turn of a session: its thread is inside the keyspace's big-reader lock, so that no other thread
/// has the keyspace to itself until the turn ends.
pub(super) struct Turn<'w> {
    worker: &'w Worker,
    settings: Rc<Settings>,
    /// Milliseconds of Unix time.
    now: i64,
    /// `None` while an exclusive section lasts longer than its patience: most commands are refused then.
    entered: Option<Entered<'static>>,
    paused: Option<Paused>,
    /// There is a limit to the memory.
    limited: bool,
    /// Bytes of replies beyond the send buffer that end the turn.
    most_replies: usize,
    listeners: Listeners,
}

impl<'w> Turn<'w> {
    /// Begins a turn whose replies go to `out`, behind `unsent` bytes.
    #[inline]
    pub(super) fn begin(
        worker: &'w Worker,
        caller: &mut Caller,
        now: i64,
        unsent: u64,
        out: &mut Reply<'_>,
    ) -> Self {
        let server = worker.server;
        let entered = server.keyspace.enter_unless_busy(worker.index).ok();
        let paused = server.pause.current(now);
        if caller.record.is_killed() {
            caller.ending = Ending::Now;
        }
        if caller.identity.look_at(&server.acl) {
            caller.note_limits();
        }
        let settings = worker.settings();
        let limited = settings.maxmemory > 0;
        if limited {
            worker.look_at_memory();
        }
        let listeners = server.listeners(&settings);
        let mut most_replies = MAX_OVERFLOW;
        let hard = settings.client_output_buffer_limit.of(caller.record.class()).hard;
        if hard > 0 {
            let left = hard.saturating_sub(unsent) as usize;
            out.limit(left);
            most_replies = most_replies.min(left);
        }
        Turn { worker, settings, now, entered, paused, limited, most_replies, listeners }
    }

    /// Proof that the thread is inside the keyspace, if it is.
    #[inline]
    pub(super) fn entered(&self) -> Option<&Entered<'static>> {
        self.entered.as_ref()
    }

    /// Whether the turn must end before this request.
    #[inline]
    pub(super) fn stop(
        &self,
        caller: &Caller,
        pending: &Pending,
        args: Args<'_>,
        out: &Reply<'_>,
    ) -> Option<Stop> {
        if caller.ending != Ending::Open {
            Some(Stop::Ended)
        } else if caller.parked.is_some() {
            Some(Stop::Parked)
        } else if self.paused.is_some_and(|paused| self.waits(caller, pending, args, paused)) {
            Some(Stop::Paused)
        } else if out.overflow() > self.most_replies {
            Some(Stop::Replies)
        } else {
            None
        }
    }

    /// Whether a request waits for the end of a pause. A request that would be refused anyway does not.
    #[cold]
    fn waits(&self, caller: &Caller, pending: &Pending, args: Args<'_>, paused: Paused) -> bool {
        pending.found.is_some_and(|found| {
            admission::admit(&self.worker.env(&self.settings), caller, found, args).is_ok()
                && (paused == Paused::All
                    || admission::may_write(caller, found)
                        && !(self.entered.is_some()
                            && admission::script_only_reads(self.worker.server, found, args)))
        })
    }

    /// What the client's next request may ask for.
    #[inline]
    pub(super) fn limits(&self, caller: &Caller) -> Limits {
        caller.limits(&self.settings)
    }

    /// Ends the turn: tells others of the keys that `caller` has changed in it.
    #[inline]
    pub(super) fn end(self, caller: &Caller) {
        if self.worker.has_changed_keys() {
            self.worker.broadcast_changed_keys(&self.settings, &caller.record);
        }
    }

    /// Executes one request and appends its reply, if the client wants one.
    #[inline]
    pub(super) fn execute(
        &mut self,
        caller: &mut Caller,
        pending: &Pending,
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) {
        if caller.reply_mode == ReplyMode::On {
            self.run(caller, pending, args, out);
        } else {
            self.run_unheard(caller, pending, args, out);
        }
        out.protocol = caller.protocol;
        if !caller.record.outbox.is_empty() && caller.ending == Ending::Open {
            // What others have for the client goes between two replies.
            caller.record.outbox.move_to(out);
        }
    }

    #[cold]
    fn run_unheard(
        &mut self,
        caller: &mut Caller,
        pending: &Pending,
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) {
        if caller.reply_mode == ReplyMode::SkipNext {
            caller.reply_mode = ReplyMode::Skip;
        }
        let before = out.mark();
        self.run(caller, pending, args, out);
        match caller.reply_mode {
            ReplyMode::On => return,
            ReplyMode::Skip => caller.reply_mode = ReplyMode::On,
            ReplyMode::SkipNext | ReplyMode::Off => {}
        }
        // What a client hears of its subscriptions is no reply.
        let is_confirmation =
            |found: &&Registered| found.command.flags.contains(Flags::PUBSUB | Flags::NOSCRIPT);
        if !pending.found.as_ref().is_some_and(is_confirmation) {
            out.truncate(before);
        }
    }

    #[inline]
    fn run(&mut self, caller: &mut Caller, pending: &Pending, args: Args<'_>, out: &mut Reply<'_>) {
        let Some(found) = pending.found else { return self.refuse_unknown(caller, args, out) };
        caller.last_command = Some(found.id);
        if let Err(error) = admission::admit(&self.worker.env(&self.settings), caller, found, args)
        {
            permission::note_refusal(self.worker.server, &self.settings, caller, found, args);
            return self.refuse(caller, found, &error, out);
        }
        if self.limited {
            let has_room = self.has_room();
            if !caller.record.outbox.is_empty() && caller.reply_mode == ReplyMode::On {
                // The client hears of the keys that had to go before it hears of its command.
                caller.record.outbox.move_to(out);
            }
            caller.lacks_memory = !has_room;
            if !has_room
                && (admission::needs_memory(caller, found)
                    || admission::script_needs_memory(self.worker.server, found, args))
            {
                return self.refuse(caller, found, &CommandError::OUT_OF_MEMORY, out);
            }
        }
        if admission::is_queued(caller, found) {
            caller.transaction.push(found, args);
            out.simple("QUEUED");
            return;
        }
        let scope = admission::scope(found, args);
        self.call(caller, found, scope, pending.key, args, out);
        if found.command.flags.intersects(Flags::CHANGES_CALLER)
            || matches!(scope, Scope::Exclusive | Scope::Transaction)
        {
            self.refresh(caller, found, scope);
        }
    }

    /// Makes room for a command. False if there is none.
    #[inline(never)]
    fn has_room(&self) -> bool {
        // Nothing may change while writes wait, or while the keyspace belongs to another thread.
        let Some(entered) = self.entered.as_ref().filter(|_| self.paused.is_none()) else {
            return true;
        };
        self.worker.make_room(entered, &self.settings, self.now) != Room::None
    }

    /// Takes notice of what the command, or another thread while it ran, may have changed: the next
    /// request already feels it.
    #[cold]
    fn refresh(&mut self, caller: &mut Caller, found: &Registered, scope: Scope) {
        caller.identity.look_at(&self.worker.server.acl);
        caller.note_limits();
        let of_others = found.command.flags.contains(Flags::ADMIN)
            || matches!(scope, Scope::Exclusive | Scope::Transaction);
        if !of_others {
            return;
        }
        self.settings = self.worker.settings();
        self.paused = self.worker.server.pause.current(self.now);
        self.limited = self.settings.maxmemory > 0;
        self.listeners = self.worker.server.listeners(&self.settings);
        self.worker.look_at_memory();
        if caller.record.is_killed() {
            caller.ending = Ending::Now;
        }
    }

    /// Runs the command as a unit of its own, with its keys' shards locked or the keyspace to itself.
    #[inline]
    fn call(
        &mut self,
        caller: &mut Caller,
        found: &'static Registered,
        scope: Scope,
        key: (u64, u16),
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) {
        let (now, listeners) = (self.now, self.listeners);
        let Some(entered) = &self.entered else {
            return self.call_busy(caller, found, scope, args, out);
        };
        let env = self.worker.env(&self.settings);
        let first_key;
        let all_keys;
        let keys: &[Key<'_>] = if found.first_key_only {
            first_key = [Key { bytes: args.at(1), hash: key.0, slot: key.1 }];
            &first_key
        } else {
            all_keys = keys_of(found, args);
            &all_keys
        };
        // Each arm has its unit where it is made: a unit is not moved.
        match scope {
            Scope::Keys | Scope::Shards => {
                let mut unit = entered.unit(keys, now, listeners);
                prefetch(&unit, caller.db, keys);
                if !(unit.parked_use_other_keys() && found.command.flags.contains(Flags::WRITE)) {
                    call(&env, &mut unit, caller, found, keys, args, out);
                    return settle(&env, &mut unit, caller);
                }
            }
            Scope::EveryShard | Scope::Transaction => {
                if let Some(mut unit) = many_shards(entered, caller, found, scope, now, listeners) {
                    call(&env, &mut unit, caller, found, keys, args, out);
                    return settle(&env, &mut unit, caller);
                }
            }
            Scope::Exclusive => {}
        }
        self.call_alone(caller, found, scope, keys, args, out);
    }

    /// Runs a command with the keyspace to itself: leaves it before, and enters it again.
    #[inline(never)]
    fn call_alone(
        &mut self,
        caller: &mut Caller,
        found: &'static Registered,
        scope: Scope,
        keys: &[Key<'_>],
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) {
        let Worker { server, index, .. } = *self.worker;
        self.entered = None;
        let runs_script = admission::runs_script(caller, found);
        let patience = runs_script.then(|| patience(&self.settings)).flatten();
        let section = Section { patience };
        let unit = server.keyspace.exclusive_unless_busy(section, self.now, self.listeners);
        let Ok(mut unit) = unit else {
            return self.call_busy(caller, found, scope, args, out);
        };
        let env = self.worker.env(&self.settings);
        call(&env, &mut unit, caller, found, keys, args, out);
        settle(&env, &mut unit, caller);
        drop(unit);
        self.entered = server.keyspace.enter_unless_busy(index).ok();
    }

    /// Runs a command that needs no shard while the keyspace belongs to another thread for long, and
    /// refuses the others.
    #[cold]
    fn call_busy(
        &self,
        caller: &mut Caller,
        found: &'static Registered,
        scope: Scope,
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) {
        let keyless = match scope {
            Scope::Keys => found.command.keys.is_empty(),
            Scope::Transaction => !caller.transaction.is_watching(),
            Scope::Shards | Scope::EveryShard | Scope::Exclusive => false,
        };
        if !keyless || !found.command.flags.contains(Flags::ALLOW_BUSY) {
            return self.refuse(caller, found, &busy(self.worker.server), out);
        }
        let env = self.worker.env(&self.settings);
        let mut unit = Unit::without_shards(&self.worker.server.keyspace, self.now);
        call(&env, &mut unit, caller, found, &[], args, out);
        settle(&env, &mut unit, caller);
    }

    /// Answers a request whose command does not exist, or not with so many arguments.
    #[cold]
    fn refuse_unknown(&self, caller: &mut Caller, args: Args<'_>, out: &mut Reply<'_>) {
        if args.is_empty() {
            return;
        }
        let found = self.worker.commands.resolve(args);
        caller.last_command = found.as_ref().ok().map(|found| found.id);
        match found {
            Err(_) if is_http(&args[0]) => {
                log::warning(format_args!(
                    "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or \
                     Host: commands to Verbena. This is likely due to an attacker attempting to use \
                     Cross Protocol Scripting to compromise your Verbena instance. Connection from \
                     {} aborted.",
                    caller.record.info.peer
                ));
                caller.ending = Ending::Now;
            }
            Err(error) => {
                caller.transaction.note_refusal();
                let anonymous = caller.identity.is_anonymous();
                self.fail(&if anonymous { CommandError::NO_AUTH } else { error }, out);
            }
            Ok(found) => {
                let error = admission::refusal(caller, found);
                self.refuse(caller, found, &error, out);
            }
        }
    }

    /// Answers a request that is not executed. A transaction to which it belongs will not be either.
    #[cold]
    fn refuse(
        &self,
        caller: &mut Caller,
        found: &Registered,
        error: &CommandError,
        out: &mut Reply<'_>,
    ) {
        self.worker.stats().commands[found.id].rejected.add(1);
        match &self.entered {
            Some(entered) if admission::is_exec(found) => {
                self.fail(&abort(caller, entered, error), out);
            }
            _ => {
                caller.transaction.note_refusal();
                self.fail(error, out);
            }
        }
    }

    #[cold]
    fn fail(&self, error: &CommandError, out: &mut Reply<'_>) {
        out.error(error.text());
        self.worker.stats().error(error);
    }
}

/// Has the memory loaded that a command's keys need.
#[inline]
fn prefetch(unit: &Unit<'_>, db: usize, keys: &[Key<'_>]) {
    match keys {
        [] => {}
        [key] => unit.prefetch_bucket(db, key),
        keys => {
            let first = keys.iter().take(MAX_PREFETCH).map(|key| (key.hash, key.slot));
            unit.prefetch(db, first);
        }
    }
}

/// The unit of a command that needs all shards, or what the caller's transaction needs; `None` if it needs
/// the keyspace to itself.
#[cold]
fn many_shards(
    entered: &Entered<'static>,
    caller: &Caller,
    found: &Registered,
    scope: Scope,
    now: i64,
    listeners: Listeners,
) -> Option<Unit<'static>> {
    if scope == Scope::EveryShard {
        return Some(entered.unit_of_shards(&ShardSet::ALL, now, listeners));
    }
    let executes = admission::is_exec(found);
    if executes && caller.transaction.is_exclusive() {
        return None;
    }
    let unit = entered.unit_of_shards(&caller.transaction.shards(!executes), now, listeners);
    let escalates = unit.parked_use_other_keys() && admission::may_write(caller, found);
    (!escalates).then_some(unit)
}

/// The words that a browser begins its lines with. It can be made to send commands in a request's
/// body to a server of its network (cross-protocol scripting).
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}
