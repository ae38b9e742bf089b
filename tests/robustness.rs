//! Clients and servers that end at any moment, bad input, and clients that do not read: nothing hangs,
//! nothing leaks, and other clients are not affected.
//!
//! `VERBENA_ROUNDS` multiplies the rounds.

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Server};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use socket2::SockRef;

/// The time limit for an event that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes by which a server's resident memory may exceed its former size: memory that an allocator
/// keeps.
const SLACK: usize = 32 << 20;

fn rounds(usual: usize) -> usize {
    let factor = std::env::var("VERBENA_ROUNDS").map_or(1, |text| text.parse().unwrap());
    usual * factor
}

/// The resources of a process that must not leak.
#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    /// Bytes.
    memory: usize,
}

impl Held {
    /// The resources of a server without clients, after all its threads have served some.
    fn idle(server: &Server) -> Held {
        let mut clients = (0..8).map(|_| server.connect()).collect::<Vec<_>>();
        for client in &mut clients {
            assert!(client.run("PING").is("PONG"));
        }
        let held = Held::by(server);
        Held { descriptors: held.descriptors - clients.len(), ..held }
    }

    fn by(server: &Server) -> Held {
        let proc = format!("/proc/{}", server.pid());
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: usize = resident.trim().trim_end_matches(" kB").parse().unwrap();
        Held {
            descriptors: fs::read_dir(format!("{proc}/fd")).unwrap().count(),
            memory: kilobytes << 10,
        }
    }

    /// Waits until the server holds no more than this again: it detects a lost client after some time.
    fn wait_for(self, server: &Server) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Held::by(server);
            if now.descriptors <= self.descriptors && now.memory <= self.memory + SLACK {
                return;
            }
            assert!(Instant::now() < deadline, "leaked: {self:?} before, {now:?} after");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    request
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Ends a connection as the system does for a process that was killed: at once, and with a reset if
/// it has not read everything, or if `reset` says so.
fn kill(stream: TcpStream, reset: bool) {
    if reset {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A client that sends requests the whole time, and checks every reply.
fn bystander(server: &Server, done: &AtomicBool) -> usize {
    let mut client = server.connect();
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        let value = format!("value {count}");
        assert!(client.command(&["SET", "bystander", &value]).is("OK"));
        assert_eq!(client.run("GET bystander").text(), value);
        count += 1;
    }
    count
}

/// Runs `work` while a bystander works too.
fn beside_a_bystander(server: &Server, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let bystander = scope.spawn(|| bystander(server, &done));
        work();
        done.store(true, Ordering::Relaxed);
        assert!(bystander.join().unwrap() > 0);
    });
}

#[test]
fn clients_killed_at_any_moment_leave_nothing_behind() {
    let server = Server::start(&["--io-threads", "2"]);
    let mut rng = StdRng::seed_from_u64(1);
    let mut large = vec![0; 300_000];
    rng.fill_bytes(&mut large);
    let mut pipeline = Vec::new();
    for (key, len) in [("small", 10), ("medium", 20_000), ("large", 300_000)] {
        pipeline.extend(request(&[b"SET", key.as_bytes(), &large[..len]]));
        pipeline.extend(request(&[b"GET", key.as_bytes()]));
    }
    let mut client = server.connect();
    client.write(&pipeline);
    for _ in 0..6 {
        client.read_raw();
    }
    drop(client);
    let round = |rng: &mut StdRng| {
        let mut stream = connect(&server);
        // In mid-request, or after it and then in mid-reply.
        let sent = match rng.random_range(0..3) {
            0 => pipeline.len(),
            1 => rng.random_range(0..100),
            _ => rng.random_range(0..pipeline.len()),
        };
        stream.write_all(&pipeline[..sent]).unwrap();
        if sent == pipeline.len() {
            let mut part = vec![0; rng.random_range(1..100_000)];
            stream.read_exact(&mut part).unwrap();
        }
        kill(stream, rng.random());
    };
    for _ in 0..50 {
        round(&mut rng);
    }
    let before = Held::idle(&server);
    beside_a_bystander(&server, || (0..rounds(1000)).for_each(|_| round(&mut rng)));
    before.wait_for(&server);
}

