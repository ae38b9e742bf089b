//! What users may do: commands, keys, channels, databases.

use super::Pair;

/// Users, and calls that are tried by ACL DRYRUN.
const DRY_RUNS: &[(&str, &[&str])] = &[
    ("+get", &["get k", "set k v", "auth x", "hello", "reset", "quit", "ping"]),
    ("+@all ~k*", &["get k1", "get x", "mget k1 x k2", "mget k1 k2", "del x k", "ping", "keys *"]),
    (
        "+@all %R~r* %W~w* %RW~rw*",
        &[
            "get r",
            "get w",
            "get rw",
            "set r v",
            "set w v",
            "set w v get",
            "set r v get",
            "set rw v get",
            "set w v xx get",
            "getset w v",
            "getdel w",
            "getdel rw",
            "append w x",
            "incr w",
            "incr rw",
            "copy r w",
            "copy w r",
            "copy r r",
            "rename r w",
            "rename rw w",
            "exists r",
            "exists w",
            "exists x",
            "type w",
            "touch r w rw",
            "touch x",
            "ttl r",
            "strlen w",
            "hexists w f",
            "hlen r",
            "lpush w x",
            "lpush r x",
            "lpop w",
            "lpop rw",
            "lmove rw w left right",
            "lmove w r left right",
            "blmove rw w left right 0",
            "sort r",
            "sort r store w",
            "sort w store w",
            "sort r store r",
            "sort_ro r",
            "sort r by nosort store w",
            "georadius r 0 0 1 m",
            "georadius r 0 0 1 m store w",
            "georadius r 0 0 1 m storedist r1",
            "georadius w 0 0 1 m store w",
            "zunionstore w 2 r r1",
            "zunionstore w 2 r w",
            "zunionstore r 1 r",
            "zunionstore w 3 r r1",
            "zunionstore w x r",
            "sintercard 2 r r1",
            "sintercard 2 w r",
            "bitfield r get u8 0",
            "bitfield w set u8 0 1",
            "bitfield rw set u8 0 1",
            "bitfield w get u8 0",
            "bitfield_ro r get u8 0",
            "xread streams r 0",
            "xread streams w 0",
            "xread count 1 streams r r1 0 0",
            "xreadgroup group g c streams rw 0",
            "xreadgroup group g c streams r 0",
            "xadd w * a b",
            "xadd r * a b",
            "object encoding w",
            "memory usage r",
            "memory usage x",
            "watch r",
            "watch x",
            "object help",
            "pfcount r r1",
            "pfcount w",
            "pfmerge w r",
            "msetex 2 w a w1 b",
            "msetex 2 r a w1 b",
            "lmpop 2 rw w left",
            "lmpop 2 rw rw1 left",
            "zmpop 1 rw min",
            "bzmpop 0 1 w min",
            "mset w 1 w1 2",
            "mset w 1 r 2",
            "dump r",
            "dump w",
            "restore w 0 x",
            "restore r 0 x",
            "expire w 1",
            "expire r 1",
            "persist r",
            "unlink w r",
            "move rw 1",
            "move w 1",
        ],
    ),
    (
        "+@all resetchannels &a &b*",
        &[
            "publish a x",
            "publish c x",
            "publish b1 x",
            "spublish a x",
            "spublish c x",
            "subscribe a",
            "subscribe a b c d",
            "psubscribe a",
            "psubscribe b*",
            "psubscribe b1",
            "psubscribe b* c*",
            "ssubscribe a b",
            "ssubscribe c",
            "unsubscribe c",
            "punsubscribe c*",
            "sunsubscribe c",
            "pubsub channels",
            "pubsub numsub c",
        ],
    ),
    (
        "+@all ~* db=1,5",
        &[
            "get k",
            "GET k",
            "ping",
            "select 1",
            "select 0",
            "select x",
            "select 99",
            "select -1",
            "swapdb 1 5",
            "swapdb 1 0",
            "swapdb 0 1",
            "swapdb x 0",
            "swapdb 0 99",
            "flushall",
            "flushdb",
            "move k 1",
            "move k 0",
            "move k x",
            "move k 99",
            "copy a b",
            "copy a b db 1",
            "copy a b db 0",
            "copy a b replace db 5",
            "copy a b db",
            "copy a b nope",
            "keys *",
            "scan 0",
            "randomkey",
            "dbsize",
            "multi",
            "exec",
            "watch k",
            "lolwut",
            "object help",
            "OBJECT encoding k",
            "config get x",
            "publish a b",
            "subscribe a",
            "cluster info",
            "cluster flushslot 1",
            "cluster migrateslots a b",
            "cluster cancelslotmigrations",
            "cluster keyslot a",
            "xinfo help",
            "xgroup create a b c",
            "memory usage a",
        ],
    ),
    (
        "+@all ~* db=0",
        &[
            "get k",
            "select 1",
            "swapdb 0 1",
            "swapdb 1 0",
            "swapdb 0 0",
            "flushall",
            "move k 1",
            "copy a b db 1",
            "copy a b db 0",
            "copy a b db 1 db 0",
            "copy a b db 0 db 1",
            "move k 0",
            "copy a b replace db x",
            "copy a b DB 1",
        ],
    ),
    ("+@all ~* resetdbs", &["get k", "ping", "select 0"]),
    // The database is looked at first.
    ("~x resetdbs", &["get k", "ping", "select 0", "pfadd k a", "publish a b", "config get x"]),
    ("+select|0 +select|a ~*", &["select 0", "select 1", "select A", "select", "get 0"]),
    ("+config|get -get +get|x ~*", &["config get a", "config set a b", "get x", "get X", "get y"]),
    ("+select|0 -@connection", &["select 0", "select 1"]),
    ("+select|0 +@read", &["select 0", "select 1"]),
    ("+@all -config -client|kill", &["config get x", "client kill x", "client id", "client list"]),
    ("-@all +@string +@fast -get", &["get a", "set a b", "ping", "hget a b", "config get x"]),
    // Of several selectors the one is told of that came furthest.
    ("+set ~* (+get ~x)", &["get k", "get x", "set k v", "del k"]),
    ("+get ~x (+get ~y) (+set ~z)", &["get x", "get y", "get z", "set z 1", "set x 1"]),
    ("+mget ~a (+mget ~a ~b)", &["mget a b", "mget a b c", "mget c"]),
    ("+mget ~a ~b (+mget ~a)", &["mget a b c", "mget a c b"]),
    ("+get ~* db=1 (+set)", &["get k"]),
    ("+get ~* db=1 (+get ~x)", &["get k", "get x"]),
    ("+get ~x (+get ~* db=1)", &["get k", "get x"]),
    ("+get ~x db=1 (+get ~* db=1)", &["get k"]),
    ("+set (+get ~* db=1)", &["get k"]),
    ("+publish &a (+publish &b)", &["publish a x", "publish b x", "publish c x"]),
    ("+move ~* db=0 (+move ~x)", &["move k 1", "move x 1"]),
    ("+get ~* (+@all ~* &* alldbs)", &["set a b", "publish a b", "flushall"]),
    ("+get ~a?c ~[bc]* ~\\* ~*z", &["get abc", "get ac", "get b", "get *", "get a", "get yz"]),
];

