//! One connection's life: requests in, commands executed, replies out.
//!
//! A session is one state machine ([`State`]) with one poll. It reads and writes through the
//! [`Connection`] trait alone, and waits for nothing but what it is polled for: bytes, room to send, and
//! the wake-ups of its [`ClientRecord`], by which other threads reach it.

#[cfg(test)]
mod tests;
mod turn;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use verbena_transport::event_loop::yield_task;
use verbena_transport::{Connection, ConnectionInfo};

use crate::command::{
    Caller, CommandTable, Ending, ParkedCall, Registered, ReplyMode, authenticate_by_certificate,
    stop_broadcasts,
};
use crate::keyspace::Key;
use crate::keyspace::parked::Parked;
use crate::log;
use crate::resp::{Args, Limits, ProtocolError, Reply, RequestParser};
use crate::state::ClientRecord;
use crate::worker::{Deadline, Worker};

use turn::{Pending, Stop, Turn};

/// Serves `connection` until either side ends it.
pub fn serve(
    worker: Rc<Worker>,
    connection: Box<dyn Connection>,
    record: Arc<ClientRecord>,
) -> impl Future<Output = ()> {
    Serve { session: Session::new(worker, record), connection }
}

/// The task of one connection.
struct Serve {
    session: Session,
    connection: Box<dyn Connection>,
}

impl Future for Serve {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Serve { session, connection } = &mut *self;
        let ended = ready!(session.poll(&mut **connection, cx));
        // However the connection ends, nothing more can be said to the peer.
        if let Err(error) = ended {
            log_end(connection.info(), &error);
        }
        Poll::Ready(())
    }
}

/// Logs why a connection has failed, unless this side has ended it and said so.
#[cold]
fn log_end(info: &ConnectionInfo, error: &io::Error) {
    if error.kind() != GONE {
        let log = if info.backend.reports_failures { log::notice } else { log::verbose };
        log(format_args!("Closing the connection of {}: {error}", info.peer));
    }
}

/// Requests that are looked up in the keyspace together before the first one runs: enough to hide
/// the memory's latency, few enough to stay in the first-level cache.
const BATCH: usize = 16;

thread_local! {
    /// The memory for the requests of a batch, which the sessions of a thread use in turn: an idle one needs
    /// none.
    static BATCH_MEMORY: Cell<Vec<Pending>> = const { Cell::new(Vec::new()) };
}

/// Bytes from one connection after which the session yields to the others of its thread.
const YIELD_AFTER: usize = 128 * 1024;

/// Bytes that a client which has not authenticated may have in its query buffer, as in Valkey.
const UNAUTHENTICATED_QUERY: usize = 1 << 20;

/// Bytes of replies that no limit of the output buffer concerns: as many as Valkey has room for outside of
/// the buffer that it limits.
const UNLIMITED_OUTPUT: u64 = 16 * 1024;

struct Session {
    worker: Rc<Worker>,
    caller: Caller,
    state: State,
    parser: RequestParser,
    recent: Recent,
    /// Bytes of replies so far.
    encoded: u64,
    /// Bytes received and not executed.
    waiting: usize,
    /// Bytes so far of a long argument that is being received into memory of its own.
    detached: Option<usize>,
    /// Bytes received since the connection last had nothing to say.
    served: usize,
    /// Bytes besides the buffers that are counted in the memory of all clients.
    counted: u64,
}

/// What a session is doing.
enum State {
    /// It waits for more of the next request.
    Reading,
    /// Complete requests may have arrived.
    Executing,
    /// Long replies are to be sent, as far as that goes, before more requests are executed.
    Sending,
    /// The next request waits for the end of a pause (CLIENT PAUSE). What arrives meanwhile is kept.
    Paused,
    /// The last request waits for keys. What arrives meanwhile is kept.
    Parked(ParkedSession),
    /// Everything that was written is to be sent; then the connection ends.
    Closing,
    /// The connection ends without another word.
    Closed,
}

/// Bytes that a session takes, but for its buffers.
pub const SIZE: usize = size_of::<Serve>();

impl Session {
    fn new(worker: Rc<Worker>, record: Arc<ClientRecord>) -> Self {
        let mut caller = Caller::new(record, &worker.server.acl);
        if caller.record.info.certificate.is_some() {
            authenticate_by_certificate(worker.server, &worker.settings(), &mut caller);
        }
        Session {
            caller,
            state: State::Reading,
            parser: RequestParser::default(),
            recent: Recent::default(),
            encoded: 0,
            waiting: 0,
            detached: None,
            served: 0,
            counted: 0,
            worker,
        }
    }

