//! Clients that wait for keys: BLPOP and its kin.
//!
//! A command that finds nothing registers a [`Waiter`] in the shards of its keys, while it still has
//! them locked, and its session waits for the outcome. Whatever command makes such a key readable tries
//! the waiters' commands again, in the order of their arrival, before it unlocks the key: nobody can
//! take away in between what was meant for a waiter.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::command::{CommandError, Cx, Result};
use crate::keyspace::{Key, Keyspace, shard_of};
use crate::resp::{Protocol, Reply};
use crate::server::ClientRecord;

/// What a blocked client wants.
pub trait Blocked: Send + Sync {
    /// Tries again, for a key that may have become readable. True if it has replied; an error is a
    /// reply too.
    fn attempt(&self, cx: &mut Cx<'_>, key: &Key<'_>, out: &mut Reply<'_>) -> Result<bool>;

    /// Replies when the time is over.
    fn time_out(&self, out: &mut Reply<'_>) {
        out.null_array();
    }

    /// Whether an attempt uses other keys than the one that has become readable.
    fn moves(&self) -> bool {
        false
    }

    /// The reply to a client whose key has expired or was evicted, if it does not go on waiting.
    fn key_gone(&self, _key: &[u8]) -> Option<CommandError> {
        None
    }
}

/// A command's wish to wait: see [`Cx::block`].
pub struct Block {
    /// Milliseconds of Unix time.
    pub deadline: Option<i64>,
    pub keys: Vec<(u16, Box<[u8]>)>,
    pub blocked: Box<dyn Blocked>,
}

/// A client that waits.
pub struct Waiter {
    pub record: Arc<ClientRecord>,
    db: usize,
    protocol: Protocol,
    no_touch: bool,
    /// Milliseconds of Unix time.
    pub deadline: Option<i64>,
    /// With their slots.
    keys: Vec<(u16, Box<[u8]>)>,
    blocked: Box<dyn Blocked>,
    state: Mutex<State>,
}

/// Who changes it from `Waiting` decides how the wait ends.
enum State {
    Waiting,
    /// Another client's command is trying. If it does not succeed, the wait ends with the error that has
    /// come meanwhile.
    Tried(Option<CommandError>),
    /// With the reply's bytes.
    Over(Vec<Bytes>),
}

impl Waiter {
    /// Whether an attempt uses other keys than the one that has become readable.
    pub fn moves(&self) -> bool {
        self.blocked.moves()
    }

    /// The reply, if there is one.
    pub fn outcome(&self) -> Option<Vec<Bytes>> {
        match &mut *self.state.lock() {
            State::Over(reply) => Some(mem::take(reply)),
            _ => None,
        }
    }

    /// Ends the wait because time is over. Says whether it had not ended.
    pub fn time_out(&self) -> bool {
        self.end_waiting(|out| self.blocked.time_out(out))
    }

    /// Tells it that no command, but expiry or eviction has removed a key that it waits for.
    pub fn key_gone(&self, key: &[u8]) {
        let Some(error) = self.blocked.key_gone(key) else { return };
        let mut state = self.state.lock();
        match &mut *state {
            State::Waiting => self.end(state, |out| out.error(error.text())),
            State::Tried(gone) => *gone = Some(error),
            State::Over(_) => {}
        }
    }

