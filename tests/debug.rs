//! What DEBUG answers is what the oracle answers.

mod common;

use common::{Client, Server, Value};

const OPTIONS: [&str; 2] = ["--enable-debug-command", "yes"];

fn both() -> ([Client; 2], [Server; 2]) {
    let servers = [Server::start(&OPTIONS), Server::oracle(&OPTIONS)];
    ([servers[0].connect(), servers[1].connect()], servers)
}

fn run_both(clients: &mut [Client; 2], command: &str) {
    let [ours, theirs] = clients.each_mut().map(|client| client.run(command));
    assert_eq!(ours, theirs, "{command}");
}

/// Commands that leave values of every type and encoding.
const VALUES: &[&str] = &[
    "SET string abc",
    "SET integer 12345",
    "SET expiring x EX 1000",
    "SET long %",
    "SETBIT bits 100 1",
    "PFADD hll a b c",
    "RPUSH list a 1 -77 longer:element 1",
    "RPUSH plain % b %",
    "SADD integers 3 1 2 99999999999",
    "SADD listpack-set a b 3",
    "SADD table-set a b %",
    "ZADD listpack-zset 1 a 2.5 b -0.1 c inf d -inf e 3e16 f 1.5e-7 g 123456789012345678 h",
    "ZADD skiplist-zset 1 % 2.5 b -0.1 c inf d -inf e 3e16 f 1.5e-7 g 123456789012345678 h",
    "ZADD skiplist-zset -0.0 i 1e21 j 100000000 k 9007199254740993 l 0.1 m 1e100 n 5e-324 o",
    "HSET listpack-hash a 1 b text",
    "HSET table-hash a 1 b %",
    "HSET volatile-hash a 1 b 2",
    "HEXPIRE volatile-hash 1000 FIELDS 1 a",
    "HSET expiring-hash a 1",
    "EXPIRE expiring-hash 1000",
    "XADD stream 5-1 a 1 b 2",
    "XADD stream 5-2 a x b y",
    "XADD stream 6-0 c %",
    "XADD stream 7-0 a 1",
    "XDEL stream 5-2",
    "XGROUP CREATE stream group 0",
    "XADD emptied 1-1 a b",
    "XDEL emptied 1-1",
    "SADD {tag}a 1 2",
    "COPY {tag}a {tag}b",
];

fn fill(client: &mut Client) {
    for command in VALUES {
        let long = "long".repeat(3000);
        let reply = client.run(&command.replace('%', &long));
        assert!(!matches!(reply, Value::Error(_)), "{command}: {reply}");
    }
}

#[test]
fn digests_are_the_oracles_for_every_type_and_encoding() {
    let (mut clients, _servers) = both();
    run_both(&mut clients, "DEBUG DIGEST");
    clients.iter_mut().for_each(fill);
    let mut keys: Vec<String> =
        clients[0].run("KEYS *").elements().iter().map(Value::text).collect();
    keys.sort();
    assert_eq!(keys.len(), 21);
    for key in &keys {
        run_both(&mut clients, &format!("DEBUG DIGEST-VALUE {key}"));
    }
    run_both(&mut clients, "DEBUG DIGEST-VALUE string nothing list string");
    run_both(&mut clients, "DEBUG DIGEST-VALUE");
    run_both(&mut clients, "DEBUG DIGEST");
    run_both(&mut clients, "DEBUG DIGEST x");
    for client in &mut clients {
        client.run("SELECT 7");
        fill(client);
        client.run("SELECT 3");
        client.run("SET a b");
    }
    run_both(&mut clients, "DEBUG DIGEST");
    run_both(&mut clients, "DEBUG DIGEST-VALUE list");
    run_both(&mut clients, "SWAPDB 3 7");
    run_both(&mut clients, "DEBUG DIGEST");
    run_both(&mut clients, "FLUSHALL");
    run_both(&mut clients, "DEBUG DIGEST");
}

#[test]
fn digests_do_not_depend_on_encodings_or_shards() {
    let server = Server::start(&OPTIONS);
    let mut client = server.connect();
    fill(&mut client);
    let digest = client.run("DEBUG DIGEST");
    for limit in ["list-max-listpack-size", "hash-max-listpack-entries", "set-max-intset-entries"] {
        assert!(client.run(&format!("CONFIG SET {limit} 1")).is("OK"));
    }
    for limit in ["set-max-listpack-entries", "zset-max-listpack-entries"] {
        assert!(client.run(&format!("CONFIG SET {limit} 1")).is("OK"));
    }
    client.run("FLUSHALL");
    fill(&mut client);
    assert_eq!(client.run("DEBUG DIGEST"), digest);
    client.run("HSET table-hash a 2");
    assert_ne!(client.run("DEBUG DIGEST"), digest);
}

