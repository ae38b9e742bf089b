//! What clients may take of the memory: all together (`maxmemory-clients`), and each by its output buffer.

mod common;

use std::time::{Duration, Instant};

use common::{Client, Server};

/// A statistic of INFO.
fn statistic(client: &mut Client, name: &str) -> u64 {
    let info = client.run("INFO").text();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {info}")).parse().unwrap()
}

/// A field of a client's line of CLIENT LIST, if it is connected.
fn field(client: &mut Client, name: &str, field: &str) -> Option<u64> {
    let list = client.command(&["CLIENT", "LIST", "NAME", name]).text();
    let field = format!("{field}=");
    Some(list.split(' ').find_map(|word| word.strip_prefix(&field))?.parse().unwrap())
}

fn named(server: &Server, name: &str) -> Client {
    let mut client = server.connect();
    assert!(client.command(&["CLIENT", "SETNAME", name]).is("OK"));
    client
}

/// A client whose incomplete request takes about so many bytes.
fn talker(server: &Server, admin: &mut Client, name: &str, bytes: usize) -> Client {
    let mut client = named(server, name);
    client.write(format!("*2\r\n${bytes}\r\n").as_bytes());
    client.write(&vec![b'v'; bytes]);
    while field(admin, name, "qbuf") != Some(bytes as u64) {}
    client
}

/// A list of 100 elements of so many bytes.
fn fill(client: &mut Client, bytes: usize) {
    let element = "x".repeat(bytes);
    let mut push = vec!["RPUSH", "list"];
    push.extend([&*element; 100]);
    assert_eq!(client.command(&push).integer(), 100);
}

#[test]
fn clients_that_read_nothing_stay_below_maxmemory_clients() {
    const LIMIT: u64 = 50 << 20;
    let server = Server::start(&["--maxmemory-clients", "50mb"]);
    let mut admin = server.connect();
    assert!(admin.run("CLIENT NO-EVICT ON").is("OK"));
    fill(&mut admin, 10_000);
    let before = statistic(&mut admin, "used_memory");
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    let requests = b"LRANGE list 0 -1\r\n".repeat(70);
    for client in &mut clients {
        // It may be gone already.
        let _ = client.try_write(&requests);
    }
    // The last one alone asks for more than all may take.
    while statistic(&mut admin, "evicted_clients") < 50 {}
    let peak = statistic(&mut admin, "used_memory_peak") - before;
    // Those that were ended give their memory back when their threads have come to it.
    assert!(peak < LIMIT + LIMIT / 2, "the clients took {peak} bytes");
    assert!(server.log().contains("Evicting client: id="));
    clients.iter_mut().for_each(|client| client.discard_to_end());
}

#[test]
fn a_lower_limit_ends_the_largest_clients_at_once() {
    let server = Server::start(&[]);
    let mut admin = server.connect();
    let sizes = [("small", 200_000), ("medium", 1_000_000), ("large", 3_000_000)];
    let _clients = sizes.map(|(name, bytes)| talker(&server, &mut admin, name, bytes));
    let mut spared = talker(&server, &mut admin, "spared", 3_000_000);
    let alive = |admin: &mut Client| {
        ["small", "medium", "large", "spared"].map(|name| field(admin, name, "id").is_some())
    };
    assert!(admin.run("CLIENT NO-EVICT ON").is("OK"));
    // The request is completed, and another one made, by a client that is not to be ended.
    spared.write(b"\r\n$1\r\nx\r\n");
    spared.read();
    assert!(spared.run("CLIENT NO-EVICT ON").is("OK"));
    spared.write(b"*2\r\n$3000000\r\n");
    spared.write(&vec![b'v'; 3_000_000]);
    while field(&mut admin, "spared", "qbuf") != Some(3_000_000) {}
    assert!(admin.run("CONFIG SET maxmemory-clients 5mb").is("OK"));
    assert_eq!(alive(&mut admin), [true, true, false, true]);
    assert!(admin.run("CONFIG SET maxmemory-clients 3500kb").is("OK"));
    assert_eq!(alive(&mut admin), [true, false, false, true]);
    assert!(admin.run("CONFIG SET maxmemory-clients 1").is("OK"));
    assert_eq!(alive(&mut admin), [false, false, false, true]);
    assert_eq!(statistic(&mut admin, "evicted_clients"), 3);
    assert!(admin.run("CONFIG RESETSTAT").is("OK"));
    assert_eq!(statistic(&mut admin, "evicted_clients"), 0);
}

