//! One connection's life: requests in, commands executed, replies out.

mod client;
mod turn;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use verbena_transport::event_loop::yield_now;
use verbena_transport::{Connection, ConnectionInfo};

use crate::blocking::Waiter;
use crate::command::{CommandTable, Registered};
use crate::keyspace::Key;
use crate::log;
use crate::resp::{Args, Limits, ProtocolError, Reply, RequestParser};
use crate::server::{ClientRecord, Worker};

pub use client::{Client, Ending, ReplyMode};
use turn::{Pending, Stop, Turn};

/// Serves `connection` until either side ends it.
pub async fn serve(
    worker: Rc<Worker>,
    mut connection: Box<dyn Connection>,
    record: Arc<ClientRecord>,
) {
    let mut session = Session {
        client: Client::new(record, &worker.settings()),
        parser: RequestParser::default(),
        batch: SmallVec::new(),
        recent: Recent::default(),
        encoded: 0,
        waiting: 0,
        apart: false,
        served: 0,
        worker,
    };
    // However the connection ends, nothing more can be said to the peer.
    if let Err(error) = session.run(&mut *connection).await {
        log_end(connection.info(), &error);
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

/// Bytes from one connection after which the others of its thread have their turn.
const STRETCH: usize = 128 * 1024;

struct Session {
    worker: Rc<Worker>,
    client: Client,
    parser: RequestParser,
    batch: SmallVec<[Pending; BATCH]>,
    recent: Recent,
    /// Bytes of replies so far.
    encoded: u64,
    /// Bytes received and not executed.
    waiting: usize,
    /// A long argument is being received apart.
    apart: bool,
    /// Bytes received since the connection last had nothing to say.
    served: usize,
}

/// Bytes that a session takes, but for its buffers.
pub const SIZE: usize = size_of::<Session>();

impl Session {
    async fn run(&mut self, connection: &mut dyn Connection) -> io::Result<()> {
        self.publish_buffers(connection);
        loop {
            let received = poll_fn(|cx| self.poll_receive(connection, cx)).await?;
            if received == 0 {
                break;
            }
            if self.apart && !self.receive_apart(connection, received) {
                if self.client.ending != Ending::Open {
                    return self.end(connection).await;
                }
                self.rest().await;
                continue;
            }
            loop {
                match self.process(connection) {
                    None => break,
                    Some(Stop::Ended) => return self.end(connection).await,
                    Some(Stop::Replies) => poll_fn(|cx| self.poll_send(connection, cx)).await?,
                    Some(Stop::Paused) => self.wait_for_pause(connection).await?,
                    Some(Stop::Blocked) => self.wait_for_keys(connection).await?,
                }
                yield_now().await;
            }
            self.rest().await;
        }
        // The peer has said all it wants to say, and may still listen.
        self.end(connection).await
    }

    /// Lets others have their turn after a stretch of work.
    async fn rest(&mut self) {
        if self.served >= STRETCH {
            self.served = 0;
            yield_now().await;
        }
    }

    /// After so many bytes of an argument that is received apart: whether it is complete.
    fn receive_apart(&mut self, connection: &mut dyn Connection, received: usize) -> bool {
        let Some(bytes) = connection.take_detached() else {
            self.waiting += received;
            self.publish_buffers(connection);
            self.check_query(self.waiting);
            return false;
        };
        self.apart = false;
        self.parser.take_apart(bytes);
        true
    }

    /// Ends a connection of which more waits to be a complete request than the configuration allows.
    fn check_query(&mut self, waiting: usize) {
        let worker = &self.worker;
        if waiting <= worker.settings().client_query_buffer_limit {
            return;
        }
        let now = worker.refresh_clock();
        log::warning(format_args!(
            "Closing client that reached max query buffer length: {}",
            self.client.record.line(now, worker.server.commands)
        ));
        worker.server.query_limit_disconnections.fetch_add(1, Ordering::Relaxed);
        self.client.ending = Ending::Now;
    }

    /// Sends what is still to be sent.
    async fn end(&mut self, connection: &mut dyn Connection) -> io::Result<()> {
        if self.client.ending == Ending::Now {
            return Ok(());
        }
        poll_fn(|cx| {
            ready!(self.poll_send(connection, cx))?;
            if connection.unsent() == 0 {
                return Poll::Ready(Ok(()));
            }
            self.client.record.set_waker(cx);
            Poll::Pending
        })
        .await
    }

    /// Lets the time of a pause go by. What arrives meanwhile is kept.
    async fn wait_for_pause(&mut self, connection: &mut dyn Connection) -> io::Result<()> {
        let worker = self.worker.clone();
        poll_fn(|cx| {
            while let Poll::Ready(received) = self.poll_receive(connection, cx)? {
                self.waiting += received;
                if received == 0 || self.waiting > worker.settings().client_query_buffer_limit {
                    return Poll::Ready(Err(gone()));
                }
            }
            self.client.record.set_waker(cx);
            if worker.is_paused() { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await?;
        self.client.blocked = false;
        Ok(())
    }

    /// Waits until somebody has made the last command's keys readable, or time is over. What arrives
    /// meanwhile is kept.
    async fn wait_for_keys(&mut self, connection: &mut dyn Connection) -> io::Result<()> {
        let Some(waiter) = self.client.waiter.take() else { return Ok(()) };
        let worker = self.worker.clone();
        let guard = WaitGuard::new(&worker, &waiter);
        let mut deadline = waiter.deadline.map(|at| worker.deadlines.reach(at));
        let reply = poll_fn(|cx| {
            while let Poll::Ready(received) = self.poll_receive(connection, cx)? {
                self.waiting += received;
                if received == 0 || self.waiting > worker.settings().client_query_buffer_limit {
                    return Poll::Ready(Err(gone()));
                }
            }
            self.client.record.set_waker(cx);
            if deadline.as_mut().is_some_and(|deadline| Pin::new(deadline).poll(cx).is_ready()) {
                // Where it is being tried right now, this runs again after that.
                waiter.time_out();
            }
            waiter.outcome().map_or(Poll::Pending, |reply| Poll::Ready(Ok(reply)))
        })
        .await?;
        drop(guard);
        self.client.blocked = false;
        worker.refresh_clock();
        if self.client.reply_mode == ReplyMode::On {
            for chunk in reply {
                self.encoded += chunk.len() as u64;
                connection.queue(chunk);
            }
        }
        Ok(())
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
        } else if self.client.record.is_killed() {
            return Poll::Ready(Err(gone()));
        }
        let received = connection.poll_receive(cx)?;
        match received {
            Poll::Ready(n) => {
                self.client.record.net_input.add(n as u64);
                self.worker.stats().net_input.add(n as u64);
                self.worker.stats().reads.add(1);
                self.served += n;
            }
            Poll::Pending => {
                self.served = 0;
                self.client.record.set_waker(cx);
            }
        }
        received.map(Ok)
    }

    /// Sends what can be sent now.
    fn poll_send(
        &mut self,
        connection: &mut dyn Connection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let record = &self.client.record;
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
            self.check_reader(connection.unsent() as u64, progress > 0)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends a connection whose peer leaves too much unread; the control thread ends it if that lasts
    /// too long.
    #[cold]
    fn check_reader(&self, unsent: u64, progress: bool) -> io::Result<()> {
        let record = &self.client.record;
        let server = self.worker.server;
        let limit = self.worker.settings().client_output_buffer_limit.normal;
        let now = self.worker.refresh_clock();
        if progress {
            record.last_interaction.store(now, Ordering::Relaxed);
        }
        if limit.hard > 0 && unsent >= limit.hard {
            record.log_output_limit(now, server.commands);
            server.output_limit_disconnections.fetch_add(1, Ordering::Relaxed);
            return Err(gone());
        }
        if limit.soft == 0 || unsent < limit.soft {
            record.over_soft_limit.set(0);
        } else if record.over_soft_limit.get() == 0 {
            record.over_soft_limit.set(now as u64);
        }
        Ok(())
    }

    #[cold]
    fn publish_buffers(&self, connection: &dyn Connection) {
        let record = &self.client.record;
        let (query, send) = connection.memory();
        record.query.set(self.waiting as u64);
        record.query_memory.set(query as u64);
        record.unsent.set(connection.unsent() as u64);
        record.send_memory.set(send as u64);
        record.send_memory_peak.set(record.send_memory_peak.get().max(send as u64));
    }

    /// Executes the complete requests that have arrived, or some of them and says why not all.
    fn process(&mut self, connection: &mut dyn Connection) -> Option<Stop> {
        let worker = self.worker.clone();
        let now = worker.refresh_clock();
        let (received, space) = connection.buffers();
        let mut reply = Reply::new(space, self.client.protocol);
        let mut turn = Turn::begin(&worker, &mut self.client, now);
        let mut consumed = 0;
        let mut stop = loop {
            let limits = turn.limits(&self.client);
            let parsed = self.parse_batch(&limits, received);
            let mut stop = None;
            for pending in &self.batch {
                stop = turn.stop(&self.client, pending, &reply);
                if stop.is_some() {
                    if stop == Some(Stop::Paused) {
                        self.client.last_command = pending.found;
                    }
                    break;
                }
                let args = self.parser.args(received, &pending.request);
                turn.execute(&mut self.client, pending, args, &mut reply);
                consumed = pending.request.end;
            }
            match parsed {
                _ if stop.is_some() => break stop,
                _ if self.client.waiter.is_some() => break Some(Stop::Blocked),
                Ok(Batch::Full) => {}
                Ok(Batch::Short) => break None,
                Err(error) => {
                    if self.client.ending == Ending::Open {
                        worker.stats().error(&error.reply().into());
                        if self.client.reply_mode != ReplyMode::Off {
                            reply.error(error.reply());
                        }
                        self.client.ending = Ending::AfterReply;
                    }
                    break None;
                }
            }
        };
        let left = received.len() - consumed;
        drop(turn);
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
        let waiting = if left > 0 { left + self.parser.received_apart() } else { 0 };
        if stop.is_none() && waiting > 0 {
            self.check_query(waiting);
            if self.client.ending == Ending::Open {
                let apart = self.parser.worth_apart(left);
                self.apart = apart.is_some_and(|(at, len)| connection.receive_detached(at, len));
                if !self.apart {
                    connection.expect(self.parser.expected());
                }
            }
        }
        if self.client.ending != Ending::Open {
            stop = Some(Stop::Ended);
        }
        if stop == Some(Stop::Ended)
            && let Some(waiter) = self.client.waiter.take()
        {
            drop(WaitGuard::new(&worker, &waiter));
        }
        self.client.blocked = matches!(stop, Some(Stop::Paused | Stop::Blocked));
        self.client.publish();
        self.client.record.last_interaction.store(now, Ordering::Relaxed);
        if self.waiting + waiting > 0 {
            self.waiting = waiting;
            self.publish_buffers(connection);
        }
        stop
    }

    /// Parses the next requests, and has the memory that their keys need loaded meanwhile.
    fn parse_batch(&mut self, limits: &Limits, received: &[u8]) -> Result<Batch, ProtocolError> {
        let server = self.worker.server;
        // What an unauthenticated client may send changes with its next command.
        let most = if limits.unauthenticated { 1 } else { BATCH };
        self.batch.clear();
        let parsed = loop {
            if self.batch.len() == most {
                break Ok(Batch::Full);
            }
            match self.parser.parse(received, limits) {
                Ok(Some(request)) => {
                    let args = self.parser.args(received, &request);
                    let found = self.recent.resolve(server.commands, args);
                    let key = match found {
                        Some(found) if found.first_key_only => {
                            let key = Key::new(args.at(1));
                            // On its way while the next request is parsed.
                            server.keyspace.prefetch_shard(key.slot);
                            (key.hash, key.slot)
                        }
                        _ => (0, 0),
                    };
                    self.batch.push(Pending { request, found, key });
                }
                Ok(None) => break Ok(Batch::Short),
                Err(error) => break Err(error),
            }
        };
        // A single one is looked up just as well when it runs.
        if self.batch.len() > 1 {
            let keys = self.batch.iter().filter(|p| p.found.is_some_and(|f| f.first_key_only));
            server.keyspace.prefetch(self.client.db, keys.map(|pending| pending.key));
        }
        parsed
    }
}

/// A client's place among those who wait, until it does so no more, however that ends.
struct WaitGuard<'a> {
    worker: &'a Worker,
    waiter: &'a Arc<Waiter>,
}

impl<'a> WaitGuard<'a> {
    fn new(worker: &'a Worker, waiter: &'a Arc<Waiter>) -> Self {
        *waiter.record.waiter.lock() = Some(waiter.clone());
        WaitGuard { worker, waiter }
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        // Nothing is tried for a client that is gone.
        self.waiter.time_out();
        *self.waiter.record.waiter.lock() = None;
        let keyspace = &self.worker.server.keyspace;
        let _entered = keyspace.enter(self.worker.index);
        self.waiter.leave(keyspace);
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