    /// Does all that can be done now. Ready when the connection is to be closed.
    fn poll(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.caller.record.set_waker(cx);
        loop {
            if !self.caller.record.outbox.is_empty() && !self.has_parked_reply() {
                self.take_outbox(connection);
            }
            let next = match self.state {
                State::Reading => ready!(self.poll_request(connection, cx))?,
                State::Executing => self.execute(connection),
                State::Sending => {
                    ready!(self.poll_send(connection, cx))?;
                    State::Executing
                }
                State::Paused => ready!(self.poll_paused(connection, cx))?,
                State::Parked(_) => ready!(self.poll_parked(connection, cx))?,
                State::Closing => ready!(self.poll_closing(connection, cx))?,
                State::Closed => return Poll::Ready(Ok(())),
            };
            let yields = self.yields(&next);
            self.state = next;
            if yields {
                self.served = 0;
                yield_task(cx);
                return Poll::Pending;
            }
        }
    }

    /// Whether the client's wait has ended, and its reply is not sent yet: what others had for the client when
    /// they ended it comes after that.
    fn has_parked_reply(&self) -> bool {
        matches!(&self.state, State::Parked(parked) if parked.call.is_over())
    }

    /// Whether the others of the thread run before the session enters `next`.
    fn yields(&self, next: &State) -> bool {
        match (&self.state, next) {
            (State::Executing, State::Reading) => self.served >= YIELD_AFTER,
            (State::Sending | State::Paused | State::Parked(_), State::Executing) => true,
            _ => false,
        }
    }

    /// Takes the bytes that other threads have for the client. They go between two replies.
    #[cold]
    fn take_outbox(&mut self, connection: &mut dyn Connection) {
        let (_, space) = connection.buffers();
        let mut out = Reply::new(space, self.caller.protocol);
        self.caller.record.outbox.move_to(&mut out);
        self.encoded += out.len() as u64;
        let written = out.written();
        let chunks = out.into_chunks();
        connection.advance(0, written);
        chunks.into_iter().for_each(|chunk| connection.queue(chunk));
    }