#[test]
fn client_processes_killed_under_load_leave_nothing_behind() {
    let server = Server::start(&["--io-threads", "2"]);
    let port = server.port().to_string();
    let before = Held::idle(&server);
    let mut rng = StdRng::seed_from_u64(2);
    beside_a_bystander(&server, || {
        for _ in 0..rounds(40) {
            let mut benchmark = Command::new("redis-benchmark")
                .args(["-p", &port, "-c", "20", "-P", "50", "-n", "100000000", "-d", "1000"])
                .args(["-r", "1000", "-t", "set,get"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-benchmark, of Debian's redis-tools");
            // It prints when its connections work; after that it may be killed at any moment.
            let mut first = [0; 1];
            benchmark.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
            thread::sleep(Duration::from_millis(rng.random_range(0..20)));
            benchmark.kill().unwrap();
            benchmark.wait().unwrap();
        }
    });
    before.wait_for(&server);
}

#[test]
fn a_server_killed_under_load_ends_every_connection_and_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let path = path.to_str().unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    for round in 0..rounds(100) {
        let mut server = Server::start(&["--io-threads", "2", "--unixsocket", path]);
        let started = Instant::now();
        thread::scope(|scope| {
            let clients = (0..4)
                .map(|number| {
                    let stream = connect(&server);
                    scope.spawn(move || until_closed(stream, number))
                })
                .collect::<Vec<_>>();
            thread::sleep(Duration::from_micros(rng.random_range(0..5000)));
            let politely = round % 2 == 0;
            server.signal(if politely { "TERM" } else { "KILL" });
            let status = server.wait();
            assert!(!politely || status.success(), "{status}\n{}", server.log());
            for client in clients {
                client.join().unwrap();
            }
        });
        assert!(started.elapsed() < PATIENCE, "round {round} took {:?}", started.elapsed());
    }
}

/// Sends requests and checks the replies until the server has ended.
fn until_closed(mut stream: TcpStream, number: usize) {
    let key = format!("key:{number}");
    let value = vec![b'x'; 1000 * number * number];
    let requests =
        [request(&[b"SET", key.as_bytes(), &value]), request(&[b"GET", key.as_bytes()])].concat();
    let expected =
        [b"+OK\r\n", format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    let mut reply = vec![0; expected.len()];
    loop {
        if stream.write_all(&requests).is_err() {
            return;
        }
        let mut filled = 0;
        while filled < reply.len() {
            match stream.read(&mut reply[filled..]) {
                Ok(0) => return,
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("a hang"),
                Err(_) => return,
            }
            assert_eq!(reply[..filled], expected[..filled]);
        }
    }
}

#[test]
fn sigterm_ends_a_server_whatever_its_clients_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut server = Server::start(&["--unixsocket", path.to_str().unwrap()]);
    let mut idle = server.connect();
    let mut on_unix = Client::unix(&path);
    let mut half = server.connect();
    half.write(b"*2\r\n$4\r\nECHO\r\n$100\r\nabc");
    let mut deaf = server.connect();
    assert!(idle.command(&[&b"SET"[..], b"large", &vec![b'x'; 8 << 20]]).is("OK"));
    for _ in 0..20 {
        deaf.send(&["GET", "large"]);
    }
    assert!(on_unix.run("PING").is("PONG"));
    server.signal("TERM");
    let status = server.wait();
    assert!(status.success(), "{status}\n{}", server.log());
    idle.expect_closed();
    on_unix.expect_closed();
    half.expect_closed();
    deaf.read_to_end();
    assert!(!path.exists(), "the socket's file is still there");
}

#[test]
fn storms_of_bad_input_close_only_their_own_connections() {
    let server = Server::start(&["--io-threads", "2"]);
    let before = Held::idle(&server);
    beside_a_bystander(&server, || {
        thread::scope(|scope| {
            for number in 0..8 {
                let server = &server;
                scope.spawn(move || {
                    let mut rng = StdRng::seed_from_u64(number);
                    (0..rounds(150)).for_each(|_| bad_connection(server, &mut rng));
                });
            }
        });
    });
    before.wait_for(&server);
}

/// Sends invalid input, and reads until the server has closed the connection.
fn bad_connection(server: &Server, rng: &mut StdRng) {
    const STARTS: &[&[u8]] = &[
        b"*1\r\n$-1\r\n",
        b"*99999999999\r\n",
        b"*2\r\n$4\r\nPING\r\n:1\r\n",
        b"*1\r\n$600000000000\r\n",
        b"*1000000\r\n$3\r\nGET\r\n$-5\r\n",
        b"\"never closed\r\n",
        b"POST / HTTP/1.1\r\n",
        b"*1\r\n$4\r\nPINGPING",
    ];
    let mut stream = connect(server);
    let mut bytes = STARTS[rng.random_range(0..STARTS.len())].to_vec();
    let mut noise = vec![0; rng.random_range(0..100_000)];
    rng.fill_bytes(&mut noise);
    bytes.extend(noise);
    // The server may close before it has read everything.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_client_that_does_not_read_is_closed_at_its_limit() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 64mb 0 0"]);
    let mut client = server.connect();
    assert!(client.command(&[&b"SET"[..], b"large", &vec![b'x'; 1 << 20]]).is("OK"));
    let before = Held::idle(&server);
    let mut deaf = connect(&server);
    // Replies of 4 GiB.
    let requests = request(&[b"GET", b"large"]).repeat(4096);
    let _ = deaf.write_all(&requests);
    let deadline = Instant::now() + PATIENCE;
    while client.run("CLIENT LIST").text().lines().count() > 1 {
        let held = Held::by(&server);
        assert!(held.memory < before.memory + (256 << 20), "{held:?}");
        assert!(Instant::now() < deadline, "the client is still there");
        thread::sleep(Duration::from_millis(1));
    }
    let mut received = Vec::new();
    let _ = deaf.read_to_end(&mut received);
    assert!(received.len() < 512 << 20);
    drop(client);
    before.wait_for(&server);
}

#[test]
fn a_slow_reader_without_a_limit_gets_every_byte_and_costs_no_copies() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let large = vec![b'x'; 8 << 20];
    assert!(client.command(&[&b"SET"[..], b"large", &large]).is("OK"));
    let before = Held::idle(&server);
    let mut slow = connect(&server);
    const COUNT: usize = 256;
    slow.write_all(&request(&[b"GET", b"large"]).repeat(COUNT)).unwrap();
    // The server has executed all of them and goes on with others.
    assert!(client.run("PING").is("PONG"));
    // Two GiB wait; the value that they share is stored once.
    assert!(Held::by(&server).memory < before.memory + (256 << 20));
    let header = format!("${}\r\n", large.len());
    let mut reply = vec![0; header.len() + large.len() + 2];
    for _ in 0..COUNT {
        slow.read_exact(&mut reply).unwrap();
        assert!(reply.starts_with(header.as_bytes()) && reply.ends_with(b"x\r\n"));
    }
    drop((slow, client));
    before.wait_for(&server);
}

