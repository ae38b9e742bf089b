//! Clients that wait for keys: BLPOP and its kin.
//!
//! A command that finds nothing parks its client in the shards of its keys, while it still has them
//! locked, and the client's session waits for the outcome. A unit that makes such a key readable tries the
//! parked clients' commands again, in the order of their arrival, before it unlocks the key: nobody can
//! take away in between what was meant for a parked client.

use std::any::Any;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::call::Env;
use super::observation::BegunCall;
use super::{Caller, CommandError, Cx, Identity, Origin, Result, permission};
use crate::acl::Context;
use crate::keyspace::parked::Parked;
use crate::keyspace::{Entered, Key, Listeners, ReadyKey, Unit, shard_of};
use crate::resp::{Protocol, Reply};
use crate::state::{ClientRecord, unix_milliseconds};

/// The command of a client that waits.
pub trait Blocked: Send + Sync {
    /// Tries again, for a key that may have become readable. True if it has replied; an error is a
    /// reply too.
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool>;

    /// Replies when the time is over.
    fn time_out(&self, out: &mut Reply<'_>) {
        out.null_array();
    }

    /// Replies to a caller that may not wait.
    fn refuse(&self, out: &mut Reply<'_>) {
        self.time_out(out);
    }

    /// Whether an attempt uses other keys than the one that has become readable.
    fn uses_other_keys(&self) -> bool {
        false
    }

    /// Whether the client does not go on waiting when its key is gone.
    fn ends_without_key(&self) -> bool {
        false
    }

    /// The reply to a client whose key has expired or was evicted, if it does not go on waiting.
    fn key_gone(&self, _key: &[u8]) -> Option<CommandError> {
        None
    }
}

/// Called with the parked call, as soon as its client is parked.
pub type Begin = Box<dyn FnOnce(Arc<ParkedCall>)>;

/// A command's wish to wait: see [`Cx::block`] and [`Cx::answer_later`].
pub struct Block {
    /// Milliseconds of Unix time.
    pub deadline: Option<i64>,
    pub keys: Vec<(u16, Box<[u8]>)>,
    pub blocked: Box<dyn Blocked>,
    /// Starts the work whose end is waited for, if that is not a key.
    pub begin: Option<Begin>,
}

/// A command that is answered by another thread, and not when a key becomes readable.
pub struct AnsweredLater;

impl Blocked for AnsweredLater {
    fn attempt(&self, _: &mut Cx<'_>, _: &Key<'_>, _: &mut Reply<'_>) -> Result<bool> {
        Ok(false)
    }
}

/// A client that waits, with its command.
pub struct ParkedCall {
    record: Arc<ClientRecord>,
    db: usize,
    protocol: Protocol,
    no_touch: bool,
    import_source: bool,
    identity: Identity,
    begun: Option<Box<BegunCall>>,
    /// Its user may not call it any more.
    refused: AtomicBool,
    /// Ticks of the attempts.
    spent: AtomicU64,
    /// Milliseconds of Unix time.
    pub deadline: Option<i64>,
    /// With their slots.
    keys: Vec<(u16, Box<[u8]>)>,
    blocked: Box<dyn Blocked>,
    state: Mutex<State>,
}

/// The thread that changes it from `Waiting` decides how the wait ends.
enum State {
    Waiting,
    /// Another client's command is trying. If it does not succeed, the wait ends with the error that has
    /// come meanwhile.
    Tried(Option<CommandError>),
    /// With the reply's bytes.
    Over(Vec<Bytes>),
}

impl Parked for ParkedCall {
    fn uses_other_keys(&self) -> bool {
        self.blocked.uses_other_keys()
    }

    fn ends_without_key(&self) -> bool {
        self.blocked.ends_without_key()
    }

    fn key_gone(&self, key: &[u8]) {
        let Some(error) = self.blocked.key_gone(key) else { return };
        let mut state = self.state.lock();
        match &mut *state {
            State::Waiting => self.end(state, |out| out.error(error.text())),
            State::Tried(gone) => *gone = Some(error),
            State::Over(_) => {}
        }
    }

    fn time_out(&self) -> bool {
        self.end_waiting(|out| self.blocked.time_out(out))
    }

