//! The worker threads: their event loops, and the messages that they take.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use verbena_transport::event_loop::{self, spawn_local};
use verbena_transport::{Alarm, Attached, Connecting, Connection, ConnectionInfo, Incoming};

use crate::process::affinity;
use crate::session;
use crate::state::{Server, unix_milliseconds};
use crate::worker::{self, Worker};
use crate::{crash, log};

/// How long a refused peer may take to read why.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// How long the two sides of a connection may take to agree on keys.
const HANDSHAKE_PATIENCE_MS: i64 = 10_000;

/// Why a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Protected,
}

impl Refusal {
    pub(super) fn text(self) -> &'static str {
        match self {
            Refusal::Full => "-ERR max number of clients reached\r\n",
            Refusal::Protected => PROTECTED,
        }
    }
}

const PROTECTED: &str = "-DENIED Running in protected mode because protected mode is enabled and no \
    password is set for the default user. In this mode connections are only accepted from the \
    loopback interface. If you want to connect from external computers, you may adopt one of the \
    following solutions: 1) Just disable protected mode sending the command 'CONFIG SET \
    protected-mode no' from the loopback interface by connecting from the same host the server is \
    running, however MAKE SURE it's not publicly accessible from internet if you do so. Use CONFIG \
    REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode \
    by editing the configuration file, and setting the protected mode option to 'no', and then \
    restarting the server. 3) If you started the server manually just for testing, restart it with \
    the '--protected-mode no' option. 4) Set up an authentication password for the default user. \
    NOTE: You only need to do one of the above things in order for the server to start accepting \
    connections from the outside.\r\n";

/// What other threads ask of a worker.
enum Message {
    /// Serve a connection.
    Attach(Handoff),
}

/// A connection on its way to a worker.
struct Handoff {
    incoming: Box<dyn Incoming>,
    /// What to say instead of serving it.
    refusal: Option<Refusal>,
    share: LoadShare,
}

impl Handoff {
    fn new(
        server: &'static Server,
        worker: usize,
        incoming: Box<dyn Incoming>,
        refusal: Option<Refusal>,
    ) -> Self {
        let load = &*server.loads[worker];
        load.fetch_add(1, Ordering::Relaxed);
        Handoff { incoming, refusal, share: LoadShare(load) }
    }
}

/// A connection's part of its worker's load, as long as it exists.
struct LoadShare(&'static AtomicUsize);

impl Drop for LoadShare {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client's place in the list of clients, as long as its session exists, however that ends.
struct Listed {
    server: &'static Server,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.server.clients.remove(self.id);
    }
}

/// The workers, from the control thread's side.
pub(super) struct Workers {
    server: &'static Server,
    senders: Vec<mpsc::UnboundedSender<Message>>,
}

impl Workers {
    /// Starts those that the server begins with.
    pub(super) fn start(server: &'static Server) -> io::Result<Workers> {
        let senders = (0..server.workers()).map(|index| start(server, index));
        Ok(Workers { server, senders: senders.collect::<io::Result<_>>()? })
    }

    /// Starts more, until there are `count`.
    pub(super) fn grow(&mut self, count: usize) -> io::Result<()> {
        while self.senders.len() < count {
            self.senders.push(start(self.server, self.senders.len())?);
            self.server.count_worker();
        }
        Ok(())
    }

    /// Hands a connection to the one that has the fewest, of the first `count`.
    pub(super) fn serve(
        &self,
        count: usize,
        incoming: Box<dyn Incoming>,
        refusal: Option<Refusal>,
    ) {
        let loads = self.server.loads.iter().take(count.min(self.senders.len())).enumerate();
        let least = loads.min_by_key(|(_, load)| load.load(Ordering::Relaxed));
        let worker = least.map_or(0, |(index, _)| index);
        let handoff = Handoff::new(self.server, worker, incoming, refusal);
        // A worker ends only with the process.
        let _ = self.senders[worker].send(Message::Attach(handoff));
    }
}

/// Starts worker `index`; connections are handed to it through the result.
fn start(server: &'static Server, index: usize) -> io::Result<mpsc::UnboundedSender<Message>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new().name(format!("io_thd_{index}")).spawn(move || {
        crash::give_stack();
        affinity::pin(&server.config.load().server_cpulist);
        // Here: the control thread, which starts it, must not wait for the keyspace.
        server.keyspace.add_worker(index);
        let worker = Rc::new(Worker::new(server, index));
        let activity = server.load.activity(index);
        let served = event_loop::block_on_observed(activity, serve(worker, receiver));
        served.expect("an event loop");
    })?;
    Ok(sender)
}

