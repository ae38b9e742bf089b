//! The memory limit: that it holds, which keys are evicted, and which commands are refused.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Server, Value};

const MIB: u64 = 1 << 20;

/// How long eviction may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A field of INFO.
fn info(client: &mut Client, name: &str) -> u64 {
    let text = client.run("INFO").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number {name}"))
}

/// A server with a limit of so many MiB above what it has already.
fn limited(mib: u64, policy: &str, options: &[&str]) -> (Server, Client) {
    let server = Server::start(options);
    let mut client = server.connect();
    let limit = info(&mut client, "used_memory") + mib * MIB;
    client.run(&format!("CONFIG SET maxmemory-policy {policy} maxmemory {limit}"));
    (server, client)
}

/// Limits the memory to what is in use.
fn limit(client: &mut Client) {
    let used = info(client, "used_memory");
    client.run(&format!("CONFIG SET maxmemory {used}"));
}

/// Runs commands as one pipeline.
fn pipeline(client: &mut Client, commands: impl Iterator<Item = String>) -> Vec<Value> {
    let commands: Vec<String> = commands.collect();
    let mut replies = Vec::new();
    for commands in commands.chunks(1000) {
        let text: String = commands.iter().map(|command| format!("{command}\r\n")).collect();
        client.write(text.as_bytes());
        replies.extend(commands.iter().map(|_| client.read()));
    }
    replies
}

/// Writes keys until so many were evicted.
fn evict(client: &mut Client, count: u64, filler: impl Fn(usize) -> String) {
    let start = info(client, "evicted_keys");
    let mut written = 0;
    while info(client, "evicted_keys") < start + count {
        pipeline(client, (written..written + 100).map(&filler));
        written += 100;
    }
}

/// Whether each of these keys exists.
fn present(client: &mut Client, keys: impl Iterator<Item = String>) -> Vec<bool> {
    let exists = pipeline(client, keys.map(|key| format!("EXISTS {key}")));
    exists.iter().map(|reply| reply.integer() == 1).collect()
}

fn count(present: &[bool]) -> usize {
    present.iter().filter(|present| **present).count()
}

#[test]
fn the_limit_holds_while_many_clients_write() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-ttl"] {
        let (server, mut watcher) = limited(16, policy, &["--io-threads", "3"]);
        let limit = info(&mut watcher, "maxmemory");
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let mut client = server.connect();
                    scope.spawn(move || {
                        for round in 0..60 {
                            let set = |n: usize| {
                                let value = "x".repeat(1 + n * 37 % 1500);
                                format!("SET {writer}:{round}:{n} {value} EX {}", 1000 + n)
                            };
                            let replies = pipeline(&mut client, (0..500).map(set));
                            assert!(replies.iter().all(|reply| reply.is("OK")));
                        }
                    })
                })
                .collect();
            let watch = scope.spawn(|| {
                let mut greatest = 0;
                while !is_done.load(Ordering::Relaxed) {
                    greatest = greatest.max(info(&mut watcher, "used_memory"));
                }
                (watcher, greatest)
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            is_done.store(true, Ordering::Relaxed);
            let (mut watcher, greatest) = watch.join().unwrap();
            assert!(greatest <= limit + limit / 50, "{policy}: {greatest} of {limit}");
            // No key is evicted without need.
            let used = info(&mut watcher, "used_memory");
            assert!(used >= limit - limit / 20, "{policy}: {used} of {limit}");
            assert!(info(&mut watcher, "evicted_keys") > 50_000);
        });
    }
}

