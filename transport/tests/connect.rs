//! Connecting to servers on TCP and Unix sockets, on an event loop and on a tokio runtime.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::{Builder, LocalOptions};
use verbena_transport::event_loop::{self, spawn_local, yield_now};
use verbena_transport::tcp::{self, TcpOptions};
use verbena_transport::{
    Connection, Endpoint, Incoming, Listener, RdmaClientOptions, Target, connect, connect_timeout,
    unix,
};

/// Within this time everything happens that is to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on an event loop, and then on a tokio runtime.
fn on_both(test: impl AsyncFn()) {
    event_loop::block_on(test()).unwrap();
    let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default());
    runtime.unwrap().block_on(test());
}

/// Listens on TCP with such a queue of waiting connections.
fn listen_tcp(backlog: i32) -> (Box<dyn Listener>, u16) {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = tcp::listen(any_port, &TcpOptions { backlog, ..TcpOptions::default() }).unwrap();
    let Endpoint::Ip(addr) = listener.local() else { panic!("an address") };
    (listener, addr.port())
}

fn listen_unix(backlog: i32) -> (Box<dyn Listener>, PathBuf, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    (unix::listen(&path, 0, backlog).unwrap(), path, dir)
}

async fn accept(listener: &mut dyn Listener) -> Box<dyn Incoming> {
    poll_fn(|cx| listener.poll_accept(cx)).await.unwrap()
}

/// Echoes one message.
async fn echo(mut listener: Box<dyn Listener>) {
    let mut connection = accept(&mut *listener).await.attach().unwrap();
    let message = receive(&mut *connection, 5).await;
    connection.queue(message);
    poll_fn(|cx| connection.poll_flush(cx)).await.unwrap();
}

async fn receive(connection: &mut dyn Connection, len: usize) -> Bytes {
    while connection.buffers().0.len() < len {
        assert!(poll_fn(|cx| connection.poll_receive(cx)).await.unwrap() > 0);
    }
    let bytes = Bytes::copy_from_slice(&connection.buffers().0[..len]);
    connection.advance(len, 0);
    bytes
}

/// Connects, and sends a message that comes back.
async fn exchange(target: &Target) {
    let mut connection = connect_timeout(target, PATIENCE).await.unwrap();
    assert_eq!(connection.info().backend, target.backend);
    connection.queue(Bytes::from_static(b"hello"));
    poll_fn(|cx| connection.poll_flush(cx)).await.unwrap();
    assert_eq!(receive(&mut *connection, 5).await, "hello");
}

async fn refused(target: &Target) -> io::Error {
    connect_timeout(target, PATIENCE).await.err().expect("it is refused")
}

#[test]
fn a_client_connects_to_an_address_a_name_or_a_path() {
    on_both(async || {
        for host in ["127.0.0.1", "localhost"] {
            let (listener, port) = listen_tcp(8);
            spawn_local(echo(listener));
            exchange(&Target::tcp(host, port)).await;
        }
        let (listener, path, _dir) = listen_unix(8);
        spawn_local(echo(listener));
        exchange(&Target::unix(path)).await;
    });
}

#[test]
fn a_client_is_refused_where_no_server_listens() {
    on_both(async || {
        let (listener, port) = listen_tcp(8);
        drop(listener);
        let error = refused(&Target::tcp("127.0.0.1", port)).await;
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let error = refused(&Target::unix(&path)).await;
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        // Its file outlives the listener of the standard library.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = refused(&Target::unix(&path)).await;
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    });
}

#[test]
fn a_name_that_does_not_resolve_is_an_error() {
    on_both(async || {
        // A space is in no host's name, so that the resolver asks no other machine.
        refused(&Target::tcp("no such host", 1)).await;
        refused(&Target::rdma("no such host", 1, RdmaClientOptions::default())).await;
    });
}

#[test]
fn a_target_that_does_not_fit_its_backend_is_an_error() {
    on_both(async || {
        for wrong in [
            Target { address: Target::unix("path").address, ..Target::tcp("", 1) },
            Target { address: Target::tcp("host", 1).address, ..Target::unix("") },
        ] {
            let error = refused(&wrong).await;
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    });
}

#[test]
fn other_tasks_run_while_a_name_is_resolved() {
    on_both(async || {
        let (listener, port) = listen_tcp(8);
        let turns = Rc::new(Cell::new(0));
        let counted = turns.clone();
        spawn_local(async move {
            for _ in 0..3 {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        let target = Target::tcp("localhost", port);
        let mut connecting = Box::pin(connect(&target));
        let first = connecting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_pending(), "the resolver has a thread of its own");
        while turns.get() < 3 {
            yield_now().await;
        }
        spawn_local(echo(listener));
        connecting.await.unwrap();
    });
}

/// Connects until the listener's queue is full. Returns the connections.
async fn fill(target: &Target) -> Vec<Box<dyn Connection>> {
    let mut connections = Vec::new();
    for _ in 0..16 {
        let limit = Duration::from_millis(50);
        let started = Instant::now();
        match connect_timeout(target, limit).await {
            Ok(connection) => connections.push(connection),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
                assert!(started.elapsed() >= limit);
                return connections;
            }
        }
    }
    panic!("a queue of one takes {} connections", connections.len());
}

#[test]
fn a_client_gives_up_when_its_time_is_over() {
    on_both(async || {
        let (_listener, port) = listen_tcp(0);
        assert!(!fill(&Target::tcp("127.0.0.1", port)).await.is_empty());
        let (_listener, path, _dir) = listen_unix(0);
        assert!(!fill(&Target::unix(path)).await.is_empty());
    });
}

#[test]
fn a_client_waits_for_room_in_the_queue_of_a_unix_socket() {
    on_both(async || {
        let (mut listener, path, _dir) = listen_unix(0);
        let target = Target::unix(path);
        let waiting = fill(&target).await;
        let mut connecting = Box::pin(connect(&target));
        let polled = poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx).is_pending())).await;
        assert!(polled, "the queue is full");
        for _ in &waiting {
            accept(&mut *listener).await;
        }
        connecting.await.unwrap();
    });
}
