//! RDMA connections over a device. Needs one, whose address is `VERBENA_RDMA_ADDR`: run by
//! `scripts/soft-roce run`.
#![cfg(feature = "rdma")]

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use verbena_transport::rdma::{self, RdmaOptions};
use verbena_transport::{
    Connection, Endpoint, Incoming, Listener, RdmaClientOptions, Target, connect, connect_timeout,
    event_loop,
};

fn device_ip() -> IpAddr {
    let addr = std::env::var("VERBENA_RDMA_ADDR").unwrap_or_else(|_| "192.168.77.1".into());
    addr.parse().expect("VERBENA_RDMA_ADDR is an address")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(future)
}

async fn receive(connection: &mut dyn Connection) -> io::Result<usize> {
    poll_fn(|cx| connection.poll_receive(cx)).await
}

async fn flush(connection: &mut dyn Connection) -> io::Result<()> {
    poll_fn(|cx| connection.poll_flush(cx)).await
}

/// Sends back whatever arrives, until the peer is gone.
async fn echo(mut connection: Box<dyn Connection>) -> io::Result<()> {
    while receive(&mut *connection).await? > 0 {
        loop {
            let (received, space) = connection.buffers();
            let n = received.len().min(space.len());
            if n == 0 {
                break;
            }
            space[..n].copy_from_slice(&received[..n]);
            connection.advance(n, n);
        }
        let (received, _) = connection.buffers();
        let rest = Bytes::copy_from_slice(received);
        connection.advance(rest.len(), 0);
        connection.queue(rest);
        flush(&mut *connection).await?;
    }
    Ok(())
}

/// A thread that echoes on an RDMA listener, and on a TCP one beside it.
struct EchoServer {
    rdma: SocketAddr,
    tcp: SocketAddr,
    options: Arc<RdmaOptions>,
    /// How each connection that ended did.
    ends: mpsc::Receiver<io::Result<()>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EchoServer {
    fn start(options: RdmaOptions) -> EchoServer {
        let options = Arc::new(options);
        let (stop, stopped) = oneshot::channel();
        let (addresses, listening) = mpsc::channel();
        let (ended, ends) = mpsc::channel();
        let shared = options.clone();
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let any_port = SocketAddr::new(device_ip(), 0);
                let rdma = rdma::listen(any_port, shared).expect("listens");
                let tcp = verbena_transport::tcp::TcpOptions::default();
                let tcp = verbena_transport::tcp::listen(any_port, &tcp).expect("listens");
                addresses.send((rdma.local(), tcp.local())).unwrap();
                tokio::task::spawn_local(accept(rdma, ended.clone()));
                tokio::task::spawn_local(accept(tcp, ended));
                let _ = stopped.await;
            });
        });
        let (rdma, tcp) = listening.recv().expect("the server starts");
        let addr = |endpoint| match endpoint {
            Endpoint::Ip(addr) => addr,
            Endpoint::Path(_) => panic!("not a path"),
        };
        EchoServer {
            rdma: addr(rdma),
            tcp: addr(tcp),
            options,
            ends,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn target(&self, options: RdmaClientOptions) -> Target {
        Target::rdma(self.rdma.ip().to_string(), self.rdma.port(), options)
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        let thread = self.thread.take().expect("stopped once");
        if !std::thread::panicking() {
            thread.join().expect("the server ends well");
        }
    }
}

async fn accept(mut listener: Box<dyn Listener>, ended: mpsc::Sender<io::Result<()>>) {
    loop {
        let incoming = poll_fn(|cx| listener.poll_accept(cx)).await.expect("accepts");
        let ended = ended.clone();
        match incoming.attach() {
            Ok(connection) => {
                tokio::task::spawn_local(async move {
                    let end = echo(connection).await;
                    let _ = ended.send(end);
                });
            }
            Err(error) => {
                let _ = ended.send(Err(error));
            }
        }
    }
}

