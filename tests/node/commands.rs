//! LOLWUT and DEBUG's subcommands, compared with the oracle's.

use crate::common::{Client, Server};

const OPTIONS: [&str; 2] = ["--enable-debug-command", "yes"];

fn both() -> ([Client; 2], [Server; 2]) {
    let servers = [Server::start(&OPTIONS), Server::oracle(&OPTIONS)];
    ([servers[0].connect(), servers[1].connect()], servers)
}

fn run_both(clients: &mut [Client; 2], command: &str) {
    let words: Vec<_> = command.split(' ').collect();
    let [ours, theirs] = clients.each_mut().map(|client| client.raw(&words));
    let show = |reply: Vec<u8>| String::from_utf8_lossy(&reply).into_owned();
    assert_eq!(show(ours), show(theirs), "{command}");
}

#[test]
fn lolwut_takes_the_arguments_of_each_version() {
    let (mut clients, _servers) = both();
    for command in [
        "LOLWUT VERSION",
        "LOLWUT VERSION x",
        "LOLWUT VERSION 09",
        "LOLWUT VERSION 9.1",
        "LOLWUT foo",
        "LOLWUT 1",
        "LOLWUT 1 2 3",
        "LOLWUT 1 2 3 4 5",
        "LOLWUT a 5",
        "LOLWUT 5 a",
        "LOLWUT 5 5 a 1",
        "LOLWUT 5 5 1 nan",
        "LOLWUT VERSION 9 5",
        "LOLWUT VERSION 5 x",
        "LOLWUT VERSION 5 5 x",
        "LOLWUT VERSION 5 5 1 x",
        "LOLWUT VERSION 6 5 x",
        "LOLWUT VERSION 4 x",
        "LOLWUT VERSION 7",
        "LOLWUT VERSION 50",
        "LOLWUT VERSION -1",
        "LOLWUT VERSION 0 1 2 3",
    ] {
        run_both(&mut clients, command);
    }
    let [ours, _] = &mut clients;
    for (command, columns, rows) in [
        ("LOLWUT", 80, 40),
        ("LOLWUT 20 6", 20, 6),
        ("LOLWUT 500 500 0.1 0.2", 160, 80),
        ("LOLWUT 0 0 1e300 1", 1, 1),
        ("LOLWUT version 99 7 3", 7, 3),
        ("LOLWUT VERSION 4294967305 7 3", 7, 3),
        ("LOLWUT VERSION 5", 66, 49),
        ("LOLWUT VERSION 5 -1 200 200", 1, 1),
        ("LOLWUT VERSION 6", 80, 20),
        ("LOLWUT VERSION 6 1000000 2 x", 1000, 2),
    ] {
        let text = ours.run(command).text();
        let lines: Vec<_> = text.lines().collect();
        let (last, picture) = lines.split_last().unwrap();
        assert_eq!(*last, "A head of verbena. Valkey ver. 9.1.2", "{command}");
        assert_eq!(picture.len(), rows, "{command}");
        assert!(picture.iter().all(|line| line.len() == columns), "{command}:\n{text}");
    }
}

#[test]
fn the_server_can_introduce_itself_as_redis() {
    let (mut clients, _servers) = both();
    for value in ["yes", "no"] {
        run_both(&mut clients, &format!("CONFIG SET extended-redis-compatibility {value}"));
        run_both(&mut clients, "LOLWUT VERSION 1");
        let modes = clients.each_mut().map(|client| {
            let hello = client.command(&["HELLO", "2"]);
            let elements = hello.elements()[..4].iter().map(|element| element.text());
            let elements: Vec<String> = elements.collect();
            let report = client.run("INFO server").text();
            let mode = report.lines().find(|line| line.contains("_mode:")).unwrap().to_owned();
            let art = client.run("LOLWUT").text();
            (
                elements,
                mode,
                art.trim_end().rsplit(". ").nth(1).unwrap().rsplit(' ').nth(1).map(str::to_owned),
            )
        });
        assert_eq!(modes[0], modes[1], "{value}");
    }
}