#[test]
fn digests_take_in_what_has_expired_until_it_is_removed() {
    let (mut clients, _servers) = both();
    for client in &mut clients {
        client.run("DEBUG SET-ACTIVE-EXPIRE 0");
        client.run("SET a b PX 1");
        client.run("HSET h a 1 b 2");
        client.run("HPEXPIRE h 1 FIELDS 2 a b");
        client.run("HSET g a 1 b 2");
        client.run("HPEXPIRE g 1 FIELDS 1 a");
        let expired = |client: &mut Client| {
            let left = client.run("HPTTL h FIELDS 1 b");
            left.elements()[0].integer() < 0
        };
        while !expired(client) {}
    }
    run_both(&mut clients, "DEBUG DIGEST-VALUE a h g");
    run_both(&mut clients, "DEBUG DIGEST");
    run_both(&mut clients, "GET a");
    run_both(&mut clients, "DEBUG DIGEST-VALUE a");
    run_both(&mut clients, "DEBUG DIGEST");
}

#[test]
fn subcommands_answer_as_the_oracles() {
    let (mut clients, _servers) = both();
    clients.iter_mut().for_each(fill);
    for client in &mut clients {
        assert!(client.run("CONFIG SET list-max-listpack-size 2").is("OK"));
        client.run("RPUSH quicklist a b c d e f g");
    }
    for command in [
        "QUICKLIST-PACKED-THRESHOLD 1b",
        "QUICKLIST-PACKED-THRESHOLD 4095mb",
        "QUICKLIST-PACKED-THRESHOLD 4293918721",
        "QUICKLIST-PACKED-THRESHOLD 4gb",
        "QUICKLIST-PACKED-THRESHOLD -1",
        "QUICKLIST-PACKED-THRESHOLD x",
        "QUICKLIST-PACKED-THRESHOLD",
        "QUICKLIST-PACKED-THRESHOLD 0",
        "LISTPACK list",
        "LISTPACK listpack-hash",
        "LISTPACK listpack-zset",
        "LISTPACK listpack-set",
        "LISTPACK integers",
        "LISTPACK stream",
        "LISTPACK quicklist",
        "LISTPACK string",
        "LISTPACK nothing",
        "LISTPACK",
        "QUICKLIST quicklist",
        "QUICKLIST quicklist 1",
        "QUICKLIST list",
        "QUICKLIST nothing",
        "QUICKLIST quicklist 1 2",
        "REPLYBUFFER PEAK-RESET-TIME 100",
        "REPLYBUFFER PEAK-RESET-TIME never",
        "REPLYBUFFER PEAK-RESET-TIME reset",
        "REPLYBUFFER PEAK-RESET-TIME x",
        "REPLYBUFFER RESIZING 0",
        "REPLYBUFFER RESIZING",
        "REPLYBUFFER FOO 1",
        "REPLYBUFFER",
        "DICT-RESIZING 0",
        "DICT-RESIZING 1",
        "DICT-RESIZING",
        "HASHTABLE-CAN-ABORT-SHRINK 1",
        "CLIENT-ENFORCE-REPLY-LIST 0",
        "SET-DISABLE-DENY-SCRIPTS 0",
        "PAUSE-AFTER-FORK 0",
        "SET-ACTIVE-EXPIRE x",
        "SET-ACTIVE-EXPIRE 1",
        "SLEEP x",
        "SLEEP",
        "HTSTATS 3",
        "HTSTATS 16",
        "HTSTATS -1",
        "HTSTATS x",
        "HTSTATS",
        "HTSTATS-KEY list",
        "HTSTATS-KEY listpack-hash",
        "HTSTATS-KEY string",
        "HTSTATS-KEY nothing",
        "HTSTATS-KEY",
        "OBJECT nothing",
        "OBJECT a b c",
        "RELOAD FOO",
        "RELOAD NOSAVE FOO",
        "LOADAOF",
        "POPULATE x",
        "POPULATE -1",
        "ERROR text",
        "ERROR",
        "LOG",
        "JMAP",
        "NOPE",
    ] {
        run_both(&mut clients, &format!("DEBUG {command}"));
    }
    let reload = clients[0].run("DEBUG RELOAD").error().to_owned();
    assert_eq!(reload, "ERR DEBUG RELOAD is not supported: this version has no snapshots");
}