    /// Ends the wait with an error. Says whether it had not ended.
    pub fn fail(&self, error: &CommandError) -> bool {
        self.end_waiting(|out| out.error(error.text()))
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

    /// Takes it off the lists of its keys. The calling thread must have entered the keyspace, and must
    /// have locked nothing.
    pub fn leave(self: &Arc<Self>, keyspace: &Keyspace) {
        for (slot, key) in &self.keys {
            keyspace.lock(shard_of(*slot)).waiting.remove(self.db, key, self);
        }
    }
}

/// What is left to do after a command, with its keys still locked: serves those who wait for what it
/// has made readable, and has its own client wait if it wants that.
#[cold]
pub fn settle(cx: &mut Cx<'_>) {
    let mut at = 0;
    // Serving may make more keys readable.
    while let Some((db, slot, bytes)) = cx.effects.ready.get_mut(at).map(mem::take) {
        serve(cx, db, &Key { slot, ..Key::new(&bytes) });
        at += 1;
    }
    cx.effects.ready.clear();
    if let Some(Block { deadline, keys, blocked }) = cx.effects.block.take() {
        let waiter = Arc::new(Waiter {
            record: cx.client.record.clone(),
            db: cx.client.db,
            protocol: cx.client.protocol,
            no_touch: cx.client.no_touch,
            deadline,
            keys,
            blocked,
            state: Mutex::new(State::Waiting),
        });
        for (slot, key) in &waiter.keys {
            cx.locked.shard(*slot).waiting.add(waiter.db, key, &waiter);
        }
        cx.client.waiter = Some(waiter);
    }
}

/// Tries the commands of those who wait for a key, in the order of their arrival.
fn serve(cx: &mut Cx<'_>, db: usize, key: &Key<'_>) {
    let waiters = cx.locked.shard(key.slot).waiting.of(db, key.bytes);
    for waiter in waiters {
        if !waiter.begin_attempt() {
            continue;
        }
        let reply = attempt(cx, &waiter, key);
        if reply.is_some() {
            cx.locked.shard(key.slot).waiting.remove(db, key.bytes, &waiter);
        }
        waiter.end_attempt(reply);
    }
}

/// Runs a waiter's command in place of its client.
fn attempt(cx: &mut Cx<'_>, waiter: &Waiter, key: &Key<'_>) -> Option<Vec<Bytes>> {
    let own = (cx.client.db, cx.client.no_touch);
    (cx.client.db, cx.client.no_touch) = (waiter.db, waiter.no_touch);
    let mut out = Reply::new(&mut [], waiter.protocol);
    let tried = waiter.blocked.attempt(cx, key, &mut out);
    (cx.client.db, cx.client.no_touch) = own;
    match tried {
        Ok(false) => None,
        Ok(true) => Some(out.into_chunks()),
        Err(error) => {
            cx.stats.error(&error);
            out.error(error.text());
            Some(out.into_chunks())
        }
    }
}

#[cfg(test)]
mod tests {
    use verbena_transport::{ConnectionInfo, Endpoint, unix};

    use super::*;
    use crate::config::Settings;
    use crate::server::Server;

    struct Reader;

    impl Blocked for Reader {
        fn attempt(&self, _: &mut Cx<'_>, _: &Key<'_>, _: &mut Reply<'_>) -> Result<bool> {
            Ok(false)
        }

        fn key_gone(&self, key: &[u8]) -> Option<CommandError> {
            (key == b"a").then_some(CommandError::SYNTAX)
        }
    }

    fn waiter() -> Waiter {
        let (server, _) = Server::new(Settings { io_threads: 1, ..Settings::default() }, None);
        let here = Endpoint::Path("test".into());
        let info =
            ConnectionInfo { backend: &unix::BACKEND, peer: here.clone(), local: here, fd: None };
        Waiter {
            record: server.clients.register(info, 0),
            db: 0,
            protocol: Protocol::Resp2,
            no_touch: false,
            deadline: None,
            keys: Vec::new(),
            blocked: Box::new(Reader),
            state: Mutex::new(State::Waiting),
        }
    }

    #[test]
    fn who_is_told_that_a_key_is_gone_during_an_attempt_hears_it_after_that() {
        let outcome = |waiter: &Waiter| waiter.outcome().map(|reply| reply.concat());
        let error = Some(b"-ERR syntax error\r\n".to_vec());

        let waiting = waiter();
        waiting.key_gone(b"b");
        assert_eq!(outcome(&waiting), None, "it is not about this key");
        waiting.key_gone(b"a");
        assert_eq!(outcome(&waiting), error);

        let tried = waiter();
        assert!(tried.begin_attempt());
        tried.key_gone(b"a");
        assert_eq!(outcome(&tried), None);
        tried.end_attempt(None);
        assert_eq!(outcome(&tried), error);
        assert!(!tried.time_out(), "it has ended");

        let served = waiter();
        assert!(served.begin_attempt());
        served.key_gone(b"a");
        served.end_attempt(Some(vec![Bytes::from_static(b"+OK\r\n")]));
        assert_eq!(outcome(&served), Some(b"+OK\r\n".to_vec()));

        let again = waiter();
        assert!(again.begin_attempt());
        again.end_attempt(None);
        assert_eq!(outcome(&again), None);
        assert!(again.begin_attempt(), "it goes on waiting");
    }
}