#[test]
fn keys_without_an_expiry_stay_under_the_volatile_policies() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let (_server, mut client) = limited(2, policy, &[]);
        pipeline(&mut client, (0..1000).map(|n| format!("SET stay:{n} {n}")));
        let filler = |n| format!("SET go:{n} {} EX 1000", "x".repeat(500));
        evict(&mut client, 5000, filler);
        let stay = present(&mut client, (0..1000).map(|n| format!("stay:{n}")));
        assert_eq!(count(&stay), 1000, "{policy}");
        // When no evictable key is left, the command is refused.
        let value = "x".repeat(1000);
        let last = pipeline(&mut client, (0..4000).map(|n| format!("SET more:{n} {value}")));
        let refused = "OOM command not allowed when used memory > 'maxmemory'.";
        assert_eq!(last.last().map(|reply| reply.error()), Some(refused), "{policy}");
        assert_eq!(count(&present(&mut client, (0..1000).map(|n| format!("stay:{n}")))), 1000);
    }
}

#[test]
fn the_keys_that_expire_soonest_go_first() {
    let (_server, mut client) = limited(64, "volatile-ttl", &["--maxmemory-samples", "10"]);
    let value = "x".repeat(100);
    pipeline(&mut client, (0..4000).map(|n| format!("SET {n} {value} EX {}", 9000 + n)));
    limit(&mut client);
    evict(&mut client, 1500, |n| format!("SET filler:{n} {value} EX 90000"));
    let present = present(&mut client, (0..4000).map(|n| n.to_string()));
    let (soon, late) = (count(&present[..500]), count(&present[2500..]));
    assert!(soon < 50 && late > 1490, "{soon} of 500 and {late} of 1500 are there");
}

#[test]
fn keys_that_are_used_less_go_first() {
    for policy in ["allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu"] {
        let (_server, mut client) = limited(64, policy, &["--maxmemory-samples", "10"]);
        let value = "x".repeat(100);
        pipeline(&mut client, (0..4000).map(|n| format!("SET {n} {value} EX 1000")));
        // A time of use is in seconds.
        let is_lru = policy.ends_with("lru");
        while is_lru && client.run("OBJECT IDLETIME 0").integer() < 2 {}
        for _ in 0..if is_lru { 1 } else { 20 } {
            pipeline(&mut client, (0..4000).step_by(2).map(|n| format!("GET {n}")));
        }
        limit(&mut client);
        evict(&mut client, 1000, |n| format!("SET filler:{n} {value} EX 1000"));
        let present = present(&mut client, (0..4000).map(|n| n.to_string()));
        let used = present.iter().step_by(2).filter(|present| **present).count();
        let unused = count(&present) - used;
        assert!(used > 1980 && unused < 1600, "{policy}: {used} and {unused} of 2000 are there");
    }
}

#[test]
fn random_policies_evict_all_keys_with_equal_chance() {
    let (_server, mut client) = limited(64, "allkeys-random", &[]);
    // Hash tags put half of the keys into one shard.
    let name = |n: usize| if n.is_multiple_of(2) { format!("{{tag}}{n}") } else { n.to_string() };
    pipeline(&mut client, (0..4000).map(|n| format!("SET {} {}", name(n), "x".repeat(100))));
    limit(&mut client);
    evict(&mut client, 3000, |n| format!("SET filler:{n} {}", "x".repeat(100)));
    let present = present(&mut client, (0..4000).map(name));
    let tagged = present.iter().step_by(2).filter(|present| **present).count();
    let other = count(&present) - tagged;
    assert!(tagged > 0 && other > 0 && tagged.abs_diff(other) < 400, "{tagged} and {other}");
}

#[test]
fn a_lower_limit_evicts_at_once() {
    for (policy, tenacity) in [("allkeys-lru", 10), ("allkeys-random", 100)] {
        let (_server, mut client) = limited(64, policy, &["--io-threads", "2"]);
        pipeline(&mut client, (0..40_000).map(|n| format!("SET {n} {}", "x".repeat(500))));
        let limit = info(&mut client, "used_memory") / 4;
        client.run(&format!("CONFIG SET maxmemory-eviction-tenacity {tenacity}"));
        client.run(&format!("CONFIG SET maxmemory {limit}"));
        // INFO itself takes some memory while it is written, and the last keys may still be freed when
        // it reports that the memory is below the limit.
        let deadline = Instant::now() + PATIENCE;
        while info(&mut client, "used_memory") > limit + limit / 50
            || info(&mut client, "current_eviction_exceeded_time") > 0
        {
            assert!(Instant::now() < deadline, "the memory in use stays above the limit");
        }
        let left = client.run("DBSIZE").integer();
        assert!((5_000..15_000).contains(&left), "{left} keys are left");
    }
}

