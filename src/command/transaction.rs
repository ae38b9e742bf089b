//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! A queue is executed as one unit: the shards of all its keys, and of the watched keys, are locked in
//! order, or the whole keyspace if one of its commands needs that. The watched keys are looked at when
//! all locks are taken.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::table::{Registered, keys_of};
use super::{Caller, Categories, Command, CommandError, Cx, Flags, Group, Origin, Result, Scope};
use super::{KeyFlags, KeySpec, admission, call, permission};
use crate::acl::Context;
use crate::keyspace::{Entered, Key, Listeners, ShardSet, WatchState, shard_of};
use crate::resp::{Args, OwnedArgs, Reply};
use crate::state::{Attributes, ClientRecord};

/// The flags of all of them.
const ANY_TIME: Flags =
    Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::NOT_QUEUED);

/// The flags of those that only change the client's state.
const STATE: Flags = ANY_TIME.union(Flags::FAST).union(Flags::ALLOW_BUSY);

pub const COMMANDS: &[Command] = &[
    Command { name: "multi", flags: STATE.union(Flags::NO_MULTI), run: multi, ..TRANSACTION },
    Command {
        name: "exec",
        flags: ANY_TIME.union(Flags::SKIP_COMMANDLOG),
        scope: Scope::Transaction,
        run: exec,
        ..TRANSACTION
    },
    Command {
        name: "discard",
        flags: STATE,
        scope: Scope::Transaction,
        run: discard,
        ..TRANSACTION
    },
    Command {
        name: "watch",
        arity: -2,
        flags: STATE.union(Flags::NO_MULTI),
        keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
        run: watch,
        ..TRANSACTION
    },
    Command {
        name: "unwatch",
        flags: STATE.difference(Flags::NOT_QUEUED),
        scope: Scope::Transaction,
        run: |cx, _, out| {
            unwatch(cx);
            out.ok();
            Ok(())
        },
        ..TRANSACTION
    },
];

const TRANSACTION: Command = Command {
    arity: 1,
    acl: Categories::TRANSACTION,
    group: Group::Transactions,
    ..Command::DEFAULT
};

/// A caller's transaction: what it has queued since MULTI, and the keys that it watches.
#[derive(Default)]
pub struct Transaction {
    queue: Option<Box<Queue>>,
    watches: Option<Box<Watches>>,
    /// The number of commands of the queue that EXEC is executing; 0 at other times.
    executing: usize,
    /// The caller has used a transaction before.
    used: bool,
}

/// The commands between MULTI and EXEC.
#[derive(Default)]
struct Queue {
    commands: Vec<Queued>,
    args: OwnedArgs,
    /// The flags that at least one of the commands has.
    flags: Flags,
    /// A command was refused, so EXEC executes nothing.
    refused: bool,
    /// The shards of the keys.
    shards: ShardSet,
    /// One of the commands needs the whole keyspace.
    exclusive: bool,
}

struct Queued {
    found: &'static Registered,
    args: Range<usize>,
}

/// The keys that a caller watches.
struct Watches {
    state: Arc<WatchState>,
    keys: Vec<WatchedKey>,
}

struct WatchedKey {
    db: usize,
    slot: u16,
    key: Box<[u8]>,
}

