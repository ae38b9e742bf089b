//! A session without I/O: its connection is a script, and every event is made by the test.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use verbena_transport::{Connection, ConnectionInfo, Endpoint, unix};

use super::*;
use crate::config::Settings;
use crate::keyspace::{Listeners, Section};
use crate::server;
use crate::state::{Paused, Server};

/// The two ends of a scripted connection.
#[derive(Default)]
struct Wire {
    /// Chunks that arrive, each with one receive.
    incoming: VecDeque<Vec<u8>>,
    /// The peer has ended its side.
    ended: bool,
    /// Bytes that the peer takes; the rest waits.
    room: usize,
    sent: Vec<u8>,
}

struct Scripted {
    info: ConnectionInfo,
    wire: Rc<RefCell<Wire>>,
    received: Vec<u8>,
    space: Vec<u8>,
    unsent: Vec<u8>,
}

impl Connection for Scripted {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.borrow_mut();
        match wire.incoming.pop_front() {
            Some(chunk) => {
                self.received.extend_from_slice(&chunk);
                Poll::Ready(Ok(chunk.len()))
            }
            None if wire.ended => Poll::Ready(Ok(0)),
            None => Poll::Pending,
        }
    }

    fn expect(&mut self, _: usize) {}

    fn buffers(&mut self) -> (&[u8], &mut [u8]) {
        (&self.received, &mut self.space)
    }

    fn advance(&mut self, received: usize, written: usize) {
        self.received.drain(..received);
        self.unsent.extend_from_slice(&self.space[..written]);
    }

    fn queue(&mut self, chunk: Bytes) {
        self.unsent.extend_from_slice(&chunk);
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.borrow_mut();
        let len = self.unsent.len().min(wire.room);
        wire.room -= len;
        wire.sent.extend(self.unsent.drain(..len));
        if self.unsent.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn unsent(&self) -> usize {
        self.unsent.len()
    }

    fn memory(&self) -> (usize, usize) {
        (self.received.len(), self.unsent.len())
    }

    fn shutdown(&mut self) {}
}

/// A session, and the peer's end of its connection.
struct Peer {
    session: Session,
    connection: Scripted,
    wire: Rc<RefCell<Wire>>,
    /// How the session has ended.
    ended: Option<io::Result<()>>,
}

fn worker() -> Rc<Worker> {
    let settings = Settings { io_threads: 1, ..Settings::default() };
    let (server, _requests) = server::new(settings, None);
    Rc::new(Worker::new(server, 0))
}

impl Peer {
    fn new(worker: &Rc<Worker>) -> Peer {
        let here = Endpoint::Path("test".into());
        let info = ConnectionInfo {
            backend: &unix::BACKEND,
            peer: here.clone(),
            local: here,
            fd: None,
            certificate: None,
        };
        let record = worker.server.clients.register(info.clone(), worker.refresh_clock(), SIZE);
        let wire = Rc::new(RefCell::new(Wire { room: usize::MAX, ..Wire::default() }));
        let connection = Scripted {
            info,
            wire: wire.clone(),
            received: Vec::new(),
            space: vec![0; 64],
            unsent: Vec::new(),
        };
        Peer { session: Session::new(worker.clone(), record), connection, wire, ended: None }
    }

    /// Polls the session as often as it asks for by yielding.
    fn run(&mut self) {
        for _ in 0..100 {
            if self.ended.is_some() {
                return;
            }
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = self.session.poll(&mut self.connection, &mut cx) {
                self.ended = Some(result);
            }
        }
    }

    fn say(&mut self, text: &str) {
        // Nothing received would be the end of what the peer says.
        if !text.is_empty() {
            self.wire.borrow_mut().incoming.push_back(text.as_bytes().to_vec());
        }
        self.run();
    }

    /// What has been sent since this was last asked.
    fn heard(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.wire.borrow_mut().sent)).unwrap()
    }
}

#[test]
fn a_request_may_arrive_in_any_pieces() {
    let worker = worker();
    let mut peer = Peer::new(&worker);
    for piece in ["*1\r", "\n$4\r\nPI", "NG", "\r\n*1\r\n"] {
        assert_eq!(peer.heard(), "");
        peer.say(piece);
    }
    assert_eq!(peer.heard(), "+PONG\r\n");
    peer.say("$4\r\nPING\r\n");
    assert_eq!(peer.heard(), "+PONG\r\n");
}