#[test]
fn a_full_server_refuses_what_valkey_refuses() {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    let (mut ours, mut oracle) = (ours.connect(), oracle.connect());
    for command in [
        "SET a 1",
        "SET b 2 EX 1000",
        "CONFIG SET maxmemory 1",
        "SET a 2",
        "SET a 2 NX",
        "GET a",
        "GETSET a 1",
        "GETEX a EX 100",
        "APPEND a 1",
        "INCR a",
        "SETRANGE a 0 x",
        "MSET c 1",
        "SETEX c 1 1",
        "EXPIRE a 1000",
        "PERSIST a",
        "RENAME a c",
        "COPY c d",
        "MOVE c 1",
        "SELECT 1",
        "TYPE c",
        "DEL c",
        "GETDEL c",
        "SWAPDB 0 1",
        "UNLINK b",
        "SET",
        "PING",
        "CONFIG SET maxmemory 0",
        "SET a 3",
        // A policy without evictable keys is equivalent to noeviction.
        "CONFIG SET maxmemory-policy volatile-lru maxmemory 1",
        "SET a 4",
        "CONFIG SET maxmemory-policy allkeys-lru",
        "EXISTS a",
        "SET a 5",
        "DBSIZE",
        "CLIENT NO-EVICT on",
        "SET a 6",
        "FLUSHALL",
        "CLIENT PAUSE 100000 WRITE",
        "GET a",
    ] {
        assert_eq!(ours.run(command), oracle.run(command), "{command}");
    }
    let stats = |client: &mut Client| {
        let text = client.run("INFO commandstats").text();
        let line = text.lines().find(|line| line.starts_with("cmdstat_set:")).map(str::to_owned);
        let line = line.expect("SET was called");
        line[line.find("rejected").expect("a field")..].to_owned()
    };
    assert_eq!(stats(&mut ours), stats(&mut oracle));
    for field in ["evicted_keys", "errorstat_OOM:count=6", "maxmemory_policy:allkeys-lru"] {
        let has = |client: &mut Client| client.run("INFO everything").text().contains(field);
        assert_eq!(has(&mut ours), has(&mut oracle), "{field}");
    }
}

#[test]
fn memory_being_freed_causes_no_eviction() {
    let (_server, mut client) = limited(64, "allkeys-lru", &[]);
    pipeline(&mut client, (0..80_000).map(|n| format!("SET {n} {}", "x".repeat(500))));
    assert_eq!(info(&mut client, "evicted_keys"), 0);
    // While the thread frees the old values, their memory counts as available.
    client.run("FLUSHALL");
    let replies =
        pipeline(&mut client, (0..80_000).map(|n| format!("SET {n} {}", "x".repeat(500))));
    assert!(replies.iter().all(|reply| reply.is("OK")));
    let left = client.run("DBSIZE").integer();
    assert!(left > 76_000, "{left} keys are left");
}

#[test]
fn what_clients_are_told_of_evicted_keys_evicts_no_more() {
    let server = Server::start(&[
        "--maxmemory-policy",
        "allkeys-lru",
        "--maxmemory-eviction-tenacity",
        "100",
    ]);
    let mut client = server.connect();
    let keys: Vec<String> = (0..300).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
    pipeline(&mut client, keys.iter().map(|key| format!("SET {key} x")));
    let _readers = [(); 10].map(|()| {
        let mut reader = server.connect();
        reader.run("HELLO 3");
        reader.run("CLIENT TRACKING ON");
        pipeline(&mut reader, keys.iter().map(|key| format!("GET {key}")));
        reader
    });
    let limit = info(&mut client, "used_memory") - 40_000;
    client.run(&format!("CONFIG SET maxmemory {limit}"));
    let left = client.run("DBSIZE").integer();
    assert!((200..290).contains(&left), "{left} of 300 keys are left");
}