impl Transaction {
    /// Whether commands are queued.
    #[inline]
    pub fn is_queueing(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether commands are queued, or those that were are being executed.
    pub fn is_active(&self) -> bool {
        self.queue.is_some() || self.executing > 0
    }

    /// Whether keys are watched.
    pub fn is_watching(&self) -> bool {
        self.watches.is_some()
    }

    /// Bytes of the queued commands.
    #[inline]
    pub fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.args.len())
    }

    /// The flags that at least one queued command has.
    pub fn flags(&self) -> Flags {
        self.queue.as_ref().map_or(Flags::empty(), |queue| queue.flags)
    }

    /// A command was refused: EXEC will execute nothing, so nothing is kept for it.
    pub fn note_refusal(&mut self) {
        if let Some(queue) = &mut self.queue {
            **queue = Queue { refused: true, ..Queue::default() };
        }
    }

    /// Adds a command to the queue, if there is one. Its arity must have been checked.
    pub fn push(&mut self, found: &'static Registered, args: Args<'_>) {
        let Some(queue) = &mut self.queue else { return };
        // EXEC will execute nothing, so the command would take memory for nothing.
        if queue.refused || self.watches.as_ref().is_some_and(|w| w.state.is_changed()) {
            return;
        }
        queue.flags |= found.command.flags;
        match admission::scope(found, args) {
            Scope::Keys | Scope::Transaction => {
                queue.shards.extend(keys_of(found, args).iter().map(|key| key.slot));
            }
            Scope::Shards | Scope::EveryShard | Scope::Exclusive => queue.exclusive = true,
        }
        let args = queue.args.push(args);
        queue.commands.push(Queued { found, args });
    }

    /// Whether EXEC needs the whole keyspace.
    pub fn is_exclusive(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.exclusive && !queue.refused)
    }

    /// The shards that EXEC needs, and those that DISCARD and UNWATCH need with `watched_only`.
    pub fn shards(&self, watched_only: bool) -> ShardSet {
        let mut shards = ShardSet::default();
        let watched = self.watches.iter().flat_map(|watches| &watches.keys);
        shards.extend(watched.map(|watched| watched.slot));
        let queue = self.queue.as_ref().filter(|queue| !watched_only && !queue.refused);
        queue.into_iter().for_each(|queue| shards.insert_all(&queue.shards));
        shards
    }

    /// Ends the watches of a client that is gone.
    pub fn leave(&mut self, entered: &Entered<'_>) {
        let Some(watches) = self.watches.take() else { return };
        let listeners = Listeners::NONE;
        for WatchedKey { db, slot, key } in &watches.keys {
            let shard = shard_of(*slot).into();
            let mut unit = entered.unit_of_shards(&shard, 0, listeners);
            unit.unwatch(*db, *slot, key, &watches.state);
        }
        watches.state.reset();
    }

    /// Bytes of memory.
    fn memory(&self) -> usize {
        let queue = self.queue.as_ref().map_or(0, |queue| {
            queue.args.memory() + queue.commands.capacity() * size_of::<Queued>()
        });
        let watched = self.watches.iter().flat_map(|watches| &watches.keys);
        queue + watched.map(|w| size_of::<WatchedKey>() + w.key.len()).sum::<usize>()
    }

    /// Shows the transaction to other threads.
    #[inline]
    pub(super) fn publish(&self, record: &ClientRecord, attributes: &mut Attributes) {
        if self.used {
            self.publish_some(record, attributes);
        }
    }

    #[cold]
    fn publish_some(&self, record: &ClientRecord, attributes: &mut Attributes) {
        let (queue, watches) = (self.queue.as_ref(), self.watches.as_ref());
        let queued = queue.map_or(self.executing, |queue| queue.commands.len());
        // `multi=` of CLIENT LIST is -1 until a transaction is first used.
        record.multi.queued.set(queued as u64 + 1);
        record.multi.watched.set(watches.map_or(0, |watches| watches.keys.len() as u64));
        record.multi.memory.set(self.memory() as u64);
        attributes.set(Attributes::MULTI, queue.is_some() || self.executing > 0);
    }
}

fn multi(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    cx.caller.transaction.used = true;
    cx.caller.transaction.queue.get_or_insert_default();
    out.ok();
    Ok(())
}