#[test]
fn ten_thousand_connections_come_and_go() {
    let server = Server::start(&["--io-threads", "2"]);
    let wave = || {
        let mut streams = (0..500).map(|_| connect(&server)).collect::<Vec<_>>();
        for stream in &mut streams {
            stream.write_all(b"PING\r\n").unwrap();
        }
        for stream in &mut streams {
            let mut reply = [0; 7];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"+PONG\r\n");
        }
    };
    wave();
    let before = Held::idle(&server);
    for _ in 0..20 {
        wave();
    }
    before.wait_for(&server);
}

/// A count is cheap to send, and the reply to it may exceed all memory: such a reply is refused before
/// any of it is built.
#[test]
fn too_long_a_reply_of_random_elements_is_refused_before_it_is_built() {
    const MOST: u64 = 128 << 20;
    let server = Server::start(&[]);
    let mut client = server.connect();
    let long = "x".repeat(60_000);
    for member in ["m", "1", &long] {
        client.run("DEL hash set zset");
        client.run(&format!("HSET hash {member} {member}"));
        client.run(&format!("SADD set {member}"));
        client.run(&format!("ZADD zset 1 {member}"));
        for command in [
            "HRANDFIELD hash -9223372036854775807",
            "HRANDFIELD hash -4000000000000000000 WITHVALUES",
            "HRANDFIELD hash -80000000",
            "SRANDMEMBER set -9223372036854775807",
            "SRANDMEMBER set -80000000",
            "ZRANDMEMBER zset -9223372036854775807",
            "ZRANDMEMBER zset -4000000000000000000 WITHSCORES",
            "ZRANDMEMBER zset -80000000",
        ] {
            assert_eq!(client.run(command).error(), "ERR value is out of range", "{command}");
            assert_eq!(client.run("SCARD set").integer(), 1, "nothing of the reply is left");
        }
    }
    assert!(server.peak_memory() < MOST, "{} bytes", server.peak_memory());
    let many = client.run("SRANDMEMBER set -1000");
    assert_eq!(many.elements().len(), 1000);
}