/// The shape of a reply: its types, and the names in maps.
fn shape(value: &Value) -> String {
    match value {
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| (name.text(), shape(value)));
            format!("{:?}", pairs.collect::<Vec<_>>())
        }
        Value::Array(elements) => format!("{:?}", elements.iter().map(shape).collect::<Vec<_>>()),
        // RESP2 has the names of a map among its elements.
        Value::Bulk(bytes) if bytes.first().is_some_and(u8::is_ascii_alphabetic) => value.text(),
        Value::Bulk(_) => "bulk".into(),
        Value::Integer(_) => "integer".into(),
        Value::Double(_) => "double".into(),
        Value::Verbatim(_) => "verbatim".into(),
        other => other.to_string(),
    }
}

#[test]
fn memory_answers_in_valkeys_form() {
    let (ours, oracle) = (Server::start(&[]), Server::oracle(&[]));
    for protocol in [2, 3] {
        let (mut ours, mut oracle) = (ours.connect(), oracle.connect());
        for command in ["SET a 1", "SELECT 5", "SET b 2 EX 1000", "SELECT 0"] {
            assert_eq!(ours.run(command), oracle.run(command));
        }
        let hello = format!("HELLO {protocol}");
        ours.run(&hello);
        oracle.run(&hello);
        for command in [
            "MEMORY STATS",
            "MEMORY PURGE",
            "MEMORY HELP",
            "MEMORY USAGE a",
            "MEMORY USAGE nothing",
            "MEMORY USAGE a SAMPLES",
            "MEMORY USAGE a SAMPLES x",
            "MEMORY USAGE a SAMPLES -1",
            "MEMORY USAGE a SAMPLES 0",
            "MEMORY USAGE a SAMPLES 5 SAMPLES 3",
            "MEMORY USAGE nothing WHATEVER 3",
            "MEMORY",
            "MEMORY USAGE",
            "MEMORY WHATEVER",
            "MEMORY PURGE x",
        ] {
            let (ours, oracle) = (ours.run(command), oracle.run(command));
            assert_eq!(shape(&ours), shape(&oracle), "{command} in protocol {protocol}");
        }
        let kind = |value: &Value| std::mem::discriminant(value);
        let (doctor, expected) = (ours.run("MEMORY DOCTOR"), oracle.run("MEMORY DOCTOR"));
        assert_eq!(kind(&doctor), kind(&expected), "{doctor:?}");
        // The oracle has another allocator, which makes no such report.
        let report = ours.run("MEMORY MALLOC-STATS");
        assert_eq!(kind(&report), kind(&expected), "{report:?}");
        assert!(report.text().contains("jemalloc statistics"), "{report:?}");
    }
}

#[test]
fn memory_usage_matches_the_allocated_memory() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (keys, key, write) in [
        (20_000, "string", "SET string: VALUE"),
        (20_000, "list", "RPUSH list: a b c d VALUE"),
        (20_000, "hash", "HSET hash: a b c VALUE"),
        (1, "big", "HSET big FIELD VALUE"),
        (1, "queue", "RPUSH queue VALUE"),
        (1, "members", "SADD members FIELD-VALUE"),
        (1, "scores", "ZADD scores FIELD VALUE-FIELD"),
        (20_000, "stream", "XADD stream: * field VALUE"),
        (1, "log", "XADD log * field VALUE"),
    ] {
        client.run("FLUSHALL SYNC");
        while info(&mut client, "lazyfree_pending_objects") > 0 {}
        let before = info(&mut client, "used_memory_dataset");
        let command = |n: usize| {
            let name = if keys == 1 { key.to_owned() } else { format!("{key}:{n}") };
            let value = "x".repeat(100 + n % 100);
            let command = write.replace("FIELD", &n.to_string()).replace("VALUE", &value);
            command.replace(&format!("{key}:"), &name)
        };
        pipeline(&mut client, (0..20_000).map(command));
        let used = info(&mut client, "used_memory_dataset") - before;
        let named = |n: usize| if keys == 1 { key.to_owned() } else { format!("{key}:{n}") };
        let usages = (0..keys).map(|n| format!("MEMORY USAGE {} SAMPLES 0", named(n)));
        let sum: i64 = pipeline(&mut client, usages).iter().map(Value::integer).sum();
        assert!((used * 9 / 10..used * 11 / 10).contains(&(sum as u64)), "{key}: {sum} of {used}");
    }
}