fn watch(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let db = cx.caller.db;
    cx.caller.transaction.used = true;
    let mut watches = cx.caller.transaction.watches.take().unwrap_or_else(|| {
        let state = cx.caller.record.multi.watch_state.get_or_init(Arc::default).clone();
        Box::new(Watches { state, keys: Vec::new() })
    });
    // The transaction will not be executed anyway.
    if !watches.state.is_changed() {
        for key in cx.keys {
            let is_known = |known: &WatchedKey| known.db == db && *known.key == *key.bytes;
            if !watches.keys.iter().any(is_known) {
                cx.unit.watch(db, key, &watches.state);
                watches.keys.push(WatchedKey { db, slot: key.slot, key: key.bytes.into() });
            }
        }
    }
    cx.caller.transaction.watches = Some(watches);
    out.ok();
    Ok(())
}

/// Ends all watches. The unit has the shards of the watched keys.
pub(super) fn unwatch(cx: &mut Cx<'_>) {
    let Some(watches) = cx.caller.transaction.watches.take() else { return };
    for WatchedKey { db, slot, key } in &watches.keys {
        cx.unit.unwatch(*db, *slot, key, &watches.state);
    }
    watches.state.reset();
}

/// Forgets the queue, and ends all watches.
pub(super) fn discard_all(cx: &mut Cx<'_>) {
    cx.caller.transaction.queue = None;
    unwatch(cx);
}

fn discard(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    if !cx.caller.transaction.is_queueing() {
        return Err("ERR DISCARD without MULTI".into());
    }
    discard_all(cx);
    out.ok();
    Ok(())
}

/// Whether a watched key was changed, or has expired, since it is watched.
fn watched_changed(cx: &Cx<'_>) -> bool {
    let Some(Watches { state, keys }) = cx.caller.transaction.watches.as_deref() else {
        return false;
    };
    let expired = |watched: &WatchedKey| {
        let key = Key { slot: watched.slot, ..Key::new(&watched.key) };
        cx.unit.has_expired_since(watched.db, &key, state)
    };
    state.is_changed() || keys.iter().any(expired)
}

const ABORTED: CommandError =
    CommandError::of("EXECABORT Transaction discarded because of previous errors.");

fn exec(cx: &mut Cx<'_>, _: Args<'_>, out: &mut Reply<'_>) -> Result {
    let changed = watched_changed(cx);
    let Some(queue) = cx.caller.transaction.queue.take() else {
        return Err("ERR EXEC without MULTI".into());
    };
    unwatch(cx);
    if queue.refused {
        return Err(ABORTED);
    }
    if changed {
        out.null_array();
        return Ok(());
    }
    out.array(queue.commands.len());
    cx.caller.transaction.executing = queue.commands.len();
    let origin = cx.caller.origin;
    // A replay stays one: nothing expires in it.
    cx.caller.origin = if cx.is_replay() { origin } else { Origin::Exec };
    let mut keys = SmallVec::<[Key<'_>; 2]>::new();
    for Queued { found, args } in &queue.commands {
        let args = queue.args.args(args.clone());
        if !cx.is_replay() {
            // A command before it may have changed the user.
            cx.caller.identity.look_at(&cx.server.acl);
            if cx.caller.identity.is_restricted()
                && let Err(denied) = permission::check_inner(
                    cx.server,
                    cx.settings,
                    cx.caller,
                    Context::Multi,
                    found,
                    args,
                )
            {
                let error = denied.error_at_exec();
                cx.stats.error(&error);
                out.error(error.text());
                continue;
            }
        }
        keys.clear();
        keys.extend(keys_of(found, args));
        call(&cx.env(), cx.unit, cx.caller, found, &keys, args, out);
        out.protocol = cx.caller.protocol;
    }
    cx.caller.origin = origin;
    cx.caller.transaction.executing = 0;
    cx.journal_nothing();
    Ok(())
}

/// Ends a transaction whose EXEC is refused before it runs: the error to answer with.
pub fn abort(caller: &mut Caller, entered: &Entered<'_>, error: &CommandError) -> CommandError {
    caller.transaction.used |= caller.transaction.queue.take().is_some();
    caller.transaction.leave(entered);
    let text = error.text();
    let text = text.strip_prefix(b"ERR ").unwrap_or(text);
    [b"EXECABORT Transaction discarded because of: ", text].concat().into()
}
