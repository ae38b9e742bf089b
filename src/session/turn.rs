//! Executing the requests that have arrived.

use std::rc::Rc;

use smallvec::SmallVec;

use super::{Client, Ending, ReplyMode};
use crate::blocking;
use crate::command::{CommandError, Cx, Flags, Registered, Scope, key_positions};
use crate::config::Settings;
use crate::keyspace::{Entered, Exclusive, Key, Locked};
use crate::log;
use crate::resp::{Args, Limits, Reply, Request};
use crate::server::{Paused, Room, Worker};

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
    Blocked,
    /// There is so much to send that it should be sent before more is added.
    Replies,
}

/// Keys of one command that are looked up together before it runs: as many as the first-level cache
/// has room for, with two lines or three for each.
const MAX_PREFETCH: usize = 128;

/// Bytes of replies beyond the send buffer that end a turn.
const MAX_OVERFLOW: usize = 256 * 1024;

/// One turn of a session: its thread has passed its gate, so that no other thread has the keyspace to
/// itself until the turn ends.
pub(super) struct Turn<'w> {
    worker: &'w Worker,
    settings: Rc<Settings>,
    /// Milliseconds of Unix time.
    now: i64,
    entered: Entered<'w>,
    paused: Option<Paused>,
    /// There is a limit to the memory.
    limited: bool,
}

impl<'w> Turn<'w> {
    #[inline]
    pub(super) fn begin(worker: &'w Worker, client: &mut Client, now: i64) -> Self {
        let entered = worker.server.keyspace.enter(worker.index);
        let paused = worker.server.pause.current(now);
        if client.record.is_killed() {
            client.ending = Ending::Now;
        }
        let settings = worker.settings();
        let limited = settings.maxmemory > 0;
        if limited {
            worker.look_at_memory();
        }
        Turn { worker, settings, now, entered, paused, limited }
    }

    /// Whether the turn must end before this request.
    #[inline]
    pub(super) fn stop(&self, client: &Client, pending: &Pending, out: &Reply<'_>) -> Option<Stop> {
        if client.ending != Ending::Open {
            Some(Stop::Ended)
        } else if client.waiter.is_some() {
            Some(Stop::Blocked)
        } else if self.paused.is_some_and(|paused| self.waits(client, pending, paused)) {
            Some(Stop::Paused)
        } else if out.overflow() > MAX_OVERFLOW {
            Some(Stop::Replies)
        } else {
            None
        }
    }

    /// Whether a request waits for the end of a pause. What would be refused anyway does not.
    #[cold]
    fn waits(&self, client: &Client, pending: &Pending, paused: Paused) -> bool {
        pending.found.is_some_and(|found| {
            let writes = Flags::WRITE | Flags::MAY_REPLICATE;
            client.may_run(found, &self.settings).is_ok()
                && (paused == Paused::All || found.command.flags.intersects(writes))
        })
    }

    /// What the client's next request may ask for.
    #[inline]
    pub(super) fn limits(&self, client: &Client) -> Limits {
        client.limits(&self.settings)
    }

    /// Executes one request and appends its reply, if the client wants one.
    #[inline]
    pub(super) fn execute(
        &mut self,
        client: &mut Client,
        pending: &Pending,
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) {
        if client.reply_mode == ReplyMode::On {
            self.run(client, pending, args, out);
        } else {
            self.run_unheard(client, pending, args, out);
        }
        out.protocol = client.protocol;
    }

    #[cold]
    fn run_unheard(
        &mut self,
        client: &mut Client,
        pending: &Pending,
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) {
        if client.reply_mode == ReplyMode::SkipNext {
            client.reply_mode = ReplyMode::Skip;
        }
        let before = out.mark();
        self.run(client, pending, args, out);
        match client.reply_mode {
            ReplyMode::On => return,
            ReplyMode::Skip => client.reply_mode = ReplyMode::On,
            ReplyMode::SkipNext | ReplyMode::Off => {}
        }
        out.truncate(before);
    }

    #[inline]
    fn run(&mut self, client: &mut Client, pending: &Pending, args: Args<'_>, out: &mut Reply<'_>) {
        let Some(found) = pending.found else { return self.refuse_unknown(client, args, out) };
        client.last_command = Some(found);
        if let Err(error) = client.may_run(found, &self.settings) {
            return self.refuse(found, &error, out);
        }
        if self.limited && !self.has_room(found) {
            return self.refuse(found, &CommandError::OUT_OF_MEMORY, out);
        }
        let scope = found.command.scope_of.map_or(found.command.scope, |scope_of| scope_of(args));
        let started = self.worker.ticks();
        let result = self.call(client, found, scope, pending.key, args, out);
        let stats = &self.worker.stats().commands[found.id];
        stats.calls.add(1);
        stats.ticks.add(self.worker.ticks() - started);
        client.commands += 1;
        if let Err(error) = result {
            stats.failed.add(1);
            self.fail(&error, out);
        }
        if found.command.flags.contains(Flags::ADMIN) || scope == Scope::Exclusive {
            self.refresh(client);
        }
    }