async fn serve(worker: Rc<Worker>, mut messages: mpsc::UnboundedReceiver<Message>) {
    worker::start_tasks(&worker);
    let (ends, ended) = oneshot::channel::<()>();
    // A task of its own, so that new connections are answered within a script that runs for long, too.
    spawn_local(async move {
        while let Some(message) = messages.recv().await {
            match message {
                Message::Attach(handoff) => attach(&worker, handoff),
            }
        }
        drop(ends);
    });
    // Nothing is sent: it ends with the messages.
    let _ = ended.await;
}

/// Serves a connection, or tells it why not.
fn attach(worker: &Rc<Worker>, Handoff { incoming, refusal, share }: Handoff) {
    let info = incoming.info().clone();
    match incoming.begin() {
        Ok(Attached::Open(connection)) => serve_open(worker, connection, refusal, share),
        // Nothing can be said before the handshake, which costs too much to say that there is no room.
        Ok(Attached::Handshaking(_)) if refusal == Some(Refusal::Full) => {}
        Ok(Attached::Handshaking(handshake)) => {
            let worker = worker.clone();
            spawn_local(async move {
                match complete(&worker, handshake).await {
                    Ok(connection) => serve_open(&worker, connection, refusal, share),
                    Err(error) => log_failed_accept(&info, &error),
                }
            });
        }
        Err(error) => log_failed_accept(&info, &error),
    }
}

fn log_failed_accept(info: &ConnectionInfo, error: &io::Error) {
    log::warning(format_args!(
        "Error accepting a client connection: {error} (addr={} laddr={})",
        info.peer, info.local
    ));
}

/// Completes a handshake, if the peer does not take too long.
async fn complete(
    worker: &Worker,
    handshake: Connecting<'static>,
) -> io::Result<Box<dyn Connection>> {
    let late = worker.deadlines.reach(unix_milliseconds() + HANDSHAKE_PATIENCE_MS);
    tokio::select! {
        biased;
        connection = handshake => connection,
        () = late => {
            let text = "the peer takes too long for the TLS handshake";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

fn serve_open(
    worker: &Rc<Worker>,
    connection: Box<dyn Connection>,
    refusal: Option<Refusal>,
    share: LoadShare,
) {
    if let Some(refusal) = refusal {
        spawn_local(async move {
            refuse(connection, refusal.text()).await;
            drop(share);
        });
        return;
    }
    let now = worker.refresh_clock();
    let info = connection.info().clone();
    let record = worker.server.clients.register(info, now, session::SIZE);
    let listed = Listed { server: worker.server, id: record.id };
    let session = session::serve(worker.clone(), connection, record);
    spawn_local(async move {
        session.await;
        drop((listed, share));
    });
}

/// Tells a peer why it is not served. What a fresh connection has to send goes at once, unless the peer
/// must say first where to. A peer that takes too long gets no more.
async fn refuse(mut connection: Box<dyn Connection>, text: &'static str) {
    connection.queue(Bytes::from_static(text.as_bytes()));
    let alarm = Alarm::new().ok();
    alarm.iter().for_each(|alarm| alarm.set(REFUSAL_PATIENCE));
    poll_fn(|cx| {
        let late = alarm.as_ref().is_none_or(|alarm| alarm.poll_ring(cx).is_ready());
        if connection.poll_flush(cx).is_ready() || late { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