#[test]
fn the_packed_threshold_decides_which_elements_get_nodes_of_their_own() {
    let (mut clients, _servers) = both();
    for threshold in ["1b", "3", "0"] {
        run_both(&mut clients, "CONFIG SET list-max-listpack-size 3");
        run_both(&mut clients, &format!("DEBUG QUICKLIST-PACKED-THRESHOLD {threshold}"));
        run_both(&mut clients, "RPUSH l a bb ccc dddd a bb ccc dddd eeeee");
        run_both(&mut clients, "LINSERT l BEFORE ccc ffffff");
        run_both(&mut clients, "LSET l 1 gggg");
        run_both(&mut clients, "LSET l 4 h");
        run_both(&mut clients, "LREM l 1 dddd");
        run_both(&mut clients, "LRANGE l 0 -1");
        // The form of each node is in it.
        run_both(&mut clients, "DUMP l");
        run_both(&mut clients, "DEL l");
    }
}

/// `name:value` of a text of DEBUG OBJECT or DEBUG HTSTATS.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(&format!(" {name}:")).unwrap_or_else(|| panic!("{name}: {text}")).1;
    rest.trim_start().split([' ', '\n']).next().unwrap()
}

#[test]
fn object_tells_of_the_nodes_of_a_list() {
    let (mut clients, _servers) = both();
    for client in &mut clients {
        client.run("CONFIG SET list-max-listpack-size 2");
        client.run("CONFIG SET list-compress-depth 1");
        client.run("RPUSH l a b c d e f g");
    }
    let [ours, theirs] = clients.each_mut().map(|client| client.run("DEBUG OBJECT l").text());
    for name in ["refcount", "encoding", "ql_nodes", "ql_avg_node", "ql_listpack_max"] {
        assert_eq!(field(&ours, name), field(&theirs, name), "{name}");
    }
    assert_eq!(field(&ours, "ql_compressed"), field(&theirs, "ql_compressed"));
    assert!(field(&ours, "ql_uncompressed_size").parse::<usize>().unwrap() > 0);
    let fast = clients.each_mut().map(|client| client.run("DEBUG OBJECT l fast").text());
    for text in fast {
        assert!(text.contains("ql_nodes:4") && !text.contains("ql_uncompressed_size"), "{text}");
    }
}

#[test]
fn tables_say_how_full_they_are() {
    let (mut clients, _servers) = both();
    for client in &mut clients {
        client.run("DEBUG POPULATE 1000");
        client.run("SET expiring x EX 100");
        let members: Vec<String> = (0..1000).map(|n| format!("m{n}")).collect();
        client.run(&format!("SADD set {}", members.join(" ")));
        let pairs: Vec<String> = members.iter().map(|member| format!("{member} 1")).collect();
        client.run(&format!("HSET hash {}", pairs.join(" ")));
        let scored: Vec<String> = members.iter().map(|member| format!("1 {member}")).collect();
        client.run(&format!("ZADD zset {}", scored.join(" ")));
    }
    for command in ["HTSTATS 0", "HTSTATS-KEY set", "HTSTATS-KEY hash", "HTSTATS-KEY zset"] {
        for full in ["", " full"] {
            let command = format!("DEBUG {command}{full}");
            let text = clients[0].run(&command).text();
            // Valkey may be rehashing: its entries are then in two tables.
            let lines = |text: &str| {
                let names = text.lines().filter_map(|line| line.rsplit_once(':'));
                names.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
            };
            let theirs = lines(&clients[1].run(&command).text());
            let only_ours: Vec<_> =
                lines(&text).into_iter().filter(|name| !theirs.contains(name)).collect();
            let unexpected = |name: &String| name.trim().parse::<u32>().is_err();
            assert!(!only_ours.iter().any(unexpected), "{command}: {only_ours:?}");
            assert_eq!(field(&text, "rehashing index"), "-1");
            let number = |name| field(&text, name).parse::<usize>().unwrap();
            let entries = if command.contains("KEY") { 1000 } else { 1004 };
            assert_eq!(number("number of entries"), entries, "{command}");
            assert!(number("table size") >= number("number of entries"), "{text}");
            if full.is_empty() {
                continue;
            }
            let buckets = number("top-level buckets") + number("child buckets");
            assert_eq!(buckets * 7, number("table size"), "{command}");
        }
    }
    for client in &mut clients {
        client.run("HELLO 3");
        let reply = client.raw(&["DEBUG", "HTSTATS", "0"]);
        assert!(reply.starts_with(b"=") && reply.windows(4).any(|four| four == b"txt:"));
    }
}