#[test]
fn debug_answers_as_the_oracle_does() {
    let (mut clients, _servers) = both();
    for command in [
        "SET string abc",
        "SET number 12",
        "RPUSH list a",
        "DEBUG HELP",
        "DEBUG HELP x",
        "DEBUG AOF-FLUSH-SLEEP 0",
        "DEBUG AOF-FLUSH-SLEEP",
        "DEBUG CHANGE-REPL-ID",
        "DEBUG CHANGE-REPL-ID x",
        "DEBUG CLIENT-ENFORCE-REPLY-LIST 1",
        "DEBUG CLIENT-EVICTION",
        "DEBUG CLIENT-EVICTION x",
        "DEBUG CLOSE-CLUSTER-LINK-ON-PACKET-DROP 1",
        "DEBUG CLUSTERLINK KILL to abc",
        "DEBUG CLUSTERLINK KILL to",
        "DEBUG CLUSTERLINK FOO to abc",
        "DEBUG CONFIG-REWRITE-FORCE-ALL",
        "DEBUG CRASH-AND-RECOVER x",
        "DEBUG DELAY-RDB-CLIENT-FREE-SECOND 1",
        "DEBUG DELAY-RDB-CLIENT-FREE-SECONDS 1",
        "DEBUG DICT-RESIZING x",
        "DEBUG DICT-STATS",
        "DEBUG DISABLE-CLUSTER-RANDOM-PING 1",
        "DEBUG DISABLE-CLUSTER-RECONNECTION x",
        "DEBUG DROP-CLUSTER-PACKET-FILTER 1",
        "DEBUG DROP-CLUSTER-PACKET-FILTER x",
        "DEBUG ERROR hello",
        "DEBUG FORCE-FREE-PRIMARY-ASYNC 0",
        "DEBUG FORCE-TLS-WRITE-ERROR 0",
        "DEBUG HASHTABLE-CAN-ABORT-SHRINK 1",
        "DEBUG JMAP",
        "DEBUG LEAK abc",
        "DEBUG LEAK",
        "DEBUG LOG a",
        "DEBUG MALLCTL a",
        "DEBUG NOPE",
        "DEBUG NOPE 1",
        "DEBUG PAUSE-AFTER-FORK 0",
        "DEBUG PAUSE-CRON 1",
        "DEBUG PAUSE-CRON 0",
        "DEBUG PAUSE-CRON x",
        "DEBUG PAUSE-CRON",
        "DEBUG PROTECT-CLIENT 999999",
        "DEBUG PROTECT-CLIENT x",
        "DEBUG PROTECT-CLIENT",
        "DEBUG QUICKLIST-PACKED-THRESHOLD 0",
        "DEBUG QUICKLIST-PACKED-THRESHOLD x",
        "DEBUG REPLICATE x",
        "DEBUG REPLICATE",
        "DEBUG REPLYBUFFER RESIZING",
        "DEBUG REPLYBUFFER RESIZING 1",
        "DEBUG RESTART x",
        "DEBUG SDSLEN list",
        "DEBUG SDSLEN number",
        "DEBUG SDSLEN nokey",
        "DEBUG SDSLEN",
        "DEBUG SET-ACTIVE-EXPIRE 1",
        "DEBUG SET-DISABLE-DENY-SCRIPTS 0",
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION",
        "DEBUG SET-SKIP-CHECKSUM-VALIDATION 0",
        "DEBUG SLEEP 0",
        "DEBUG SLEEP x",
        "DEBUG SLOTMIGRATION PREVENT-PAUSE 1",
        "DEBUG SLOTMIGRATION PREVENT-FAILOVER x",
        "DEBUG SLOTMIGRATION FOO 0",
        "DEBUG STRINGMATCH-LEN 10 *a*",
        "DEBUG STRINGMATCH-TEST",
        "DEBUG STRINGMATCH-TEST x",
        "DEBUG STRUCTSIZE x",
        "READONLY",
        "READWRITE",
        "READONLY x",
        "ASKING",
        "CLUSTER",
        "CLUSTER HELP",
        "CLUSTER KEYSLOT {a}b",
        "CLUSTER NOPE",
        "CLUSTER RESET HARD",
    ] {
        run_both(&mut clients, command);
    }
    let [ours, _] = &mut clients;
    let text = ours.run("DEBUG SDSLEN string").text();
    assert!(text.starts_with("key_sds_len:6 key_sds_avail:0 obj_alloc:"), "{text}");
    assert!(text.contains(" val_sds_len:3 "), "{text}");
    assert!(ours.run("DEBUG STRUCTSIZE").text().starts_with("bits:64 entry:"));
}

#[test]
fn clients_are_classed_by_the_memory_that_they_take() {
    let (mut clients, _servers) = both();
    let texts = clients.each_mut().map(|client| {
        assert!(client.run("CONFIG SET maxmemory-clients 10mb").is("OK"));
        let text = client.run("DEBUG CLIENT-EVICTION").text();
        text.lines()
            .map(|line| line.split("tot-mem").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    });
    assert_eq!(texts[0], texts[1]);
    let text = clients[0].run("DEBUG CLIENT-EVICTION").text();
    let counted = |line: &str| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    assert_eq!(text.lines().map(counted).sum::<u32>(), 1, "{text}");
}

#[test]
fn checksums_are_ignored_while_debug_says_so() {
    let (clients, _servers) = both();
    for mut client in clients {
        client.run("SET a value");
        let mut payload = client.run("DUMP a").bytes().to_vec();
        *payload.last_mut().unwrap() ^= 1;
        let restore = |client: &mut Client| {
            client.command(&[&b"RESTORE"[..], b"b", b"0", &payload, b"REPLACE"])
        };
        let refused = "ERR DUMP payload version or checksum are wrong";
        assert_eq!(restore(&mut client).error(), refused);
        client.run("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
        assert!(restore(&mut client).is("OK"));
        assert_eq!(client.run("GET b").text(), "value");
        client.run("DEBUG SET-SKIP-CHECKSUM-VALIDATION 0");
        assert_eq!(restore(&mut client).error(), refused);
    }
}

#[test]
fn a_changed_replication_id_and_a_complete_file_are_kept() {
    let server = Server::start_with_file("maxmemory 100mb\n", &OPTIONS);
    let mut client = server.connect();
    let id = |client: &mut Client| {
        let report = client.run("INFO replication").text();
        report.lines().find(|line| line.starts_with("master_replid:")).unwrap().to_owned()
    };
    let before = id(&mut client);
    assert!(client.run("DEBUG CHANGE-REPL-ID").is("OK"));
    assert_ne!(id(&mut client), before);
    assert!(client.run("DEBUG CONFIG-REWRITE-FORCE-ALL").is("OK"));
    let file = client.run("INFO server").text();
    let file = file.lines().find_map(|line| line.strip_prefix("config_file:")).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    for line in ["maxmemory 100mb", "hz 10", "io-threads 1", "timeout 0"] {
        assert!(text.lines().any(|other| other == line), "no {line} in:\n{text}");
    }
}