/// Sends `message` and takes its echo, reading while it writes.
async fn exchange(connection: &mut dyn Connection, message: &Bytes) -> io::Result<()> {
    connection.queue(message.clone());
    let mut flushed = false;
    poll_fn(|cx| {
        if !flushed {
            flushed = connection.poll_flush(cx)?.is_ready();
        }
        loop {
            let (received, _) = connection.buffers();
            if received.len() == message.len() && flushed {
                return Poll::Ready(Ok::<(), io::Error>(()));
            }
            connection.expect(message.len());
            match connection.poll_receive(cx)? {
                Poll::Ready(0) => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(_) => {}
                Poll::Pending => return Poll::Pending,
            }
            if !flushed {
                flushed = connection.poll_flush(cx)?.is_ready();
            }
        }
    })
    .await?;
    assert!(connection.buffers().0 == &message[..], "the echo differs");
    connection.advance(message.len(), 0);
    Ok(())
}

fn message(len: usize) -> Bytes {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// The tests count what the whole process holds, so one runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn small() -> RdmaClientOptions {
    RdmaClientOptions { rx_size: 64 << 10, ..Default::default() }
}

fn small_server() -> RdmaOptions {
    RdmaOptions { rx_size: (64 << 10).into(), ..Default::default() }
}

/// Waits until `condition` holds.
fn await_that(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Open file descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("readable").count()
}

#[test]
fn devices_are_listed_with_their_state() {
    let devices = rdma::devices();
    assert!(devices.iter().any(|device| device.active), "{devices:?}");
}

#[test]
fn a_connection_knows_what_it_is() {
    let _alone = alone();
    let server = EchoServer::start(RdmaOptions::default());
    block_on(async {
        let mut connection = connect(&server.target(RdmaClientOptions::default())).await.unwrap();
        assert_eq!(connection.info().backend, &rdma::BACKEND);
        assert_eq!(connection.info().peer, Endpoint::Ip(server.rdma));
        exchange(&mut *connection, &message(5)).await.unwrap();
        assert_eq!(connection.memory(), (1 << 20, 256 << 10));
        assert_eq!(connection.unsent(), 0);
    });
}

#[test]
fn a_client_connects_on_an_event_loop() {
    let _alone = alone();
    let server = EchoServer::start(small_server());
    let exchanged = event_loop::block_on(async {
        let target = server.target(small());
        let mut connection = connect_timeout(&target, Duration::from_secs(30)).await.unwrap();
        exchange(&mut *connection, &message(200_000)).await.unwrap();
        let host = server.rdma.ip().to_string();
        let error = connect(&Target::rdma(host, 1, small())).await.err().expect("it is refused");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        let error = connect(&Target::rdma("no such host", 1, small())).await.err();
        error.expect("the name does not resolve");
    });
    exchanged.unwrap();
}

#[test]
fn messages_of_all_sizes_pass_through_a_64_kib_region() {
    let _alone = alone();
    let server = EchoServer::start(small_server());
    block_on(async {
        let mut connection = connect(&server.target(small())).await.unwrap();
        let sizes = [
            0,
            1,
            2,
            31,
            32,
            33,
            63,
            64,
            127,
            255,
            256,
            257,
            511,
            512,
            513,
            1023,
            1024,
            1025,
            4095,
            4096,
            4097,
            16_383,
            16_384,
            65_535,
            65_536,
            65_537,
            131_071,
            131_072,
            131_073,
            262_143,
            262_144,
            262_145,
            1_000_000,
            1 << 20,
            3_333_333,
            64 << 20,
        ];
        for len in sizes {
            exchange(&mut *connection, &message(len)).await.unwrap();
        }
        for len in 0..100 {
            exchange(&mut *connection, &message(len * 997)).await.unwrap();
        }
    });
}

