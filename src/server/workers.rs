//! The worker threads: their event loops, and the messages that they take.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use verbena_transport::event_loop::{self, spawn_local};
use verbena_transport::{Alarm, Connection, Incoming};

use crate::process::affinity;
use crate::session;
use crate::state::Server;
use crate::worker::{self, Worker};
use crate::{crash, log};

/// How long a refused peer may take to read why.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// What other threads ask of a worker.
enum Message {
    /// Serve a connection.
    Attach(Handoff),
}

/// A connection on its way to a worker.
struct Handoff {
    incoming: Box<dyn Incoming>,
    /// What to say instead of serving it.
    refusal: Option<&'static str>,
    share: LoadShare,
}

impl Handoff {
    fn new(
        server: &'static Server,
        worker: usize,
        incoming: Box<dyn Incoming>,
        refusal: Option<&'static str>,
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
        refusal: Option<&'static str>,
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
    while let Some(message) = messages.recv().await {
        match message {
            Message::Attach(handoff) => attach(&worker, handoff),
        }
    }
}

/// Serves a connection, or tells it why not.
fn attach(worker: &Rc<Worker>, Handoff { incoming, refusal, share }: Handoff) {
    let info = incoming.info().clone();
    let connection = match incoming.attach() {
        Ok(connection) => connection,
        Err(error) => {
            log::warning(format_args!("Error accepting a client connection: {error}"));
            return;
        }
    };
    if let Some(text) = refusal {
        spawn_local(async move {
            refuse(connection, text).await;
            drop(share);
        });
        return;
    }
    let now = worker.refresh_clock();
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