#[test]
fn requests_behind_one_that_waits_are_executed_after_it() {
    let worker = worker();
    let (mut waiting, mut other) = (Peer::new(&worker), Peer::new(&worker));
    waiting.say("BLPOP list 0\r\nPING\r\n");
    waiting.say("ECHO later\r\n");
    assert_eq!(waiting.heard(), "");
    other.say("RPUSH list x\r\n");
    assert_eq!(other.heard(), ":1\r\n");
    waiting.run();
    assert_eq!(waiting.heard(), "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n+PONG\r\n$5\r\nlater\r\n");
}

#[test]
fn what_a_client_waited_for_is_not_taken_for_it_once_it_is_gone() {
    let worker = worker();
    let mut other = Peer::new(&worker);
    for end in ["input", "kill"] {
        let mut waiting = Peer::new(&worker);
        waiting.say("BLPOP list 0\r\n");
        match end {
            "input" => waiting.wire.borrow_mut().ended = true,
            _ => worker.server.clients.kill(&waiting.session.caller.record),
        }
        waiting.run();
        assert!(waiting.ended.as_ref().is_some_and(Result::is_err), "{end}");
        drop(waiting);
        other.say("RPUSH list x\r\nLLEN list\r\nDEL list\r\n");
        assert_eq!(other.heard(), ":1\r\n:1\r\n:1\r\n", "{end}");
    }
}

#[test]
fn requests_wait_for_the_end_of_a_pause() {
    let worker = worker();
    let mut peer = Peer::new(&worker);
    let pause = &worker.server.pause;
    let now = worker.refresh_clock();
    pause.extend(now, now + 1_000_000, Paused::Writes);
    peer.say("GET a\r\nSET a 1\r\nGET a\r\n");
    assert_eq!(peer.heard(), "$-1\r\n");
    peer.say("PING\r\n");
    assert_eq!(peer.heard(), "");
    pause.end();
    peer.run();
    assert_eq!(peer.heard(), "+OK\r\n$1\r\n1\r\n+PONG\r\n");
}

#[test]
fn bytes_from_other_threads_go_between_two_replies() {
    let worker = worker();
    let mut peer = Peer::new(&worker);
    let record = peer.session.caller.record.clone();
    let send = {
        let record = record.clone();
        move |text: &'static str| {
            record.send(text.as_bytes()[0], &Bytes::from_static(&text.as_bytes()[1..]));
        }
    };
    send("+first\r\n");
    peer.run();
    assert_eq!(peer.heard(), "+first\r\n", "it is idle");
    send("+second\r\n");
    peer.say("PING\r\n");
    assert_eq!(peer.heard(), "+second\r\n+PONG\r\n", "it has something to do");
    peer.say("BLPOP list 0\r\n");
    send("+third\r\n");
    peer.run();
    assert_eq!(peer.heard(), "+third\r\n", "it waits for a key");
    // A peer that reads nothing costs nobody else anything, and loses nothing.
    peer.wire.borrow_mut().room = 3;
    send("+fourth\r\n");
    peer.run();
    send("+fifth\r\n");
    peer.run();
    assert_eq!(peer.heard(), "+fo");
    peer.wire.borrow_mut().room = usize::MAX;
    peer.run();
    assert_eq!(peer.heard(), "urth\r\n+fifth\r\n");
}

#[test]
fn an_invalidation_comes_after_the_reply_to_the_wait_that_has_caused_it() {
    let worker = worker();
    let (mut waiting, mut other) = (Peer::new(&worker), Peer::new(&worker));
    waiting
        .say("HELLO 3\r\nCLIENT TRACKING ON\r\nLRANGE to 0 -1\r\nBLMOVE from to LEFT LEFT 0\r\n");
    waiting.heard();
    other.say("RPUSH from x\r\n");
    waiting.run();
    assert_eq!(waiting.heard(), "$1\r\nx\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$2\r\nto\r\n");
}

#[test]
fn what_was_written_is_sent_before_the_end() {
    let worker = worker();
    for end in ["QUIT\r\n", ""] {
        let mut peer = Peer::new(&worker);
        peer.wire.borrow_mut().room = 2;
        peer.say(&format!("PING\r\n{end}"));
        peer.wire.borrow_mut().ended = end.is_empty();
        peer.run();
        assert!(peer.ended.is_none() && peer.heard() == "+P");
        peer.wire.borrow_mut().room = usize::MAX;
        peer.run();
        assert!(matches!(peer.ended, Some(Ok(()))));
        assert_eq!(peer.heard(), if end.is_empty() { "ONG\r\n" } else { "ONG\r\n+OK\r\n" });
    }
}