#[test]
fn a_deep_pipeline_keeps_its_order() {
    let _alone = alone();
    for poll_us in [0, -1] {
        let server = EchoServer::start(RdmaOptions { poll_us: poll_us.into(), ..small_server() });
        block_on(async {
            let options = RdmaClientOptions { poll_us, ..small() };
            let mut connection = connect(&server.target(options)).await.unwrap();
            // Each chunk is queued by itself, and many are flushed by themselves: more notifications
            // than receives are posted.
            let whole = message(300_000);
            let mut sent = 0;
            let mut received = 0;
            for chunk in
                (0..whole.len()).step_by(97).map(|at| whole.slice(at..(at + 97).min(whole.len())))
            {
                sent += chunk.len();
                connection.queue(chunk);
                poll_fn(|cx| {
                    let flushed = connection.poll_flush(cx)?.is_ready();
                    while let Poll::Ready(n) = connection.poll_receive(cx)? {
                        assert!(n > 0);
                    }
                    if flushed { Poll::Ready(Ok::<(), io::Error>(())) } else { Poll::Pending }
                })
                .await
                .unwrap();
                let n = connection.buffers().0.len();
                assert!(connection.buffers().0 == &whole[received..received + n]);
                connection.advance(n, 0);
                received += n;
            }
            assert_eq!(sent, whole.len());
            while received < whole.len() {
                receive(&mut *connection).await.unwrap();
                let n = connection.buffers().0.len();
                assert!(connection.buffers().0 == &whole[received..received + n]);
                connection.advance(n, 0);
                received += n;
            }
        });
    }
}