#[test]
fn queued_commands_watches_and_subscriptions_count() {
    let server = Server::start(&["--maxmemory-clients", "200kb"]);
    let mut admin = server.connect();
    assert!(admin.run("CLIENT NO-EVICT ON").is("OK"));
    for (number, command) in ["WATCH", "SUBSCRIBE", "PSUBSCRIBE", "SET x"].iter().enumerate() {
        let mut client = server.connect();
        if *command == "SET x" {
            assert!(client.run("MULTI").is("OK"));
        }
        for i in 0u32.. {
            if client.try_write(format!("{command} {i}\r\n").as_bytes()).is_err()
                || client.read_unless_closed().is_none()
            {
                break;
            }
            assert!(i < 100_000, "{command} takes nothing");
        }
        assert_eq!(statistic(&mut admin, "evicted_clients"), number as u64 + 1, "{command}");
    }
}

#[test]
fn nothing_is_sent_of_replies_beyond_the_output_limit() {
    let server = Server::start(&["--client-output-buffer-limit", "normal 100000 0 0"]);
    let mut admin = server.connect();
    fill(&mut admin, 5000);
    admin.run("HSET hash field value");
    for request in ["LRANGE list 0 -1\r\n", "HRANDFIELD hash -999999999\r\n"] {
        let mut client = server.connect();
        client.write(request.as_bytes());
        assert_eq!(client.read_to_end(), b"", "{request}");
    }
    let mut client = server.connect();
    client.write(b"MULTI\r\nSET a 1\r\nLRANGE list 0 -1\r\nSET b 2\r\nEXEC\r\n");
    client.read_to_end();
    assert_eq!(
        admin.run("MGET a b").elements().iter().map(|v| v.text()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(statistic(&mut admin, "client_output_buffer_limit_disconnections"), 3);
    // Replies that are not wanted are no output.
    let mut client = server.connect();
    client.write(b"CLIENT REPLY OFF\r\nLRANGE list 0 -1\r\nCLIENT REPLY ON\r\n");
    assert!(client.read().is("OK"));
}

#[test]
fn the_soft_limit_of_subscribers_is_that_of_their_class() {
    let server = Server::start(&["--client-output-buffer-limit", "pubsub 0 100000 1"]);
    let mut admin = server.connect();
    let mut subscriber = named(&server, "subscriber");
    subscriber.run("SUBSCRIBE c");
    let message = "m".repeat(100_000);
    while field(&mut admin, "subscriber", "omem") < Some(1_000_000) {
        admin.command(&["PUBLISH", "c", &message]);
    }
    let started = Instant::now();
    server.wait_for_log("for overcoming of output buffer limits");
    assert!(started.elapsed() > Duration::from_millis(500), "{:?}", started.elapsed());
    // It is logged first.
    while field(&mut admin, "subscriber", "omem").is_some() {}
    while statistic(&mut admin, "client_output_buffer_limit_disconnections") < 1 {}
    subscriber.discard_to_end();
}

#[test]
fn imported_data_expires_for_all_but_its_source() {
    let script = [
        (0, "CLIENT IMPORT-SOURCE ON"),
        (0, "CONFIG SET import-mode yes"),
        (0, "CLIENT IMPORT-SOURCE maybe"),
        (0, "CLIENT IMPORT-SOURCE ON"),
        (0, "SET a v PXAT 1"),
        (1, "SET b v PXAT 1"),
        (1, "SET c v"),
        (1, "EXPIRE c -1"),
        (0, "DBSIZE"),
        (0, "MGET a b c"),
        (1, "MGET a b c"),
        (1, "EXISTS a b c"),
        (1, "SCAN 0"),
        (0, "PTTL a"),
        (1, "DBSIZE"),
        (1, "APPEND b w"),
        (0, "GET b"),
        (1, "SET a w"),
        (1, "DBSIZE"),
        (1, "CONFIG SET maxmemory 1 maxmemory-policy allkeys-lru"),
        (1, "SET d 1"),
        (1, "DBSIZE"),
        (1, "CONFIG SET maxmemory 0"),
        (0, "CLIENT IMPORT-SOURCE OFF"),
        (0, "GET c"),
        (1, "CONFIG SET import-mode no"),
        (1, "GET c"),
        (1, "GET b"),
    ];
    let servers = [Server::start(&[]), Server::oracle(&[])];
    let [ours, theirs] = servers.map(|server| {
        let mut clients = [server.connect(), server.connect()];
        script.map(|(client, command)| clients[client].run(command))
    });
    for ((command, ours), theirs) in script.iter().zip(ours).zip(theirs) {
        assert_eq!(ours, theirs, "{command:?}");
    }
}