    fn fail(&self, error: &[u8]) -> bool {
        self.end_waiting(|out| out.error(error))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ParkedCall {
    /// The client that waits.
    pub fn record(&self) -> &ClientRecord {
        &self.record
    }

    /// Whether the wait has ended.
    pub fn is_over(&self) -> bool {
        matches!(*self.state.lock(), State::Over(_))
    }

    /// The reply, if there is one.
    pub fn outcome(&self) -> Option<Vec<Bytes>> {
        match &mut *self.state.lock() {
            State::Over(reply) => Some(mem::take(reply)),
            _ => None,
        }
    }

    /// Counts the call, which has ended with this reply; the client hears it if `is_heard`. For the
    /// session, once.
    pub fn note_end(&self, env: &Env<'_>, reply: &[Bytes], is_heard: bool) {
        if let Some(begun) = &self.begun {
            if self.refused.load(Ordering::Relaxed) {
                begun.refuse(env, reply);
            } else {
                begun.end(env, &self.record, self.spent.load(Ordering::Relaxed), reply, is_heard);
            }
        }
    }

    /// Ends the wait with the outcome of what was waited for, from any thread.
    pub fn complete(&self, outcome: Result) {
        self.end_waiting(|out| match &outcome {
            Ok(()) => out.ok(),
            Err(error) => out.error(error.text()),
        });
    }

    fn end_waiting(&self, reply: impl FnOnce(&mut Reply<'_>)) -> bool {
        let state = self.state.lock();
        let waits = matches!(*state, State::Waiting);
        if waits {
            self.end(state, reply);
        }
        waits
    }

    fn end(&self, mut state: MutexGuard<'_, State>, reply: impl FnOnce(&mut Reply<'_>)) {
        *state = State::Over(self.encode(reply));
        drop(state);
        self.record.wake();
    }

    fn encode(&self, reply: impl FnOnce(&mut Reply<'_>)) -> Vec<Bytes> {
        let mut out = Reply::new(&mut [], self.protocol);
        reply(&mut out);
        out.into_chunks()
    }

    fn begin_attempt(&self) -> bool {
        let mut state = self.state.lock();
        let waits = matches!(*state, State::Waiting);
        if waits {
            *state = State::Tried(None);
        }
        waits
    }

    fn end_attempt(&self, reply: Option<Vec<Bytes>>) {
        let mut state = self.state.lock();
        let tried = mem::replace(&mut *state, State::Waiting);
        if let Some(reply) = reply {
            *state = State::Over(reply);
        } else if let State::Tried(Some(error)) = tried {
            *state = State::Over(self.encode(|out| out.error(error.text())));
        }
        drop(state);
        // Where there is no reply, its time may have come meanwhile.
        self.record.wake();
    }

    /// Takes it off the lists of its keys. The calling thread must hold no shard.
    pub fn leave(self: &Arc<Self>, entered: &Entered<'_>) {
        let parked: Arc<dyn Parked> = self.clone();
        for (slot, key) in &self.keys {
            let shard = shard_of(*slot).into();
            let mut unit = entered.unit_of_shards(&shard, 0, Listeners::NONE);
            unit.unpark(self.db, *slot, key, &parked);
        }
    }
}

/// What is left to do after a unit's calls, with its keys still locked: serves the clients that wait for
/// keys which have become readable, and parks the unit's own caller if that wants to wait.
#[cold]
pub fn settle(env: &Env<'_>, unit: &mut Unit<'static>, caller: &mut Caller) {
    serve_ready(env, unit);
    if let Some(Block { deadline, keys, blocked, begin }) = caller.block.take() {
        let call = Arc::new(ParkedCall {
            record: caller.record.clone(),
            db: caller.db,
            protocol: caller.protocol,
            no_touch: caller.no_touch,
            import_source: caller.import_source,
            identity: caller.identity.clone(),
            refused: AtomicBool::new(false),
            begun: caller.begun.take(),
            spent: AtomicU64::new(0),
            deadline,
            keys,
            blocked,
            state: Mutex::new(State::Waiting),
        });
        let parked: Arc<dyn Parked> = call.clone();
        for (slot, key) in &call.keys {
            unit.park(call.db, *slot, key, &parked);
        }
        if let Some(begin) = begin {
            begin(call.clone());
        }
        caller.parked = Some(call);
    }
}

/// Serves the clients that wait for keys which have become readable. Serving them may make more keys
/// readable.
pub fn serve_ready(env: &Env<'_>, unit: &mut Unit<'static>) {
    if unit.has_ready_keys() {
        // The unit may have taken long: an element that has expired by now is nobody's.
        unit.now = unix_milliseconds();
    }
    while unit.has_ready_keys() {
        for ready in unit.take_ready_keys() {
            serve(env, unit, &ready);
        }
    }
}

/// Tries the commands of the clients that wait for a key, in the order of their arrival.
fn serve(env: &Env<'_>, unit: &mut Unit<'static>, ready: &ReadyKey) {
    for parked in unit.parked(ready) {
        let call: &ParkedCall =
            parked.as_any().downcast_ref().expect("only this module parks clients");
        if !call.begin_attempt() {
            continue;
        }
        let reply = attempt(env, unit, call, ready);
        if reply.is_some() {
            unit.unpark(ready.db, ready.slot, &ready.key, &parked);
        }
        call.end_attempt(reply);
    }
}

/// Whether the user of a parked client may call its command still, if the users have changed since.
fn check_permission(env: &Env<'_>, caller: &mut Caller, call: &ParkedCall) -> Result {
    let changed = caller.identity.look_at(&env.server.acl);
    match &call.begun {
        Some(begun) if changed && caller.identity.is_restricted() => {
            let (found, args) = (begun.found, begun.args());
            let (server, settings) = (env.server, env.settings);
            permission::check_inner(server, settings, caller, Context::TopLevel, found, args)
                .map_err(|denied| denied.error(caller.identity.user(), found))
        }
        _ => Ok(()),
    }
}

/// Runs a parked client's command within another's unit.
fn attempt(
    env: &Env<'_>,
    unit: &mut Unit<'static>,
    call: &ParkedCall,
    ready: &ReadyKey,
) -> Option<Vec<Bytes>> {
    let mut caller = Caller {
        origin: Origin::Unblocked,
        db: call.db,
        protocol: call.protocol,
        no_touch: call.no_touch,
        import_source: call.import_source,
        ..Caller::of(call.record.clone(), call.identity.clone())
    };
    let mut out = Reply::new(&mut [], call.protocol);
    if let Err(error) = check_permission(env, &mut caller, call) {
        call.refused.store(true, Ordering::Relaxed);
        out.error(error.text());
        return Some(out.into_chunks());
    }
    let key = Key { slot: ready.slot, ..Key::new(&ready.key) };
    let mut cx = Cx::new(env, unit, &mut caller, &[]);
    let started = env.clock.raw();
    let replied = call.blocked.attempt(&mut cx, &key, &mut out);
    call.spent.fetch_add(env.clock.raw() - started, Ordering::Relaxed);
    match replied {
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => out.error(error.text()),
    }
    Some(out.into_chunks())
}

#[cfg(test)]
mod tests {
    use verbena_transport::{ConnectionInfo, Endpoint, unix};

    use super::*;
    use crate::command;
    use crate::config::Settings;
    use crate::state::Server;

    struct Reader;

    impl Blocked for Reader {
        fn attempt(&self, _: &mut Cx<'_>, _: &Key<'_>, _: &mut Reply<'_>) -> Result<bool> {
            Ok(false)
        }

        fn key_gone(&self, key: &[u8]) -> Option<CommandError> {
            (key == b"a").then_some(CommandError::SYNTAX)
        }
    }

    fn parked() -> ParkedCall {
        let settings = Settings { io_threads: 1, ..Settings::default() };
        let (server, _) = Server::new(settings, None, command::table().for_rules());
        let here = Endpoint::Path("test".into());
        let info = ConnectionInfo {
            backend: &unix::BACKEND,
            peer: here.clone(),
            local: here,
            fd: None,
            certificate: None,
        };
        ParkedCall {
            record: server.clients.register(info, 0, 0),
            db: 0,
            protocol: Protocol::Resp2,
            no_touch: false,
            import_source: false,
            identity: Identity::new(&server.acl),
            refused: AtomicBool::new(false),
            begun: None,
            spent: AtomicU64::new(0),
            deadline: None,
            keys: Vec::new(),
            blocked: Box::new(Reader),
            state: Mutex::new(State::Waiting),
        }
    }

    #[test]
    fn who_is_told_that_a_key_is_gone_during_an_attempt_hears_it_after_that() {
        let outcome = |call: &ParkedCall| call.outcome().map(|reply| reply.concat());
        let error = Some(b"-ERR syntax error\r\n".to_vec());

        let waiting = parked();
        waiting.key_gone(b"b");
        assert_eq!(outcome(&waiting), None, "it is not about this key");
        waiting.key_gone(b"a");
        assert_eq!(outcome(&waiting), error);

        let tried = parked();
        assert!(tried.begin_attempt());
        tried.key_gone(b"a");
        assert_eq!(outcome(&tried), None);
        tried.end_attempt(None);
        assert_eq!(outcome(&tried), error);
        assert!(!tried.time_out(), "it has ended");

        let served = parked();
        assert!(served.begin_attempt());
        served.key_gone(b"a");
        served.end_attempt(Some(vec![Bytes::from_static(b"+OK\r\n")]));
        assert_eq!(outcome(&served), Some(b"+OK\r\n".to_vec()));

        let again = parked();
        assert!(again.begin_attempt());
        again.end_attempt(None);
        assert_eq!(outcome(&again), None);
        assert!(again.begin_attempt(), "it goes on waiting");
    }
}