    /// Waits for bytes.
    fn poll_request(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<State>> {
        let received = ready!(self.poll_receive(connection, cx))?;
        if received == 0 {
            // The peer has said all it wants to say, and may still listen.
            return Poll::Ready(Ok(State::Closing));
        }
        if self.detached.is_some() && !self.receive_detached(connection, received) {
            return Poll::Ready(Ok(match self.caller.ending {
                Ending::Open => State::Reading,
                _ => State::Closed,
            }));
        }
        Poll::Ready(Ok(State::Executing))
    }

    /// Executes what has arrived.
    fn execute(&mut self, connection: &mut dyn Connection) -> State {
        match self.process(connection) {
            None => State::Reading,
            Some(Stop::Replies) => State::Sending,
            Some(Stop::Paused) => State::Paused,
            Some(Stop::Parked) => match self.caller.parked.take() {
                Some(call) => State::Parked(ParkedSession::new(&self.worker, call)),
                None => State::Executing,
            },
            Some(Stop::Ended) if self.caller.ending == Ending::Now => State::Closed,
            Some(Stop::Ended) => State::Closing,
        }
    }

    /// Keeps what arrives while no request is executed.
    fn poll_keep(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        while let Poll::Ready(received) = self.poll_receive(connection, cx)? {
            self.waiting += received;
            self.count_buffers(connection);
            if received == 0 || self.waiting > self.query_limit() {
                return Err(gone());
            }
        }
        Ok(())
    }

    /// Lets the time of a pause go by.
    fn poll_paused(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<State>> {
        self.poll_keep(connection, cx)?;
        if self.worker.is_paused() {
            return Poll::Pending;
        }
        self.caller.waits = false;
        Poll::Ready(Ok(State::Executing))
    }

    /// Waits until another client has made the last command's keys readable, or time is over.
    fn poll_parked(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<State>> {
        self.poll_keep(connection, cx)?;
        let State::Parked(parked) = &mut self.state else { return Poll::Pending };
        let Some(reply) = parked.poll(cx) else { return Poll::Pending };
        let heard = self.caller.reply_mode == ReplyMode::On;
        let settings = self.worker.settings();
        self.caller.commands += 1;
        parked.call.note_end(&self.worker.env(&settings), &reply, heard);
        self.caller.waits = false;
        self.worker.refresh_clock();
        if self.caller.reply_mode == ReplyMode::On {
            for chunk in reply {
                self.encoded += chunk.len() as u64;
                connection.queue(chunk);
            }
        }
        Poll::Ready(Ok(State::Executing))
    }

    /// Sends what is still to be sent.
    fn poll_closing(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<State>> {
        if self.caller.ending == Ending::Now {
            return Poll::Ready(Ok(State::Closed));
        }
        ready!(self.poll_send(connection, cx))?;
        if connection.unsent() > 0 { Poll::Pending } else { Poll::Ready(Ok(State::Closed)) }
    }

    /// After so many bytes of an argument that is received into memory of its own: whether it is
    /// complete.
    fn receive_detached(&mut self, connection: &mut dyn Connection, received: usize) -> bool {
        let Some(bytes) = connection.take_detached() else {
            self.waiting += received;
            let so_far = self.detached.unwrap_or(0) + received;
            self.detached = Some(so_far);
            self.count_buffers(connection);
            let now = self.worker.refresh_clock();
            self.caller.record.last_interaction.store(now, Ordering::Relaxed);
            self.check_query(so_far);
            return false;
        };
        self.detached = None;
        // As Valkey, which reads all of it before it looks.
        self.check_query(bytes.len());
        self.parser.take_detached(bytes);
        self.caller.ending == Ending::Open
    }

    /// Bytes of a request that may wait to be complete, and of queued commands.
    fn query_limit(&self) -> usize {
        let settings = self.worker.settings();
        let limit = settings.client_query_buffer_limit;
        if self.caller.identity.is_anonymous() { limit.min(UNAUTHENTICATED_QUERY) } else { limit }
    }

    /// Ends a connection of which more waits than the configuration allows: for one argument to be
    /// complete, and in the queue of a transaction.
    fn check_query(&mut self, waiting: usize) {
        let worker = &self.worker;
        if waiting + self.caller.transaction.queued_bytes() <= self.query_limit() {
            return;
        }
        let now = worker.refresh_clock();
        log::warning(format_args!(
            "Closing client that reached max query buffer length: {}",
            self.caller.record.line(now, &worker.server.command_names)
        ));
        worker.server.query_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        self.caller.ending = Ending::Now;
    }

    /// Sends what waits and receives what comes; 0 is the end of it.
    fn poll_receive(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // Whether everything could be sent does not matter: a peer may say all it has to say before
        // it listens.
        if connection.unsent() > 0 {
            let _ = self.poll_send(connection, cx)?;
        } else if self.caller.record.is_killed() {
            return Poll::Ready(Err(gone()));
        }
        let received = connection.poll_receive(cx)?;
        match received {
            Poll::Ready(n) => {
                self.caller.record.net_input.add(n as u64);
                self.worker.stats().net_input.add(n as u64);
                self.worker.stats().reads.add(1);
                self.served += n;
            }
            Poll::Pending if self.caller.record.is_finishing() && connection.unsent() == 0 => {
                return Poll::Ready(Err(gone()));
            }
            Poll::Pending => self.served = 0,
        }
        received.map(Ok)
    }

    /// Sends what can be sent now.
    fn poll_send(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let record = &self.caller.record;
        if record.is_killed() {
            return Poll::Ready(Err(gone()));
        }
        let sent = connection.poll_flush(cx)?;
        let total = self.encoded - connection.unsent() as u64;
        let stats = self.worker.stats();
        let progress = total - record.net_output.get();
        stats.net_output.add(progress);
        stats.writes.add(u64::from(progress > 0));
        record.net_output.set(total);
        if sent.is_pending() || record.unsent.get() > 0 {
            self.publish_buffers(connection);
            self.check_reader(progress > 0)?;
            self.worker.server.count_client(&self.caller.record);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends a connection whose peer leaves too much unread; the control thread ends it if that lasts
    /// too long.
    #[cold]
    fn check_reader(&self, progress: bool) -> io::Result<()> {
        let record = &self.caller.record;
        let server = self.worker.server;
        let limit = self.worker.settings().client_output_buffer_limit.of(record.class());
        let now = self.worker.refresh_clock();
        if progress {
            record.last_interaction.store(now, Ordering::Relaxed);
        }
        if limit.soft == 0 || record.output() < limit.soft {
            record.over_soft_limit.set(0);
        } else if record.over_soft_limit.get() == 0 {
            record.over_soft_limit.set(now as u64);
        }
        if record.is_over(limit, now) {
            record.log_output_limit(now, &server.command_names);
            server.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
            return Err(gone());
        }
        Ok(())
    }

    /// Ends a connection that has too much to send, before any of it is sent.
    #[cold]
    fn check_replies(&mut self, connection: &dyn Connection) {
        let limit =
            self.worker.settings().client_output_buffer_limit.of(self.caller.record.class());
        if limit.hard > 0 {
            self.publish_buffers(connection);
            if self.check_reader(false).is_err() {
                self.caller.ending = Ending::Now;
            }
        }
    }

    /// Shows other threads the buffers, and counts them in the memory of all clients.
    #[cold]
    fn count_buffers(&self, connection: &dyn Connection) {
        self.publish_buffers(connection);
        self.worker.server.count_client(&self.caller.record);
    }

    #[cold]
    fn publish_buffers(&self, connection: &dyn Connection) {
        let record = &self.caller.record;
        let (query, send) = connection.memory();
        let (chunks, queued) = connection.queued();
        // A long argument is all that is in the buffer of an incomplete request: those before it are parsed.
        let unparsed = self.detached.unwrap_or(self.waiting).min(self.waiting);
        record.query.set(unparsed as u64);
        record.arguments.set((self.waiting - unparsed) as u64);
        record.query_memory.set(query as u64);
        record.unsent.set(connection.unsent() as u64);
        record.queued_chunks.set(chunks as u64);
        record.queued.set(queued as u64);
        record.send_memory.set(send as u64);
        let buffer = send.saturating_sub(queued) as u64;
        record.send_memory_peak.set(record.send_memory_peak.get().max(buffer));
    }

    /// Executes the complete requests that have arrived, or some of them and says why not all.
    fn process(&mut self, connection: &mut dyn Connection) -> Option<Stop> {
        let worker = self.worker.clone();
        let now = worker.refresh_clock();
        let (received, space) = connection.buffers();
        let mut reply = Reply::new(space, self.caller.protocol);
        let unsent = self.encoded - self.caller.record.net_output.get();
        let mut turn = Turn::begin(&worker, &mut self.caller, now, unsent, &mut reply);
        let mut consumed = 0;
        let mut batch = BATCH_MEMORY.take();
        let commands_before = self.caller.commands;
        let mut stop = loop {
            let limits = turn.limits(&self.caller);
            let parsed = self.parse_batch(&limits, received, &turn, &mut batch);
            let mut stop = None;
            for pending in &batch {
                let args = self.parser.args(received, &pending.request);
                stop = turn.stop(&self.caller, pending, args, &reply);
                if stop.is_some() {
                    if stop == Some(Stop::Paused) {
                        self.caller.last_command = pending.found.map(|found| found.id);
                    }
                    break;
                }
                self.caller.request_bytes = pending.request.bytes(consumed, args) as u64;
                self.caller.reply_start = reply.len() as u64;
                turn.execute(&mut self.caller, pending, args, &mut reply);
                consumed = pending.request.end;
            }
            match parsed {
                _ if stop.is_some() => break stop,
                _ if self.caller.parked.is_some() => break Some(Stop::Parked),
                Ok(Batch::Full) => {}
                Ok(Batch::Short) => break None,
                Err(error) => {
                    if self.caller.ending == Ending::Open {
                        worker.stats().error(&error.reply().into());
                        if self.caller.reply_mode == ReplyMode::On {
                            reply.error(error.reply());
                        }
                        self.caller.ending = Ending::AfterReply;
                    }
                    break None;
                }
            }
        };
        worker.stats().note_turn(self.caller.commands - commands_before);
        let left = received.len() - consumed;
        turn.end(&self.caller);
        BATCH_MEMORY.set(batch);
        let written = reply.written();
        self.encoded += reply.len() as u64;
        let chunks = reply.into_chunks();
        match stop {
            None => self.parser.begin(consumed),
            Some(_) => self.parser.restart(consumed),
        }
        connection.advance(consumed, written);
        for chunk in chunks {
            connection.queue(chunk);
        }
        let waiting = if left > 0 { left + self.parser.detached_bytes() } else { 0 };
        let queued = self.caller.transaction.queued_bytes();
        if stop.is_none() && waiting + queued > 0 {
            self.check_query(if waiting > 0 { self.parser.unparsed(left) } else { 0 });
        }
        if stop.is_none() && waiting > 0 && self.caller.ending == Ending::Open {
            let long = self.parser.worth_detaching(left);
            let begun = long.is_some_and(|(at, len)| connection.receive_detached(at, len));
            self.detached = begun.then(|| self.parser.unparsed(left));
            if !begun {
                connection.expect(self.parser.expected());
            }
        }
        if self.encoded - self.caller.record.net_output.get() > UNLIMITED_OUTPUT {
            self.check_replies(connection);
        }
        if self.caller.ending != Ending::Open {
            stop = Some(Stop::Ended);
        }
        if stop == Some(Stop::Ended)
            && let Some(call) = self.caller.parked.take()
        {
            drop(ParkedSession::new(&worker, call));
        }
        self.caller.waits = matches!(stop, Some(Stop::Paused | Stop::Parked));
        self.caller.publish();
        self.caller.record.last_interaction.store(now, Ordering::Relaxed);
        let besides = self.caller.record.state_memory();
        if self.waiting + waiting > 0 {
            self.waiting = waiting;
            self.counted = besides;
            self.count_buffers(connection);
        } else if besides != self.counted {
            self.counted = besides;
            worker.server.count_client(&self.caller.record);
        }
        stop
    }

    /// Parses the next requests, and has the memory that their keys need loaded meanwhile.
    fn parse_batch(
        &mut self,
        limits: &Limits,
        received: &[u8],
        turn: &Turn<'_>,
        batch: &mut Vec<Pending>,
    ) -> Result<Batch, ProtocolError> {
        let server = self.worker.server;
        // What an unauthenticated client may send changes with its next command.
        let most = if limits.unauthenticated { 1 } else { BATCH };
        batch.clear();
        let parsed = loop {
            if batch.len() == most {
                break Ok(Batch::Full);
            }
            match self.parser.parse(received, limits) {
                Ok(Some(request)) => {
                    let args = self.parser.args(received, &request);
                    let found = self.recent.resolve(self.worker.commands, args);
                    let key = match found {
                        Some(found) if found.first_key_only => {
                            let key = Key::new(args.at(1));
                            // On its way while the next request is parsed.
                            server.keyspace.prefetch_shard(key.slot);
                            (key.hash, key.slot)
                        }
                        _ => (0, 0),
                    };
                    batch.push(Pending { request, found, key });
                }
                Ok(None) => break Ok(Batch::Short),
                Err(error) => break Err(error),
            }
        };
        // A single one is looked up just as well when it runs.
        if batch.len() > 1
            && let Some(entered) = turn.entered()
        {
            let keys = batch.iter().filter(|p| p.found.is_some_and(|f| f.first_key_only));
            server.keyspace.prefetch(entered, self.caller.db, keys.map(|pending| pending.key));
        }
        parsed
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (server, caller) = (self.worker.server, &mut self.caller);
        caller.leave(server);
        if caller.transaction.is_watching() || caller.tracking.is_some() {
            let mut transaction = std::mem::take(&mut caller.transaction);
            self.worker.enter_soon(move |entered| {
                transaction.leave(entered);
                stop_broadcasts(server, entered);
            });
        }
    }
}

/// A session's wait for keys, until it ends, however that happens.
struct ParkedSession {
    worker: Rc<Worker>,
    call: Arc<ParkedCall>,
    deadline: Option<Deadline>,
}

impl ParkedSession {
    fn new(worker: &Rc<Worker>, call: Arc<ParkedCall>) -> Self {
        *call.record().parked.lock() = Some(call.clone());
        let deadline = call.deadline.map(|at| worker.deadlines.reach(at));
        ParkedSession { worker: worker.clone(), call, deadline }
    }

    /// The reply, if the wait has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Vec<bytes::Bytes>> {
        if self.deadline.as_mut().is_some_and(|deadline| Pin::new(deadline).poll(cx).is_ready()) {
            // Where it is being tried right now, this runs again after that.
            self.call.time_out();
        }
        self.call.outcome()
    }
}

impl Drop for ParkedSession {
    fn drop(&mut self) {
        // Nothing is tried for a client that is gone.
        self.call.time_out();
        *self.call.record().parked.lock() = None;
        let call = self.call.clone();
        self.worker.enter_soon(move |entered| call.leave(entered));
    }
}

/// For a connection that ends without another word.
fn gone() -> io::Error {
    GONE.into()
}

const GONE: io::ErrorKind = io::ErrorKind::ConnectionAborted;

/// Whether there may be more requests behind a batch.
enum Batch {
    Full,
    Short,
}

/// The command that was called last, and by which name: a pipeline repeats itself.
#[derive(Default)]
struct Recent(Option<(SmallVec<[u8; 16]>, &'static Registered)>);

impl Recent {
    /// The command of a request, if it exists with so many arguments.
    #[inline]
    fn resolve(
        &mut self,
        commands: &'static CommandTable,
        args: Args<'_>,
    ) -> Option<&'static Registered> {
        let name = args.get(0)?;
        let found = match &self.0 {
            Some((last, found)) if **last == *name => *found,
            _ => {
                let found = commands.resolve(args).ok()?;
                if found.full_name.len() == name.len() && found.subcommands.is_empty() {
                    self.0 = Some((SmallVec::from_slice(name), found));
                }
                found
            }
        };
        found.command.accepts(args.len()).then_some(found)
    }
}
