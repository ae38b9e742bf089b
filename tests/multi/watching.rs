//! When a watched key makes EXEC refuse.

use crate::play::Stage;

/// What another client does with a key `k` that exists, or does not, and of whom others exist.
#[rustfmt::skip]
const TOUCHES: &[&str] = &[
    "GET k", "TOUCH k", "EXISTS k", "TTL k", "OBJECT ENCODING k", "TYPE k", "DUMP k", "STRLEN k", "PING",
    "SET k v", "SET k other", "SET k v NX", "SET k v XX", "SET k v IFEQ v", "SET k v IFEQ none", "SET k v GET",
    "SETNX k v", "MSETNX k v o v", "DEL k", "UNLINK k", "DEL none", "GETDEL k", "GETSET k v",
    "APPEND k x", "APPEND k ''", "SETRANGE k 0 ''", "SETRANGE k 0 v", "SETBIT k 1 0", "INCR k", "INCRBY k 0",
    "BITFIELD k GET u4 0", "BITFIELD k SET u4 0 0", "BITOP NOT k str", "BITOP NOT k none", "PFADD k a", "PFADD k",
    "EXPIRE k 1000", "EXPIRE k 1000 XX", "EXPIRE k -1", "PERSIST k", "GETEX k", "GETEX k EX 100", "GETEX k PERSIST",
    "EXPIRE k 1000;PERSIST k", "PEXPIREAT k 1",
    "RENAME k o", "RENAME str k", "RENAME str o", "RENAME k k", "RENAMENX str k", "COPY k o", "COPY str k",
    "COPY str k REPLACE", "COPY k k DB 1", "MOVE k 1", "SELECT 1;SET k v", "SELECT 1;DEL k", "SELECT 1;SET k v;MOVE k 0",
    "FLUSHDB", "FLUSHALL", "FLUSHALL ASYNC", "SELECT 1;FLUSHDB", "SWAPDB 0 1", "SWAPDB 1 0", "SWAPDB 1 2", "SWAPDB 0 0",
    "SELECT 1;SET k v;SWAPDB 0 1", "SWAPDB 0 1;SWAPDB 0 1",
    "RPUSH k x", "LPUSHX k x", "LPOP k", "LREM k 0 none", "LTRIM k 0 -1", "LTRIM k 5 1", "LSET k 0 x", "LMOVE list k LEFT RIGHT",
    "LMOVE k list LEFT RIGHT", "LINSERT k BEFORE none x", "SORT list ALPHA STORE k", "SORT none STORE k", "SORT k ALPHA",
    "SADD k x", "SADD k a", "SREM k a", "SREM k none", "SMOVE set k a", "SMOVE k set a", "SPOP k 0", "SINTERSTORE k set none",
    "SUNIONSTORE k set", "SDIFFSTORE k none none", "SMEMBERS k",
    "HSET k f v", "HSET k f w", "HDEL k f", "HDEL k none", "HSETNX k f w", "HINCRBY k n 0", "HEXPIRE k 1000 FIELDS 1 f",
    "HEXPIRE k 0 FIELDS 1 f", "HPERSIST k FIELDS 1 f", "HGETEX k EX 100 FIELDS 1 f", "HGETALL k",
    "ZADD k 1 a", "ZADD k NX 1 a", "ZADD k GT 0 a", "ZREM k a", "ZREM k none", "ZINCRBY k 0 a", "ZPOPMIN k",
    "ZRANGESTORE k zset 0 -1", "ZRANGESTORE k none 0 -1", "ZUNIONSTORE k 1 zset", "ZREMRANGEBYRANK k 5 1", "GEOADD k 1 2 a",
    "XADD k 9-1 f v", "XADD k NOMKSTREAM 9-1 f v", "XDEL k 1-1", "XDEL k 5-5", "XTRIM k MAXLEN 100", "XTRIM k MAXLEN 0",
    "XSETID k 50-0", "XGROUP CREATE k h 0", "XGROUP CREATE k h 0 MKSTREAM", "XGROUP SETID k g 0", "XGROUP DESTROY k g",
    "XGROUP CREATECONSUMER k g c", "XGROUP DELCONSUMER k g c", "XREADGROUP GROUP g c STREAMS k >", "XACK k g 1-1",
    "XREADGROUP GROUP g c STREAMS k >;XCLAIM k g d 0 1-1", "XREADGROUP GROUP g c STREAMS k >;XAUTOCLAIM k g d 0 0",
    "XREADGROUP GROUP g c STREAMS k >;XREADGROUP GROUP g c STREAMS k 0", "XREAD STREAMS k 0",
    "CLIENT NO-TOUCH ON;GET k", "CONFIG SET maxmemory 0", "RESET", "MULTI;SET k v;DISCARD", "MULTI;SET k v;EXEC",
    "MULTI;GET k;EXEC", "MULTI;SET k v;NOSUCH;EXEC", "WATCH k", "UNWATCH",
];

