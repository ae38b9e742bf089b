//! The journal: what is recorded of each command, so that repeating the records gives the same data.

#[path = "common/speech.rs"]
mod speech;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};

use verbena::command::Replay;
use verbena::config::Settings;
use verbena::keyspace::journal::{Batch, Record, Sink};
use verbena::rdb::{self, Writer};
use verbena::server;
use verbena::state::{Attributes, ClientRecord, Server};
use verbena::value::entry::Value;
use verbena::value::hash::{FieldExpiry, HashMut, Limits};
use verbena::value::{Entry, PackedKind, packed};
use verbena::worker::Worker;

/// The records, each with its database.
#[derive(Default)]
struct Kept(Mutex<Vec<(usize, Vec<u8>)>>);

impl Sink for Kept {
    fn append(&self, batch: &Batch<'_>) {
        let records = batch.records().map(|record| (record.db, record.resp.to_vec()));
        self.0.lock().unwrap().extend(records);
    }
}

/// The batches as text.
#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Sink for Seen {
    fn append(&self, batch: &Batch<'_>) {
        let records = batch.records().map(|record| match record.db {
            0 => text(record.resp),
            db => format!("{db}: {}", text(record.resp)),
        });
        self.0.lock().unwrap().push(records.collect::<Vec<_>>().join("; "));
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn text(resp: &[u8]) -> String {
    words(resp).into_iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The words of a RESP array of bulk strings.
fn words(resp: &[u8]) -> Vec<&[u8]> {
    let line =
        |from: usize| from + resp[from..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (mut words, mut at) = (Vec::new(), line(0));
    while at < resp.len() {
        let start = line(at);
        let len: usize = str::from_utf8(&resp[at + 1..start - 2]).unwrap().parse().unwrap();
        words.push(&resp[start..start + len]);
        at = start + len + 2;
    }
    words
}

/// A word; a time near to now is `@` and how many seconds it is later, to the next ten.
fn word(bytes: &[u8]) -> String {
    let word = bytes.escape_ascii().to_string();
    let (ms, rest) = word.split_at(word.find('-').unwrap_or(word.len()));
    match ms.parse::<i64>().map(|ms| ms - now()) {
        Ok(later) if later.abs() < 1_000_000_000 => {
            format!("@{}{rest}", (later + 5000).div_euclid(10_000) * 10)
        }
        _ => word,
    }
}

/// Clients of a server.
struct Stage {
    server: &'static Server,
    worker: Rc<Worker>,
}

impl Stage {
    fn new() -> Stage {
        let settings = Settings { io_threads: 1, ..Settings::default() };
        let (server, _requests) = server::new(settings, None);
        Stage { server, worker: Rc::new(Worker::new(server, 0)) }
    }

    /// A client that says this, and its replies.
    fn client(&self, text: &str, stays: bool) -> Actor {
        let (serve, record, replies) = speech::client(&self.worker, &format!("{text}\n"), stays);
        Actor { serve: Box::pin(serve), record, replies }
    }

    /// Has a client say this, and returns the replies. None may be an error.
    async fn say(&self, text: &str) -> String {
        let Actor { serve, replies, .. } = self.client(text, false);
        serve.await;
        let replies = String::from_utf8_lossy(&replies.borrow()).into_owned();
        assert!(!replies.lines().any(|line| line.starts_with('-')), "{text}: {replies}");
        replies
    }
}

struct Actor {
    serve: Pin<Box<dyn Future<Output = ()>>>,
    record: Arc<ClientRecord>,
    replies: speech::Replies,
}

impl Actor {
    /// Goes on until the client waits for keys.
    async fn until_blocked(&mut self) {
        poll_fn(|cx| {
            assert!(self.serve.as_mut().poll(cx).is_pending(), "it is still there");
            match self.record.attributes().contains(Attributes::BLOCKED) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// The batches that these commands are recorded as, after others, while a client waits that has said
/// `waiting`, if that is anything.
fn journal_of(setup: &str, waiting: &str, commands: &str) -> Vec<String> {
    let seen = Arc::new(Seen::default());
    verbena_transport::event_loop::block_on(async {
        let stage = Stage::new();
        stage.say(setup).await;
        stage.server.keyspace.journal.attach(seen.clone());
        let mut other = stage.client(waiting, true);
        if !waiting.is_empty() {
            other.until_blocked().await;
        }
        stage.say(commands).await;
    })
    .unwrap();
    let seen = seen.0.lock().unwrap();
    seen.clone()
}

fn journal(setup: &str, commands: &str) -> Vec<String> {
    journal_of(setup, "", commands)
}

/// A value as RESTORE takes it, within quotes.
fn payload(entry: &Entry) -> String {
    let mut writer = Writer::new(false);
    rdb::save(entry, &mut writer);
    let bytes = rdb::seal(writer.into_bytes());
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// The command that makes a hash at `h` whose field `old` has expired, and whose field `new` has not.
fn half_expired() -> String {
    let mut entry = Entry::new(b"h", Value::Packed(PackedKind::Hash, packed::EMPTY), None);
    let mut hash = HashMut::of(&mut entry, Limits { fields: 8, bytes: 8 }, i64::MIN).unwrap();
    hash.set(b"old", b"1", FieldExpiry::At(1));
    hash.set(b"new", b"1", FieldExpiry::None);
    format!("restore h 0 \"{}\"", payload(&entry))
}

#[test]
fn commands_are_recorded_as_they_are_with_their_database() {
    assert_eq!(
        journal(
            "",
            "set a 1\nselect 2\nrpush l a b\nlpop l\nget a\ndel none\nselect 0\nappend a x"
        ),
        ["set a 1", "2: rpush l a b", "2: lpop l", "append a x"]
    );
    assert_eq!(
        journal("set a 1", "move a 1\ncopy a b\nselect 1\nrename a c\ncopy c a db 0\nswapdb 0 1"),
        ["move a 1", "1: rename a c", "1: copy c a db 0", "1: swapdb 0 1"]
    );
    assert_eq!(journal("set a 1", "flushall\nflushall"), ["flushall"]);
    assert_eq!(journal("select 1\nset a 1", "flushdb\nselect 1\nflushdb"), ["1: flushdb"]);
}

#[test]
fn nothing_is_recorded_of_calls_that_change_nothing() {
    assert_eq!(
        journal(
            "sadd s a\nhset h f 1\nzadd z 1 a\nset k v\nrpush l a\nxadd x 1-1 f v",
            "sadd s a\nsrem s b\nhsetnx h f 2\nhdel h g\nzadd z 1 a\nset k 1 nx\nsetnx k 1\n\
             lrem l 0 b\nltrim l 0 -1\nexpire none 100\npersist k\nxdel x 2-2\nxtrim x maxlen 5\n\
             getex k persist\nspop s 0\nlmpop 1 none left\nxtrim x maxlen ~ 1\npfcount none"
        ),
        [""; 0]
    );
}

#[test]
fn a_transaction_is_one_batch() {
    assert_eq!(
        journal("set a 1", "multi\nincr a\nget a\nsetex b 100 1\nselect 1\nset c 1\nexec\nset d 1"),
        ["incr a; SET b 1 PXAT @100; 1: set c 1", "1: set d 1"]
    );
    assert_eq!(journal("", "multi\nget a\nexec\nmulti\nset a 1\ndiscard"), [""; 0]);
}

#[test]
fn keys_that_have_expired_are_removed_before_the_command() {
    let expired = "msetex 2 a 1 b 2 pxat 1";
    assert_eq!(journal(expired, "get a"), ["UNLINK a"]);
    assert_eq!(journal(expired, "append a x\nget b"), ["UNLINK a; append a x", "UNLINK b"]);
    assert_eq!(journal(expired, "set c 1\nrename c b"), ["set c 1", "UNLINK b; rename c b"]);
    assert_eq!(
        journal(expired, "multi\nget a\nset c 1\nexists b\nexec"),
        ["UNLINK a; set c 1; UNLINK b"]
    );
}

#[test]
fn times_are_absolute() {
    assert_eq!(
        journal(
            "set old 1",
            "set a 1 ex 100\nset a 2 keepttl\nset a 3 px 200000 xx get\nset a 3 nx\n\
             set a 4 ifeq 3\nsetex b 50 1\npsetex b 50000 1\nset old 1 exat 1\nset none 1 exat 1"
        ),
        [
            "SET a 1 PXAT @100",
            "SET a 2 KEEPTTL",
            "SET a 3 PXAT @200",
            "SET a 4",
            "SET b 1 PXAT @50",
            "SET b 1 PXAT @50",
            "UNLINK old"
        ]
    );
    assert_eq!(
        journal(
            "mset a 1 b 1",
            "getex a ex 100\ngetex a\ngetex a persist\ngetex a exat 1\n\
             msetex 2 a 1 b 2 nx ex 10\nmsetex 2 c 1 d 2 nx ex 100\nmsetex 1 c 2 keepttl"
        ),
        [
            "PEXPIREAT a @100",
            "PERSIST a",
            "UNLINK a",
            "msetex 2 c 1 d 2 PXAT @100",
            "msetex 1 c 2 keepttl"
        ]
    );
    assert_eq!(
        journal(
            "set a 1",
            "expire a 100 nx\npexpire a 200000 gt\nexpireat a 4102444800\nexpire a 1 gt\n\
             pexpireat a 4102444800000\npersist a\nexpire a -1"
        ),
        [
            "PEXPIREAT a @100",
            "PEXPIREAT a @200",
            "PEXPIREAT a 4102444800000",
            "PEXPIREAT a 4102444800000",
            "persist a",
            "UNLINK a"
        ]
    );
}

#[test]
fn strings_are_recorded_with_what_came_of_them() {
    assert_eq!(
        journal(
            "set a 1.5 ex 100",
            "incrbyfloat a 1.25\nincrby b 5\ngetset b 1\ngetdel b\ndelifeq a 2.75"
        ),
        ["SET a 2.75 KEEPTTL", "incrby b 5", "getset b 1", "getdel b", "delifeq a 2.75"]
    );
    // The string becomes longer although nothing was set.
    assert_eq!(
        journal("", "bitfield a overflow fail incrby u8 0 300\nbitfield a get u8 0"),
        ["bitfield a overflow fail incrby u8 0 300"]
    );
    assert_eq!(
        journal("", "setbit a 1 1\nbitop not b a\npfadd p x\npfcount p\npfcount p"),
        ["setbit a 1 1", "bitop not b a", "pfadd p x", "pfcount p"]
    );
}

#[test]
fn restored_values_expire_at_a_time() {
    let value = payload(&Entry::new(b"a", Value::Int(1), None));
    let recorded: String = {
        let mut writer = Writer::new(false);
        rdb::save(&Entry::new(b"a", Value::Int(1), None), &mut writer);
        rdb::seal(writer.into_bytes()).escape_ascii().to_string()
    };
    assert_eq!(
        journal(
            "",
            &format!(
                "restore a 0 \"{value}\"\nrestore a 100000 \"{value}\" replace idletime 5\n\
                 restore a 1 \"{value}\" replace absttl"
            )
        ),
        [
            format!("restore a 0 {recorded}"),
            format!("RESTORE a @100 {recorded} REPLACE ABSTTL"),
            "UNLINK a".to_owned()
        ]
    );
}

#[test]
fn fields_that_a_call_has_changed_are_spelled_out() {
    assert_eq!(
        journal(
            "hset h a 1 b 2 c 3 d 4",
            "hexpire h 100 fields 2 a none\nhexpire h 50 gt fields 2 a b\n\
             hpexpireat h 4102444800000 lt fields 2 a b\nhpersist h fields 2 a b\n\
             hgetex h ex 100 fields 2 a none\nhgetex h persist fields 2 a b\nhgetex h fields 1 a\n\
             hgetex h exat 1 fields 2 a none\nhexpire h 0 fields 2 b none\n\
             hgetdel h fields 2 c none\nhdel h d none"
        ),
        [
            "HPEXPIREAT h @100 FIELDS 1 a",
            "HPEXPIREAT h 4102444800000 FIELDS 1 b",
            "HPERSIST h FIELDS 2 a b",
            "HPEXPIREAT h @100 FIELDS 1 a",
            "HPERSIST h FIELDS 1 a",
            "HDEL h a",
            "HDEL h b",
            "HDEL h c",
            "HDEL h d"
        ]
    );
    assert_eq!(
        journal(
            "hset h a 1",
            "hsetex h nx ex 100 fields 1 a 1\nhsetex h xx ex 100 fields 2 a 1 b 2\n\
             hsetex h fxx keepttl fields 1 a 2\nhsetex h fields 1 a 3\nhsetex h exat 1 fields 2 a 1 c 1\n\
             hincrbyfloat h b 0.5\nhincrbyfloat h c 0.5\nhincrby h c2 5"
        ),
        [
            "HSETEX h PXAT @100 FIELDS 2 a 1 b 2",
            "HSETEX h KEEPTTL FIELDS 1 a 2",
            "HSET h a 3",
            "HDEL h a",
            "HSETEX h KEEPTTL FIELDS 1 b 2.5",
            "HSET h c 0.5",
            "hincrby h c2 5"
        ]
    );
}

#[test]
fn fields_that_have_expired_are_not_left_to_a_replay() {
    let setup = half_expired();
    let of = |commands: &str| journal(&setup, commands);
    assert_eq!(of("hdel h old new"), ["HDEL h new"]);
    assert_eq!(of("hdel h old\nhpersist h fields 1 old\nhgetdel h fields 1 old"), [""; 0]);
    assert_eq!(of("hsetnx h old 2"), ["HSET h old 2"]);
    assert_eq!(of("hincrby h old 2"), ["HSET h old 2"]);
    assert_eq!(of("hincrbyfloat h old 0.5"), ["HSET h old 0.5"]);
    assert_eq!(of("hexpire h 100 fields 2 old new"), ["HPEXPIREAT h @100 FIELDS 1 new"]);
    assert_eq!(of("hgetex h ex 100 fields 2 old new"), ["HPEXPIREAT h @100 FIELDS 1 new"]);
    assert_eq!(
        of("hsetex h keepttl fields 2 old 2 new 2"),
        ["HSET h old 2; HSETEX h KEEPTTL FIELDS 2 old 2 new 2"]
    );
    assert_eq!(of("hsetex h exat 1 fields 2 old 1 none 1"), ["HDEL h old"]);
}

#[test]
fn members_that_were_drawn_are_removed() {
    assert_eq!(journal("sadd s a", "spop s"), ["UNLINK s"]);
    assert_eq!(journal("sadd s a b", "spop s 5"), ["UNLINK s"]);
    for setup in ["sadd s a b", "sadd s 1 2", "config set set-max-listpack-entries 0\nsadd s a b"] {
        let records = journal(setup, "spop s");
        assert!(
            records == ["SREM s a"]
                || records == ["SREM s b"]
                || records == ["SREM s 1"]
                || records == ["SREM s 2"],
            "{records:?}"
        );
    }
    let members: Vec<String> = (0..1000).map(|n| format!("m{n}")).collect();
    let records = journal(&format!("sadd s {}", members.join(" ")), "spop s 700");
    let counts = records[0].split("; ").map(|record| record.split(' ').count() - 2);
    assert_eq!(counts.collect::<Vec<_>>(), [512, 188]);
    assert!(records[0].split("; ").all(|record| record.starts_with("SREM s m")));
}

#[test]
fn pops_name_their_key() {
    let setup = "rpush l a b c d e f g h\nzadd z 1 a 2 b 3 c 4 d 5 e";
    assert_eq!(
        journal(
            setup,
            "lmpop 2 none l left\nlmpop 1 l right count 2\nblpop none l 0\nbrpop l 0\n\
             blmpop 0 1 l left\nblmove l m right left 0\nbrpoplpush m l 0\nlmove l m left right"
        ),
        [
            "LPOP l 1",
            "RPOP l 2",
            "LPOP l",
            "RPOP l",
            "LPOP l 1",
            "LMOVE l m RIGHT LEFT",
            "LMOVE m l RIGHT LEFT",
            "lmove l m left right"
        ]
    );
    assert_eq!(
        journal(
            setup,
            "zmpop 2 none z min\nzmpop 1 z max count 1\nbzpopmin none z 0\nbzpopmax z 0\n\
             bzmpop 0 1 z min count 3"
        ),
        ["ZPOPMIN z 1", "ZPOPMAX z 1", "ZPOPMIN z", "ZPOPMAX z", "ZPOPMIN z 3"]
    );
}

#[test]
fn clients_that_are_served_are_recorded_after_what_serves_them() {
    let of = |waiting: &str, commands: &str| journal_of("", waiting, commands);
    assert_eq!(of("blpop k l 0", "rpush l a"), ["rpush l a; LPOP l"]);
    assert_eq!(of("brpop l 0", "rpush l a"), ["rpush l a; RPOP l"]);
    assert_eq!(of("blmpop 0 1 l left count 2", "rpush l a"), ["rpush l a; LPOP l 2"]);
    assert_eq!(of("blmove l m left right 0", "rpush l a"), ["rpush l a; LMOVE l m LEFT RIGHT"]);
    assert_eq!(of("bzpopmin z 0", "zadd z 1 a"), ["zadd z 1 a; ZPOPMIN z"]);
    assert_eq!(of("bzmpop 0 1 z max", "zadd z 1 a"), ["zadd z 1 a; ZPOPMAX z 1"]);
    assert_eq!(
        of("select 3\nblpop l 0", "rpush l a\nselect 3\nrpush l b"),
        ["rpush l a", "3: rpush l b; 3: LPOP l"]
    );
    assert_eq!(of("blpop l 0", "multi\nrpush l a\nset b 1\nexec"), ["rpush l a; set b 1; LPOP l"]);
    assert_eq!(
        journal_of(
            "xgroup create s g 0 mkstream",
            "xreadgroup group g me block 0 streams s >",
            "xadd s 1-1 f v"
        ),
        [
            // It is there before it waits.
            "XGROUP CREATECONSUMER s g me",
            "xadd s 1-1 f v; XCLAIM s g me 0 1-1 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1; \
             XGROUP SETID s g 1-1 ENTRIESREAD 1"
        ]
    );
}

#[test]
fn results_that_a_replay_may_not_come_to_are_spelled_out() {
    let setup = "rpush l 3 1 2\nmset w1 3 w2 2 w3 1\nset dst 1";
    assert_eq!(
        journal(
            setup,
            "sort l store dst\nsort l by w* store dst\nsort none by w* store dst\nsort none by w* store dst"
        ),
        ["sort l store dst", "UNLINK dst; RPUSH dst 3 2 1", "UNLINK dst"]
    );
    let setup = "geoadd g 13 38 a 13.01 38 b\nzadd z 1 a 2 b 3 c";
    assert_eq!(
        journal(
            setup,
            "geosearchstore d g fromlonlat 13 38 byradius 1 km\n\
             geosearchstore d g fromlonlat 13 38 byradius 1 km count 1 any\n\
             geosearchstore d g fromlonlat 50 50 byradius 1 km count 1 any"
        ),
        [
            "geosearchstore d g fromlonlat 13 38 byradius 1 km",
            "UNLINK d; ZADD d 3479065152021743 a",
            "UNLINK d"
        ]
    );
    assert_eq!(
        journal(
            &format!("{setup}\nzadd e 1 x"),
            "zrangestore e z 1 3 byscore\nzrangestore e z 1 3 byscore limit -1 1"
        ),
        ["zrangestore e z 1 3 byscore", "UNLINK e"]
    );
}

#[test]
fn entries_are_added_under_explicit_ids() {
    assert_eq!(
        journal(
            "",
            "xadd s nomkstream * f v\nxadd s * f v\nxadd s 5000000000000-* f v\nxadd s 5000000000001-1 f v"
        ),
        ["XADD s @0-0 f v", "XADD s 5000000000000-0 f v", "xadd s 5000000000001-1 f v"]
    );
    let setup = "config set stream-node-max-entries 2\nxadd s 1 f v\nxadd s 2 f v\nxadd s 3 f v\nxadd s 4 f v";
    assert_eq!(
        journal(
            setup,
            "xadd s maxlen ~ 100 5 f v\nxadd s maxlen ~ 3 6 f v\nxadd s maxlen = 3 7 f v\n\
             xadd s minid = 6 5000000000000-* f v\nxtrim s maxlen ~ 1\nxadd s 5000000000001 f v\n\
             xtrim s minid ~ 5000000000000\nxtrim s minid 5000000000000\nxtrim s maxlen 0"
        ),
        [
            "XADD s 5-0 f v",
            "XADD s MAXLEN = 4 6-0 f v",
            "xadd s maxlen = 3 7 f v",
            "XADD s MAXLEN = 3 5000000000000-0 f v",
            "XTRIM s MAXLEN = 2",
            "xadd s 5000000000001 f v",
            "xtrim s minid 5000000000000",
            "xtrim s maxlen 0"
        ]
    );
    assert_eq!(
        journal("xadd s 1 f v", "xsetid s 9\nxdel s 1\nxadd s * f v"),
        ["xsetid s 9", "xdel s 1", "XADD s @0-0 f v"]
    );
}

#[test]
fn groups_begin_at_explicit_ids() {
    assert_eq!(
        journal(
            "xadd s 5-1 f v",
            "xgroup create s g $ entriesread 1\nxgroup create s h 0\nxgroup create t g $ mkstream\n\
             xgroup setid s g $\nxgroup setid s g 0\nxgroup createconsumer s g me\n\
             xgroup createconsumer s g me\nxgroup delconsumer s g me\nxgroup delconsumer s g me\n\
             xgroup destroy s g\nxgroup destroy s g"
        ),
        [
            "xgroup create s g 5-1 entriesread 1",
            "xgroup create s h 0",
            "xgroup create t g 0-0 mkstream",
            "xgroup setid s g 5-1",
            "xgroup setid s g 0",
            "xgroup createconsumer s g me",
            "xgroup delconsumer s g me",
            "xgroup destroy s g"
        ]
    );
}

#[test]
fn deliveries_are_recorded_as_claims() {
    let setup = "xadd s 1 f v\nxadd s 2 f v\nxadd s 3 f v\nxgroup create s g 0";
    assert_eq!(
        journal(
            setup,
            "xreadgroup group g me count 2 streams s >\nxreadgroup group g me noack streams s >\n\
             xreadgroup group g me streams s >\nxreadgroup group g me count 1 streams s 0\n\
             xreadgroup group g me streams s 9\nxack s g 1\nxack s g 1"
        ),
        [
            "XGROUP CREATECONSUMER s g me; \
             XCLAIM s g me 0 1-0 2-0 TIME @0 RETRYCOUNT 1 FORCE JUSTID LASTID 2-0; \
             XGROUP SETID s g 2-0 ENTRIESREAD 2",
            "XGROUP SETID s g 3-0 ENTRIESREAD 3",
            "XCLAIM s g me 0 1-0 TIME @0 RETRYCOUNT 2 FORCE JUSTID LASTID 3-0",
            "xack s g 1"
        ]
    );
    let setup = format!("{setup}\nxreadgroup group g me streams s >\nxdel s 2");
    assert_eq!(
        journal(
            &setup,
            "xclaim s g you 0 1 2 time 77 retrycount 5\nxclaim s g you 1000000 3\n\
             xclaim s g me 0 9 lastid 9-9\nxautoclaim s g you 0 0 count 10\nxautoclaim s g you 1000000 0\n\
             xclaim s g me 0 3 idle 100000 justid force"
        ),
        [
            "XGROUP CREATECONSUMER s g you; \
             XCLAIM s g you 0 1-0 TIME 77 RETRYCOUNT 5 FORCE JUSTID LASTID 3-0; XACK s g 2-0",
            "XGROUP SETID s g 9-9 ENTRIESREAD 3",
            "XCLAIM s g you 0 1-0 TIME @0 RETRYCOUNT 6 FORCE JUSTID LASTID 9-9; \
             XCLAIM s g you 0 3-0 TIME @0 RETRYCOUNT 2 FORCE JUSTID LASTID 9-9",
            "XCLAIM s g me 0 3-0 TIME @-100 RETRYCOUNT 2 FORCE JUSTID LASTID 9-9"
        ]
    );
}

/// After the commands, two servers give the same answers: that which has run them, and that which has
/// repeated the records.
fn assert_repeated(commands: &str, questions: &str) {
    verbena_transport::event_loop::block_on(async {
        let (stage, other) = (Stage::new(), Stage::new());
        let kept = Arc::new(Kept::default());
        stage.server.keyspace.journal.attach(kept.clone());
        stage.say(commands).await;
        let records = kept.0.lock().unwrap().clone();
        let mut replay = Replay::new(other.server);
        for (db, resp) in &records {
            let repeated = replay
                .batch(&[Record { db: *db, slot: None, targets: Default::default(), resp }], now());
            assert_eq!(repeated, Ok(()), "{}", text(resp));
        }
        let records: Vec<String> = records.iter().map(|(_, resp)| text(resp)).collect();
        assert_eq!(stage.say(questions).await, other.say(questions).await, "{records:#?}");
    })
    .unwrap();
}

#[test]
fn a_replay_gives_the_same_data() {
    assert_repeated(
        "set a 1 ex 100\nincrbyfloat a 0.1\nset b 1\ngetex b px 5000000\nset c 1 exat 4102444800\n\
         getex c persist\nset d 1\nexpire d -1\nmsetex 1 e 1 pxat 1",
        "pexpiretime a\nget a\npexpiretime b\npexpiretime c\nexists d\nexists e",
    );
    assert_repeated(
        "sadd s 1 2 3 4 5 6 7 8 9 a b c d e f\nspop s 7\nspop s\nsadd t a\nspop t",
        "sort s alpha\nexists t",
    );
    assert_repeated(
        "rpush l 3 1 2\nmset w1 3 w2 2 w3 1\nsort l by w* store m\nblpop l 0\nblmove l n left left 0\n\
         zadd z 1 a 2 b 3 c\nbzpopmin z 0\nzmpop 1 z max",
        "lrange l 0 -1\nlrange m 0 -1\nlrange n 0 -1\nzrange z 0 -1 withscores",
    );
    assert_repeated(
        "hset h a 1 b 2 c 3 d 4\nhexpire h 1000 fields 2 a b\nhincrbyfloat h a 0.5\nhincrby h b 1\n\
         hpersist h fields 1 b\nhgetex h ex 500 fields 1 c\nhgetdel h fields 1 d\n\
         hsetex h exat 4102444800 fields 1 e 1",
        "hmget h a b c d e\nhpexpiretime h fields 5 a b c d e\nhlen h",
    );
}

#[test]
fn a_replay_lets_nothing_expire_by_itself() {
    let questions = "hmget h old new\nhpexpiretime h fields 2 old new\nhlen h\nexists a\nget b";
    for commands in [
        "hget h old",
        "hdel h old new",
        "hsetnx h old 7",
        "hincrby h old 7",
        "hincrbyfloat h old 7",
        "hset h old 7",
        "hsetex h keepttl fields 1 old 7",
        "hsetex h fnx ex 1000 fields 1 old 7",
        "hexpire h 1000 fields 2 old new",
        "hpersist h fields 2 old new",
        "hgetdel h fields 2 old new",
        "copy h h2\ndel h\nrename h2 h",
        "msetex 2 a 1 b 1 pxat 1\nset b 2 keepttl",
        "msetex 2 a 1 b 1 pxat 1\nincr b",
        "msetex 2 a 1 b 1 pxat 1\nrenamenx h b\nrename b h",
        "msetex 1 b 1 pxat 1\nsetnx b 5",
    ] {
        assert_repeated(&format!("{}\n{commands}", half_expired()), questions);
    }
}

#[test]
fn a_replay_gives_the_same_streams_and_groups() {
    assert_repeated(
        "config set stream-node-max-entries 2\nxadd s * f v\nxadd s * f v\nxadd s * f v\nxadd s * f v\n\
         xadd s maxlen ~ 3 * f v\nxgroup create s g 0\nxreadgroup group g me count 2 streams s >\n\
         xreadgroup group g me count 1 streams s 0\nxreadgroup group g you noack count 1 streams s >\n\
         xgroup create s late $\nxautoclaim s g you 0 0 count 1\nxtrim s maxlen ~ 2",
        "xrange s - +\nxinfo groups s\nxpending s g\nxlen s",
    );
}
