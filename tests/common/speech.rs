//! A client of a server in the same process: it sends its requests, and has no socket.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use verbena::session;
use verbena::state::ClientRecord;
use verbena::worker::Worker;
use verbena_transport::{Connection, ConnectionInfo, Endpoint, unix};

/// The replies to a client, as far as they have come.
pub type Replies = Rc<RefCell<Vec<u8>>>;

struct Speech {
    info: ConnectionInfo,
    text: Vec<u8>,
    said: usize,
    stays: bool,
    replies: Replies,
}

/// A session for a client that sends these lines, its record, and the replies. Afterwards the client closes
/// its sending direction, unless it stays.
pub fn client(
    worker: &Rc<Worker>,
    text: &str,
    stays: bool,
) -> (impl Future<Output = ()> + use<>, Arc<ClientRecord>, Replies) {
    let here = Endpoint::Path("test".into());
    let info = ConnectionInfo {
        backend: &unix::BACKEND,
        peer: here.clone(),
        local: here,
        fd: None,
        certificate: None,
    };
    let now = worker.refresh_clock();
    let record = worker.server.clients.register(info.clone(), now, session::SIZE);
    let replies = Replies::default();
    let text = text.replace('\n', "\r\n").into();
    let speech = Speech { info, text, said: 0, stays, replies: replies.clone() };
    let session = session::serve(worker.clone(), Box::new(speech), record.clone());
    (session, record, replies)
}

impl Connection for Speech {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let new = self.text.len() - self.said;
        if new == 0 && self.stays {
            return Poll::Pending;
        }
        self.said = self.text.len();
        Poll::Ready(Ok(new))
    }

    fn expect(&mut self, _: usize) {}

    fn buffers(&mut self) -> (&[u8], &mut [u8]) {
        (&self.text[..self.said], &mut [])
    }

    fn advance(&mut self, received: usize, _: usize) {
        self.text.drain(..received);
        self.said -= received;
    }

    fn queue(&mut self, chunk: Bytes) {
        self.replies.borrow_mut().extend_from_slice(&chunk);
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        0
    }

    fn memory(&self) -> (usize, usize) {
        (0, 0)
    }

    fn shutdown(&mut self) {}
}