#[test]
fn dry_runs_end_as_on_valkey() {
    let mut pair = Pair::start(&[], 1);
    for db in ["0", "5"] {
        pair.run(0, &format!("SELECT {db}"));
        for (rules, calls) in DRY_RUNS {
            pair.run(0, &format!("ACL SETUSER u reset {rules}"));
            for call in *calls {
                pair.run(0, &format!("ACL DRYRUN u {call}"));
            }
        }
    }
}

#[test]
fn what_a_user_may_not_do_is_refused_in_valkeys_words_and_order() {
    let mut pair = Pair::start(&[], 2);
    pair.run(
        0,
        "ACL SETUSER u on >p ~k* resetchannels &c* db=0 -@all +get +set +select +psubscribe +publish \
         +multi +exec +discard +config|get +mget +move +subscribe +watch +ping",
    );
    pair.run(1, "AUTH u p");
    for line in [
        "GET k1",
        "GET x",
        "DEL k1",
        "CONFIG GET maxclients",
        "CONFIG SET port 1",
        "CONFIG NOPE",
        "CONFIG",
        "NOPE",
        "GET",
        "DEL",
        "INFO",
        "SELECT 1",
        "SELECT 0",
        "SELECT 99",
        "SELECT x",
        "MOVE k1 1",
        "MOVE k1 x",
        "PUBLISH x y",
        "PUBLISH c y",
        "MGET k1 x",
        "WATCH x",
        "WATCH k",
        "ACL WHOAMI",
        "CLIENT ID",
        "HELLO x",
        // When commands are queued.
        "MULTI",
        "DEL k1",
        "EXEC",
        "MULTI",
        "GET x",
        "EXEC",
        "MULTI",
        "SELECT 1",
        "EXEC",
        "MULTI",
        "PUBLISH x x",
        "EXEC",
        "MULTI",
        "GET k1",
        "PUBLISH c x",
        "EXEC",
        "MULTI",
        "WATCH x",
        "EXEC",
        "MULTI",
        "NOPE",
        "EXEC",
        // While the client may run few commands.
        "PSUBSCRIBE c*",
        "PSUBSCRIBE cc*",
        "SUBSCRIBE x",
        "SUBSCRIBE c",
        "PUBLISH c y",
        "PUBLISH x y",
        "GET x",
        "GET k",
        "DEL k",
        "EXEC",
        "MULTI",
        "INFO",
    ] {
        pair.run(1, line);
    }
}