    /// Makes room for a command. False if there is none and the command may need some.
    #[inline(never)]
    fn has_room(&self, found: &Registered) -> bool {
        // Nothing may change while writes wait.
        self.paused.is_some()
            || self.worker.make_room(&self.settings, self.now) != Room::None
            || !found.command.flags.contains(Flags::DENYOOM)
    }

    /// Takes notice of what the command, or another thread while it ran, may have changed: the next
    /// request already feels it.
    #[cold]
    fn refresh(&mut self, client: &mut Client) {
        self.settings = self.worker.settings();
        self.paused = self.worker.server.pause.current(self.now);
        self.limited = self.settings.maxmemory > 0;
        self.worker.look_at_memory();
        if client.record.is_killed() {
            client.ending = Ending::Now;
        }
    }

    /// Runs the command with its keys' shards locked, or with the keyspace to itself.
    #[inline]
    fn call(
        &mut self,
        client: &mut Client,
        found: &Registered,
        scope: Scope,
        key: (u64, u16),
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        let worker = self.worker;
        let keyspace = &worker.server.keyspace;
        let mut keys = SmallVec::<[Key<'_>; 2]>::new();
        if found.first_key_only {
            keys.push(Key { bytes: args.at(1), hash: key.0, slot: key.1 });
        } else if !found.command.keys.is_empty() {
            // If the keys can't be told, the command answers what is wrong with its arguments.
            let _ = key_positions(found.command.keys, args, |index, _| {
                if keys.len() == keys.capacity() {
                    keys.reserve(args.len() - index);
                }
                keys.push(Key::new(args.at(index)));
            });
        }
        let call =
            Call { worker, settings: &self.settings, now: self.now, client, found, keys: &keys };
        match scope {
            Scope::Keys | Scope::Shards => {
                let locked = keyspace.lock_keys(&keys);
                match &keys[..] {
                    [key] => locked.prefetch_bucket(call.client.db, key),
                    keys => {
                        let first = keys.iter().take(MAX_PREFETCH).map(|key| (key.hash, key.slot));
                        locked.prefetch(call.client.db, first);
                    }
                }
                if !(locked.has_movers() && found.command.flags.contains(Flags::WRITE)) {
                    return call.run(locked, None, args, out);
                }
            }
            Scope::Exclusive => {}
        }
        self.entered.exclusively(|exclusive| {
            call.run(keyspace.lock_on_demand(exclusive), Some(exclusive), args, out)
        })
    }

    /// Answers a request whose command does not exist, or not with so many arguments.
    #[cold]
    fn refuse_unknown(&self, client: &mut Client, args: Args<'_>, out: &mut Reply<'_>) {
        if args.is_empty() {
            return;
        }
        let found = self.worker.server.commands.resolve(args);
        client.last_command = found.as_ref().ok().copied();
        match found {
            Err(_) if is_http(&args[0]) => {
                log::warning(format_args!(
                    "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or \
                     Host: commands to Verbena. This is likely due to an attacker attempting to use \
                     Cross Protocol Scripting to compromise your Verbena instance. Connection from \
                     {} aborted.",
                    client.record.info.peer
                ));
                client.ending = Ending::Now;
            }
            Err(_) if client.must_authenticate(&self.settings) => {
                self.fail(&CommandError::NO_AUTH, out);
            }
            Err(error) => self.fail(&error, out),
            Ok(found) => {
                let error = client.may_run(found, &self.settings).err();
                let error = error.unwrap_or_else(|| CommandError::arity(&found.full_name));
                self.refuse(found, &error, out);
            }
        }
    }

    /// Answers a request that is not executed.
    #[cold]
    fn refuse(&self, found: &Registered, error: &CommandError, out: &mut Reply<'_>) {
        self.worker.stats().commands[found.id].rejected.add(1);
        self.fail(error, out);
    }

    #[cold]
    fn fail(&self, error: &CommandError, out: &mut Reply<'_>) {
        out.error(error.text());
        self.worker.stats().error(error);
    }
}

/// The words that a browser begins its lines with. It can be made to send commands in a request's
/// body to a server of its network (cross-protocol scripting).
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// One execution of a command, but for what it has locked.
struct Call<'a> {
    worker: &'a Worker,
    settings: &'a Settings,
    now: i64,
    client: &'a mut Client,
    found: &'a Registered,
    keys: &'a [Key<'a>],
}

impl<'a> Call<'a> {
    #[inline]
    fn run(
        self,
        locked: Locked<'a>,
        exclusive: Option<&'a Exclusive<'a>>,
        args: Args<'_>,
        out: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        let Call { worker, settings, now, client, found, keys } = self;
        let stats = worker.stats();
        let server = worker.server;
        let effects = Default::default();
        let mut cx = Cx { server, settings, stats, client, keys, locked, now, exclusive, effects };
        let result = (found.command.run)(&mut cx, args, out);
        if cx.effects.concern_others() {
            blocking::settle(&mut cx);
        }
        if !cx.effects.events.is_empty() {
            server.events.deliver(&cx.effects.events);
        }
        stats.changes.add(cx.effects.changes);
        result
    }
}