/// Commands on keys named by their types.
const USES: &str = "
    SET s 1 | GET s | SET s 2 | SET s 3 KEEPTTL | SET s 4 GET | SET s 5 XX | SET s 6 NX | APPEND s x
    STRLEN s | GETRANGE s 0 1 | SETRANGE s 0 9 | GETSET s 3 | GETEX s | GETEX s EX 100 | GETEX s PERSIST
    INCR s | INCRBYFLOAT s 1.5 | MGET s s | MSET s 1 | MSETNX s 2 | SETNX s 1 | SETEX s 100 x | LCS s s
    EXISTS s | TYPE s | TTL s | EXPIRE s 100 | PERSIST s | OBJECT ENCODING s | TOUCH s | DUMP s | SET s 1
    SETBIT s 7 1 | GETBIT s 7 | BITCOUNT s | BITOP NOT s2 s | COPY s s3 | RENAME s s4 | RENAME s4 s
    MEMORY USAGE s | PFADD p a b c | PFCOUNT p
    RPUSH l 1 2 3 | LPUSH l 0 | LRANGE l 0 -1 | LLEN l | LINDEX l 0 | LSET l 0 5 | LPOP l | LREM l 0 9
    LTRIM l 0 100 | LPOS l 1 | LPUSHX l 1 | LMOVE l l LEFT RIGHT | LMPOP 1 l LEFT | BLPOP l 1
    HSET h a 1 b 2 c 3 | HGET h a | HMGET h a b | HGETALL h | HLEN h | HDEL h c | HINCRBY h a 1
    HSCAN h 0 | HEXPIRE h 100 FIELDS 1 a | HTTL h FIELDS 1 a | HPERSIST h FIELDS 1 a
    SADD t 1 2 3 4 | SREM t 1 | SISMEMBER t 2 | SMEMBERS t | SCARD t | SSCAN t 0 | SINTER t t
    SINTERCARD 1 t | SUNIONSTORE t9 t t
    ZADD z 1 a 2 b 3 c | ZSCORE z a | ZRANGE z 0 -1 | ZRANK z a | ZINCRBY z 1 a | ZREM z c | ZPOPMIN z
    ZSCAN z 0 | ZRANGESTORE z2 z 0 -1 | ZUNIONSTORE z3 1 z | ZMPOP 1 z MIN
    XADD x 1-1 a 1 | XLEN x | XRANGE x - + | XADD x 2-1 b 2 | XTRIM x MAXLEN 1 | XINFO STREAM x
    XGROUP CREATE x g 0 | XREADGROUP GROUP g c STREAMS x > | XPENDING x g | XDEL x 1-1";