/// What the key is at first.
const KINDS: &[&str] = &[
    "",
    "SET k v",
    "SET k 5 EX 500",
    "RPUSH k a b",
    "SADD k a b",
    "HSET k f v g w",
    "ZADD k 1 a 2 b",
    "XADD k 1-1 f v;XGROUP CREATE k g 0",
];

fn lines(client: char, commands: &str) -> String {
    let commands = commands.split(';').filter(|command| !command.is_empty());
    commands.map(|command| format!("{client} {command}\n")).collect()
}

#[test]
fn a_watched_key_is_touched_by_what_touches_it_in_valkey() {
    let mut stage = Stage::new(&[]);
    let (mut executed, mut refused) = (0, 0);
    let others = "SET str s;RPUSH list x y;SADD set a z;ZADD zset 1 m";
    for kind in KINDS {
        for touch in TOUCHES {
            stage.clear();
            let setup = lines('A', others) + &lines('A', kind);
            let touch = lines('B', touch);
            let script =
                format!("{setup}W WATCH k\n{touch}W?\nW+ MULTI; PING; EXEC\nW?\nW+ MULTI; EXEC");
            let replies = stage.play(&script);
            // The last ones are its line, MULTI's, PING's, EXEC's, its line, and those of an empty transaction.
            match replies[replies.len() - 4].as_str() {
                "*-1\r\n" => refused += 1,
                "*1\r\n+PONG\r\n" => executed += 1,
                other => panic!("EXEC: {other}"),
            }
        }
    }
    assert!(executed > 300 && refused > 200, "{executed} were executed, {refused} refused");
}

#[test]
fn what_the_client_does_itself_counts() {
    Stage::new(&[]).play_in_both_protocols(
        "A WATCH k
         A SET k 1
         A MULTI
         A GET k
         A EXEC
         A WATCH k
         A MULTI
         A SET k 2
         A EXEC
         A MULTI
         A GET k
         A EXEC
         A WATCH k
         A SET k 3
         A UNWATCH
         A MULTI
         A GET k
         A EXEC
         A WATCH k
         A SET k 4
         A MULTI
         A DISCARD
         A MULTI
         A GET k
         A EXEC
         A WATCH k
         A SET k 5
         A RESET
         A MULTI
         A GET k
         A EXEC",
    );
}

#[test]
fn watches_end_with_exec_discard_unwatch_reset_and_the_connection() {
    let mut stage = Stage::new(&[]);
    for end in
        ["MULTI;EXEC", "MULTI;DISCARD", "UNWATCH", "MULTI;NOSUCH;EXEC", "MULTI;EXEC x", "RESET"]
    {
        let end = lines('A', end);
        stage.play_in_both_protocols(&format!(
            "A WATCH k l k
             A?
             ! watching_clients total_watched_keys
             {end}
             A?
             ! watching_clients total_watched_keys
             B SET k 1
             A?
             A MULTI
             A PING
             A EXEC"
        ));
    }
    stage.play_in_both_protocols(
        "A WATCH a b c
         B WATCH b c d
         ! watching_clients total_watched_keys
         A.
         ! watching_clients total_watched_keys
         C SET b 1
         ! watching_clients total_watched_keys
         B?
         B WATCH a
         ! watching_clients total_watched_keys
         B MULTI
         B EXEC
         ! watching_clients total_watched_keys",
    );
}