#[test]
fn most_commands_are_refused_while_an_exclusive_section_takes_too_long() {
    let worker = worker();
    let server: &'static Server = worker.server;
    let mut peer = Peer::new(&worker);
    let (begun, is_begun) = std::sync::mpsc::channel();
    let (end, is_to_end) = std::sync::mpsc::channel::<()>();
    let section = Section { patience: Some(Duration::from_millis(1)) };
    let holder = std::thread::spawn(move || {
        let unit = server.keyspace.exclusive(section, 0, Listeners::NONE);
        begun.send(()).unwrap();
        is_to_end.recv().unwrap();
        drop(unit);
    });
    is_begun.recv().unwrap();
    peer.say("GET a\r\nPING\r\nFLUSHALL\r\nWATCH a\r\nMULTI\r\nDISCARD\r\nCLIENT ID\r\n");
    let busy = "-BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN \
                NOSAVE.\r\n";
    let id = peer.session.caller.record.id;
    assert_eq!(peer.heard(), format!("{busy}{busy}{busy}{busy}+OK\r\n+OK\r\n:{id}\r\n"));
    end.send(()).unwrap();
    holder.join().unwrap();
    peer.say("GET a\r\nPING\r\n");
    assert_eq!(peer.heard(), "$-1\r\n+PONG\r\n");
}

/// Whatever happens in whichever order, every request is answered once, in its turn, and messages from
/// other threads are never inside a reply.
#[test]
fn events_in_any_order_lose_and_double_nothing() {
    let worker = worker();
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut peer, mut other) = (Peer::new(&worker), Peer::new(&worker));
        let (mut expected, mut messages, mut pushed, mut popped) = (Vec::new(), 0, 0, 0);
        let mut text = String::new();
        other.say("DEL list\r\n");
        for step in 0..60 {
            match random.u32(..8) {
                0..=2 => {
                    text.push_str(&format!("ECHO {step}\r\n"));
                    let word = step.to_string();
                    expected.push(format!("${}\r\n{word}\r\n", word.len()));
                }
                3 => {
                    text.push_str("BLPOP list 0\r\n");
                    let element = popped.to_string();
                    popped += 1;
                    expected
                        .push(format!("*2\r\n$4\r\nlist\r\n${}\r\n{element}\r\n", element.len()));
                }
                4 => {
                    other.say(&format!("RPUSH list {pushed}\r\n"));
                    pushed += 1;
                }
                5 => {
                    let message = format!("+message {messages}\r\n");
                    messages += 1;
                    peer.session.caller.record.send(b'+', &Bytes::from(message[1..].to_owned()));
                    peer.run();
                }
                6 => {
                    let now = worker.refresh_clock();
                    worker.server.pause.extend(now, now + 1_000_000, Paused::All);
                    peer.run();
                    worker.server.pause.end();
                }
                _ => peer.wire.borrow_mut().room = random.usize(..40),
            }
            // Some bytes of what is to be said arrive.
            let len = random.usize(..=text.len());
            let chunk: String = text.drain(..len).collect();
            peer.say(&chunk);
        }
        worker.server.pause.end();
        peer.wire.borrow_mut().room = usize::MAX;
        peer.say(&text);
        while pushed < popped {
            other.say(&format!("RPUSH list {pushed}\r\n"));
            pushed += 1;
            peer.run();
        }
        let heard = peer.heard();
        assert!(peer.ended.is_none(), "seed {seed}: {:?} after {heard:?}", peer.ended);
        let mut rest = heard.as_str();
        for message in 0..messages {
            let text = format!("+message {message}\r\n");
            assert_eq!(heard.matches(&text).count(), 1, "seed {seed}");
        }
        for reply in &expected {
            while rest.starts_with("+message ") {
                rest = &rest[rest.find('\n').unwrap() + 1..];
            }
            rest = rest.strip_prefix(reply.as_str()).unwrap_or_else(|| {
                panic!("seed {seed}: {reply:?} is to come next, and not {rest:?}")
            });
        }
    }
}