#[test]
fn many_connections_share_a_worker() {
    let _alone = alone();
    let server = EchoServer::start(small_server());
    block_on(async {
        let mut connections = Vec::new();
        for _ in 0..250 {
            connections.push(connect(&server.target(small())).await.unwrap());
        }
        assert_eq!(rdma::stats().connections, 500, "both ends are here");
        let tasks: Vec<_> = connections
            .into_iter()
            .enumerate()
            .map(|(i, mut connection)| {
                tokio::task::spawn_local(async move {
                    for round in 0..5 {
                        let message = message(1000 * (i % 10) + i + round);
                        exchange(&mut *connection, &message).await.unwrap();
                    }
                    connection
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    await_that("all is given back", || rdma::stats().registered_bytes == 0);
    assert_eq!(rdma::stats().connections, 0);
}

#[test]
fn a_thousand_connections_one_after_another_leave_nothing_behind() {
    let _alone = alone();
    let server = EchoServer::start(small_server());
    block_on(async {
        let round = async |i: usize| {
            let mut connection = connect(&server.target(small())).await.unwrap();
            // Some leave at once, some in the middle of a message, some politely.
            match i % 3 {
                0 => {}
                1 => connection.queue(message(100_000)),
                _ => exchange(&mut *connection, &message(100)).await.unwrap(),
            }
            // As far as it goes without waiting.
            poll_fn(|cx| {
                let _ = connection.poll_flush(cx);
                Poll::Ready(())
            })
            .await;
        };
        for i in 0..10 {
            round(i).await;
        }
        while rdma::stats().registered_bytes > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let before = descriptors();
        for i in 0..1000 {
            round(i).await;
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while rdma::stats().registered_bytes > 0 || rdma::stats().connections > 0 {
            assert!(Instant::now() < deadline, "{:?}", rdma::stats());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn bytes_sent_before_a_server_closes_reach_its_client() {
    let _alone = alone();
    block_on(async {
        let options = Arc::new(RdmaOptions::default());
        let mut listener = rdma::listen(SocketAddr::new(device_ip(), 0), options).unwrap();
        let Endpoint::Ip(addr) = listener.local() else { panic!("an address") };
        tokio::task::spawn_local(async move {
            let incoming = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            let mut connection = incoming.attach().unwrap();
            receive(&mut *connection).await.unwrap();
            connection.queue(message(150_000));
            flush(&mut *connection).await.unwrap();
            // The connection is dropped at once, and the listener with it.
        });
        let (host, port) = (addr.ip().to_string(), addr.port());
        let target = Target::rdma(host, port, RdmaClientOptions::default());
        let mut connection = connect(&target).await.unwrap();
        connection.queue(Bytes::from_static(b"hello"));
        flush(&mut *connection).await.unwrap();
        while receive(&mut *connection).await.unwrap() > 0 {}
        assert!(connection.buffers().0 == &message(150_000)[..]);
        // And the end stays the end.
        assert_eq!(receive(&mut *connection).await.unwrap(), 0);
        connection.queue(Bytes::from_static(b"late"));
        assert!(flush(&mut *connection).await.is_err());
    });
}

#[test]
fn connections_without_a_listener_or_beyond_the_memory_limit_fail_at_once() {
    let _alone = alone();
    block_on(async {
        let host = device_ip().to_string();
        let target = Target::rdma(host, 1, RdmaClientOptions::default());
        let error = connect(&target).await.err().expect("there is no listener");
        assert!(error.to_string().contains("there is no listener"), "{error}");
    });
    let cap = (64 << 10) + (256 << 10) + (64 << 10);
    let server =
        EchoServer::start(RdmaOptions { max_registered_memory: cap.into(), ..small_server() });
    block_on(async {
        // The client's own memory counts too, as it is in this process.
        let error = connect(&server.target(small())).await.err().expect("over the cap");
        assert!(error.to_string().contains("refused"), "{error}");
    });
    let error = server.ends.recv().unwrap().expect_err("refused");
    assert!(error.to_string().contains("rdma-max-registered-memory"), "{error}");
    await_that("all is given back", || rdma::stats().registered_bytes == 0);
    server.options.max_registered_memory.store(0, Relaxed);
    block_on(async {
        let mut connection = connect(&server.target(small())).await.unwrap();
        exchange(&mut *connection, &message(10)).await.unwrap();
    });
}

#[test]
fn polling_can_be_changed_while_connections_are_open() {
    let _alone = alone();
    let server = EchoServer::start(RdmaOptions::default());
    block_on(async {
        let mut connection = connect(&server.target(RdmaClientOptions::default())).await.unwrap();
        for poll_us in [0, -1, 50, 0, 1_000_000, -1, 0] {
            server.options.poll_us.store(poll_us, Relaxed);
            let before = rdma::stats();
            for _ in 0..50 {
                exchange(&mut *connection, &message(64)).await.unwrap();
            }
            let after = rdma::stats();
            assert!(after.completions >= before.completions + 100);
            assert!(after.events > before.events, "the client sleeps: {after:?}");
        }
    });
}

#[test]
fn tcp_is_served_while_rdma_spins() {
    let _alone = alone();
    let server = EchoServer::start(RdmaOptions { poll_us: (-1).into(), ..Default::default() });
    block_on(async {
        let mut rdma = connect(&server.target(RdmaClientOptions::default())).await.unwrap();
        let (host, port) = (server.tcp.ip().to_string(), server.tcp.port());
        let mut tcp = connect(&Target::tcp(host, port)).await.unwrap();
        for i in 0..200 {
            exchange(&mut *tcp, &message(i * 50)).await.unwrap();
            exchange(&mut *rdma, &message(i * 50)).await.unwrap();
        }
    });
}

#[test]
fn an_idle_connection_is_kept_alive() {
    let _alone = alone();
    let server = EchoServer::start(RdmaOptions { keepalive_ms: 50.into(), ..Default::default() });
    block_on(async {
        let mut connection = connect(&server.target(RdmaClientOptions::default())).await.unwrap();
        let before = rdma::stats().completions;
        // Keepalives arrive while a reader waits, and are not data.
        let idle = tokio::time::timeout(Duration::from_secs(2), receive(&mut *connection)).await;
        assert!(idle.is_err(), "nothing to read");
        assert!(rdma::stats().completions >= before + 10);
        exchange(&mut *connection, &message(100)).await.unwrap();
    });
}

/// Not a test of its own: the process that [`a_killed_client_leaves_nothing_behind`] kills.
#[test]
fn a_client_that_never_stops_writing() {
    let Ok(port) = std::env::var("VERBENA_TEST_PORT") else { return };
    block_on(async {
        let (host, port) = (device_ip().to_string(), port.parse().unwrap());
        let target = Target::rdma(host, port, small());
        let mut connection = connect(&target).await.unwrap();
        loop {
            exchange(&mut *connection, &message(30_000)).await.unwrap();
        }
    });
}

#[test]
fn a_killed_client_leaves_nothing_behind() {
    let _alone = alone();
    let rounds = std::env::var("VERBENA_TEST_ROUNDS").map_or(20, |n| n.parse().unwrap());
    let server = EchoServer::start(small_server());
    let mut before = None;
    for round in 0..rounds {
        let mut client = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_client_that_never_stops_writing"])
            .env("VERBENA_TEST_PORT", server.rdma.port().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let completions = rdma::stats().completions;
        await_that("the client works", || rdma::stats().completions > completions + 20);
        std::thread::sleep(Duration::from_millis(round % 7));
        client.kill().unwrap();
        client.wait().unwrap();
        let end = server.ends.recv_timeout(Duration::from_secs(60)).expect("it is noticed");
        drop(end);
        await_that("all is given back", || rdma::stats().registered_bytes == 0);
        let now = descriptors();
        assert_eq!(*before.get_or_insert(now), now, "descriptors, in round {round}");
    }
}

#[test]
fn a_client_of_another_protocol_is_refused() {
    let _alone = alone();
    let server = EchoServer::start(small_server());
    // rping sends a message of 16 bytes once it is connected.
    let mut client = Command::new("rping")
        .args(["-c", "-C", "1", "-a", &server.rdma.ip().to_string()])
        .args(["-p", &server.rdma.port().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("rping is installed (Debian's rdmacm-utils)");
    let end = server.ends.recv_timeout(Duration::from_secs(30)).expect("it is noticed");
    assert!(end.expect_err("not an echo").to_string().contains("16 bytes, where 32 are due"));
    client.kill().unwrap();
    client.wait().unwrap();
    await_that("all is given back", || rdma::stats().registered_bytes == 0);
}

#[test]
fn a_connection_is_attached_on_another_thread_than_it_was_accepted_on() {
    let _alone = alone();
    let (handoff, incoming) = mpsc::channel::<Box<dyn Incoming>>();
    let worker = std::thread::spawn(move || {
        block_on(async move {
            for incoming in incoming {
                let connection = incoming.attach().expect("attaches");
                let _ = echo(connection).await;
            }
        });
    });
    let (addresses, listening) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let acceptor = std::thread::spawn(move || {
        block_on(async move {
            let options = Arc::new(RdmaOptions::default());
            let mut listener = rdma::listen(SocketAddr::new(device_ip(), 0), options).unwrap();
            addresses.send(listener.local()).unwrap();
            let accept = async {
                loop {
                    let incoming = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
                    handoff.send(incoming).unwrap();
                }
            };
            tokio::select! { () = accept => {}, _ = stopped => {} }
        });
    });
    let Ok(Endpoint::Ip(addr)) = listening.recv() else { panic!("an address") };
    block_on(async {
        let (host, port) = (addr.ip().to_string(), addr.port());
        let target = Target::rdma(host, port, RdmaClientOptions::default());
        for len in [10, 100_000] {
            let mut connection = connect(&target).await.unwrap();
            exchange(&mut *connection, &message(len)).await.unwrap();
        }
    });
    drop(stop);
    acceptor.join().unwrap();
    worker.join().unwrap();
}