#[test]
fn unwatch_within_a_transaction_comes_too_late() {
    Stage::new(&[]).play_in_both_protocols(
        "A WATCH k
         A MULTI
         A UNWATCH
         B SET k 1
         A EXEC
         A WATCH k
         A MULTI
         A UNWATCH
         A SET k 2
         A EXEC
         A GET k",
    );
}

#[test]
fn the_same_key_of_another_database_is_another_key() {
    Stage::new(&[]).play_in_both_protocols(
        "A WATCH k
         B SELECT 1
         B SET k 1
         A+ MULTI; PING; EXEC
         A SELECT 1
         A WATCH k
         A SELECT 0
         A WATCH k
         B SELECT 0
         B SET k 0
         A+ MULTI; PING; EXEC
         A WATCH k
         A SELECT 1
         A WATCH k
         A?
         B FLUSHDB
         A+ MULTI; PING; EXEC
         A+ MULTI; PING; EXEC",
    );
}

#[test]
fn exec_is_refused_once_the_watched_key_has_expired() {
    Stage::new(&[]).play_in_both_protocols(
        "A SET k v PX 500
         B WATCH k
         @ 500
         B MULTI
         B PING
         B EXEC
         A SET k v PX 500
         B WATCH k
         @ 500
         A GET k
         B?
         B+ MULTI; PING; EXEC
         A SET k v
         B WATCH k
         A PEXPIRE k 1
         @ 1
         B+ MULTI; PING; EXEC",
    );
}

/// A key that had expired when it was watched is as good as none, whoever removes it.
#[test]
fn a_key_that_had_expired_when_it_was_watched_may_go() {
    let mut stage = Stage::new(&[]);
    for then in [
        "",
        "GET k",
        "DEL k",
        "TTL k",
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
        "RENAME k o",
        "COPY k o",
        "EXPIRE k 100",
        "PERSIST k",
        "SET k new",
        "SET k new KEEPTTL",
        "SET k new XX",
        "SET k new NX",
        "RPUSH k x",
        "GET k;SET k new",
        "SET k new;DEL k",
        "SELECT 1;SET k v;MOVE k 0",
        "SORT k STORE k",
        "RANDOMKEY",
        "SCAN 0",
    ] {
        // RANDOMKEY and SCAN may look at it or not.
        let then = lines('A', then);
        stage.play_in_both_protocols(&format!(
            "A SET k v PX 1
             @ 1
             B WATCH k
             {then}
             B+ MULTI; PING; EXEC"
        ));
    }
}

#[test]
fn active_expiry_is_noticed_as_well() {
    let mut stage = Stage::new(&[]);
    stage.play_in_both_protocols(
        "A SET k v PX 60
         B WATCH k
         A DEBUG SET-ACTIVE-EXPIRE 1
         @ 250
         A DBSIZE
         B+ MULTI; PING; EXEC
         A DEBUG SET-ACTIVE-EXPIRE 0
         A SET k v PX 1
         @ 1
         B WATCH k
         A DEBUG SET-ACTIVE-EXPIRE 1
         @ 250
         A DBSIZE
         B+ MULTI; PING; EXEC
         A DEBUG SET-ACTIVE-EXPIRE 0",
    );
}

#[test]
fn a_field_that_expires_touches_its_hash_as_in_valkey() {
    Stage::new(&[]).play_in_both_protocols(
        "A HSET h f v g w
         A HPEXPIRE h 1 FIELDS 1 f
         @ 1
         B WATCH h
         A HGETALL h
         B+ MULTI; PING; EXEC
         A HPEXPIRE h 40 FIELDS 1 g
         B WATCH h
         @ 40
         B+ MULTI; PING; EXEC",
    );
}

#[test]
fn all_clients_who_watch_a_key_are_told() {
    let mut stage = Stage::new(&[]);
    let watch: String = ('A'..='P').map(|client| format!("{client} WATCH k other\n")).collect();
    let exec: String = ('A'..='P').map(|client| format!("{client}+ MULTI; PING; EXEC\n")).collect();
    stage.play(&format!(
        "{watch}
         ! watching_clients total_watched_keys
         B UNWATCH
         C MULTI
         C DISCARD
         ! watching_clients total_watched_keys
         Z SET k 1
         ! watching_clients total_watched_keys
         {}",
        exec
    ));
}