#[test]
fn access_frequencies_are_counted_as_in_valkey() {
    // Each use adds one, and frequencies do not decay.
    let options = ["--lfu-log-factor", "0", "--lfu-decay-time", "0"];
    let (ours, oracle) = (Server::start(&options), Server::oracle(&options));
    let (mut ours, mut oracle) = (ours.connect(), oracle.connect());
    for client in [&mut ours, &mut oracle] {
        client.run("CONFIG SET maxmemory-policy allkeys-lfu");
    }
    let keys = ["s", "s2", "s3", "p", "l", "h", "t", "t9", "z", "z2", "z3", "x"];
    for command in USES.split(['|', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
        let (reply, expected) = (ours.run(command), oracle.run(command));
        assert_eq!(shape(&reply), shape(&expected), "{command}");
        for key in keys {
            let ask = format!("OBJECT FREQ {key}");
            assert_eq!(ours.run(&ask), oracle.run(&ask), "{key} after {command}");
        }
    }
}

#[test]
fn the_limit_holds_for_collections_that_are_freed_in_the_background() {
    let (server, mut watcher) = limited(48, "allkeys-lru", &["--io-threads", "2"]);
    let limit = info(&mut watcher, "maxmemory");
    let (mut greatest, mut least) = (0, u64::MAX);
    thread::scope(|scope| {
        let writers: Vec<_> = ["RPUSH", "HSET", "SADD", "ZADD"]
            .map(|command| {
                let mut client = server.connect();
                scope.spawn(move || {
                    // A few thousand elements each: a megabyte or less.
                    for key in 0..45 {
                        let add = |n: usize| {
                            let elements = (0..20).map(|m| match command {
                                "RPUSH" | "SADD" => format!(" {n}:{m}:{}", "x".repeat(100)),
                                "HSET" => format!(" {n}:{m} {}", "x".repeat(100)),
                                _ => format!(" {n} {n}:{m}:{}", "x".repeat(60)),
                            });
                            format!("{command} {command}:{key}{}", elements.collect::<String>())
                        };
                        let replies = pipeline(&mut client, (0..200).map(add));
                        assert!(replies.iter().all(|reply| matches!(reply, Value::Integer(_))));
                    }
                })
            })
            .into_iter()
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            let used = info(&mut watcher, "used_memory");
            greatest = greatest.max(used);
            if info(&mut watcher, "evicted_keys") > 10 {
                least = least.min(used);
            }
        }
    });
    assert!(greatest <= limit + limit / 50, "{greatest} of {limit}");
    // No more is evicted than necessary: a collection has a megabyte or less.
    assert!(least >= limit - limit / 20, "{least} of {limit}");
    let freed = info(&mut watcher, "lazyfreed_objects");
    assert!(freed > 20, "{freed} collections were freed in the background");
}

/// Valkey's test suite limits the memory to 100 KB more than an empty server takes. The keys lie in many
/// shards, whose tables must go with them, in every database.
#[test]
fn a_limit_just_above_an_empty_servers_memory_admits_every_write() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for db in [0, 9] {
        client.run(&format!("SELECT {db}"));
        for policy in ["allkeys-random", "allkeys-lru", "volatile-lfu", "volatile-ttl"] {
            client.run("CONFIG SET maxmemory 0");
            client.run("FLUSHALL SYNC");
            let limit = info(&mut client, "used_memory") + 100 * 1024;
            client.run(&format!("CONFIG SET maxmemory-policy {policy} maxmemory {limit}"));
            for n in 0..2000 {
                let reply = client.run(&format!("SETEX {n} 10000 x"));
                assert!(reply.is("OK"), "{policy}, database {db}, key {n}: {reply:?}");
            }
            let keys = client.run("DBSIZE").integer();
            assert!(keys > 200, "{policy}, database {db}: {keys} keys");
        }
    }
}

#[test]
fn removed_keys_leave_no_memory_in_any_database() {
    const KEYS: u64 = 5000;
    let server = Server::start(&[]);
    let mut client = server.connect();
    let used = |client: &mut Client| info(client, "used_memory");
    // Memory that the commands themselves need is allocated before.
    for round in 0..2 {
        let start = used(&mut client);
        for db in [0, 1, 15] {
            client.run(&format!("SELECT {db}"));
            pipeline(&mut client, (0..KEYS).map(|n| format!("SET {n} {n}")));
            pipeline(&mut client, (0..KEYS).map(|n| format!("GET missing:{n}")));
            pipeline(&mut client, (0..KEYS).map(|n| format!("DEL {n}")));
        }
        let left = used(&mut client).saturating_sub(start);
        assert!(round == 0 || left < 16 * 1024, "{left} bytes are left");
    }
}