#[test]
fn what_nobody_may_do_is_no_denial() {
    let mut pair = Pair::start(&["--requirepass", "x"], 0);
    let clients = pair.servers.each_ref().map(super::Server::connect);
    pair.clients.push(clients);
    for line in ["DEBUG SLEEP 0", "DEBUG", "MODULE LIST", "AUTH x"] {
        pair.run(0, line);
    }
    pair.run(0, "ACL SETUSER u on nopass -@all +multi +exec +acl|log +module");
    pair.run(0, "AUTH u x");
    for line in [
        "DEBUG SLEEP 0",
        "MODULE LOAD x",
        "MULTI",
        "DEBUG SLEEP 0",
        "EXEC",
        "MULTI",
        "WATCH x",
        "EXEC",
        "ACL LOG",
    ] {
        pair.run(0, line);
    }
}

#[test]
fn exec_refuses_what_was_taken_away_since_it_was_queued() {
    let mut pair = Pair::start(&[], 2);
    let allowed = "+get +set +publish +dbsize +multi +exec +discard +incr ~k* &c* alldbs";
    pair.run(0, &format!("ACL SETUSER u on nopass {allowed}"));
    pair.run(1, "AUTH u p");
    for change in
        ["resetkeys", "-set", "resetchannels", "db=1", "-exec", "-@all +exec", "off", "%R~k2"]
    {
        pair.run(0, &format!("ACL SETUSER u resetkeys resetchannels {allowed} on"));
        for line in ["MULTI", "GET k1", "SET k2 v", "PUBLISH c1 x", "DBSIZE", "INCR k3"] {
            pair.run(1, line);
        }
        let change =
            if change.starts_with('%') { format!("resetkeys {change}") } else { change.into() };
        pair.run(0, &format!("ACL SETUSER u {change}"));
        pair.run(1, "EXEC");
        pair.run(1, "EXEC");
        pair.run(1, "GET k1");
        pair.run(0, "DEL k1 k2 k3");
    }
    // A transaction may change its own user.
    pair.run(0, "ACL SETUSER u reset on nopass +@all ~* &*");
    for line in
        ["MULTI", "SET a 1", "ACL SETUSER u -get", "GET a", "ACL SETUSER u +get", "GET a", "EXEC"]
    {
        pair.run(1, line);
    }
    for line in
        ["MULTI", "GET a", "AUTH default x", "ACL WHOAMI", "AUTH u wrong", "EXEC", "ACL WHOAMI"]
    {
        pair.run(1, line);
    }
    pair.run(0, "INFO errorstats");
}

#[test]
fn sort_with_patterns_needs_all_keys() {
    let mut pair = Pair::start(&[], 2);
    pair.run(0, "LPUSH l 2 1");
    for rules in
        ["~l", "~l ~w*", "~*", "%R~*", "%W~* ~l", "allkeys", "~l (+sort %R~*)", "~l (+sort_ro ~*)"]
    {
        pair.run(0, &format!("ACL SETUSER u reset on nopass +sort +sort_ro {rules}"));
        pair.run(1, "AUTH u p");
        for line in [
            "SORT l BY w*",
            "SORT l GET w*",
            "SORT l GET #",
            "SORT l BY nosort",
            "SORT l BY nosort GET #",
            "SORT_RO l BY w* GET #",
            "SORT l BY w* GET #",
            "SORT l",
            "SORT x BY w*",
            "SORT l BY w*->f",
        ] {
            pair.run(1, line);
        }
    }
}
