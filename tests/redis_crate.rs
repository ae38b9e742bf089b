//! The `redis` crate in ordinary use.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::Server;
use redis::{
    Client, Commands, Connection, ErrorKind, ExistenceCheck, ExpireOption, Expiry, RedisResult,
    SetExpiry, SetOptions, Value, cmd, pipe,
};

/// A connection by each protocol.
fn connections(server: &Server) -> Vec<Connection> {
    ["", "?protocol=resp3"]
        .map(|query| {
            let url = format!("redis://127.0.0.1:{}/{query}", server.port());
            Client::open(url).unwrap().get_connection().unwrap()
        })
        .into()
}

#[test]
fn strings_and_their_options() {
    let server = Server::start(&[]);
    for mut connection in connections(&server) {
        cmd("FLUSHALL").exec(&mut connection).unwrap();
        let () = connection.set("a", 41).unwrap();
        assert_eq!(connection.incr::<_, _, i64>("a", 1), Ok(42));
        assert_eq!(connection.get::<_, Option<u8>>("a"), Ok(Some(42)));
        assert_eq!(connection.get::<_, Option<u8>>("missing"), Ok(None));
        assert_eq!(connection.append::<_, _, usize>("a", "!"), Ok(3));
        assert_eq!(connection.getrange::<_, String>("a", 1, -1), Ok("2!".into()));
        assert_eq!(connection.mset::<_, _, ()>(&[("x", "1"), ("y", "2")]), Ok(()));
        assert_eq!(
            connection.mget::<_, Vec<Option<String>>>(&["x", "nope", "y"]),
            Ok(vec![Some("1".into()), None, Some("2".into())])
        );
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .get(false)
            .with_expiration(SetExpiry::EX(100));
        assert_eq!(connection.set_options::<_, _, bool>("new", "v", options.clone()), Ok(true));
        assert_eq!(connection.set_options::<_, _, Option<String>>("new", "v", options), Ok(None));
        assert!((99..=100).contains(&connection.ttl::<_, i64>("new").unwrap()));
        assert_eq!(connection.get_ex::<_, String>("new", Expiry::PERSIST), Ok("v".into()));
        assert_eq!(connection.ttl::<_, i64>("new"), Ok(-1));
        assert_eq!(connection.get_del::<_, String>("new"), Ok("v".into()));
        let bytes = (0..=255).cycle().take(100_000).collect::<Vec<u8>>();
        let () = connection.set(b"\0\xff\r\n", &bytes).unwrap();
        assert_eq!(connection.get::<_, Vec<u8>>(b"\0\xff\r\n"), Ok(bytes));
    }
}

#[test]
fn keys_and_iteration() {
    let server = Server::start(&[]);
    for mut connection in connections(&server) {
        cmd("FLUSHALL").exec(&mut connection).unwrap();
        for i in 0..100 {
            let () = connection.set(format!("key:{i}"), i).unwrap();
        }
        let all = (0..100).map(|i| format!("key:{i}")).collect::<BTreeSet<_>>();
        let found = connection
            .scan_match::<_, String>("key:*")
            .unwrap()
            .collect::<RedisResult<BTreeSet<_>>>()
            .unwrap();
        assert_eq!(found, all);
        assert_eq!(connection.keys::<_, BTreeSet<String>>("key:*"), Ok(all));
        assert_eq!(connection.exists::<_, usize>(&["key:1", "key:2", "nope"]), Ok(2));
        assert_eq!(connection.rename::<_, _, ()>("key:1", "other"), Ok(()));
        assert_eq!(connection.key_type::<_, String>("other"), Ok("string".into()));
        assert_eq!(connection.del::<_, usize>(&["other", "key:2", "nope"]), Ok(2));
        assert_eq!(connection.expire::<_, bool>("key:3", 100), Ok(true));
        assert_eq!(connection.persist::<_, bool>("key:3"), Ok(true));
        let gt = cmd("EXPIRE").arg("key:3").arg(5).arg(ExpireOption::GT).query(&mut connection);
        assert_eq!(gt, Ok(false));
        assert_eq!(cmd("DBSIZE").query::<usize>(&mut connection), Ok(98));
    }
}

#[test]
fn pipelines() {
    let server = Server::start(&[]);
    for mut connection in connections(&server) {
        cmd("FLUSHALL").exec(&mut connection).unwrap();
        let mut pipeline = pipe();
        for i in 0..1000 {
            pipeline.set(i, "x".repeat(i)).ignore().strlen(i);
        }
        let lengths = pipeline.query::<Vec<usize>>(&mut connection).unwrap();
        assert_eq!(lengths, (0..1000).collect::<Vec<_>>());
        let error =
            pipe().set("a", "text").incr("a", 1).query::<Value>(&mut connection).unwrap_err();
        assert!(error.to_string().contains("not an integer"), "{error}");
        assert_eq!(connection.get::<_, String>("a"), Ok("text".into()));
    }
}

#[test]
fn transactions() {
    let server = Server::start(&[]);
    for mut connection in connections(&server) {
        let mut other = connections(&server).remove(0);
        cmd("FLUSHALL").exec(&mut connection).unwrap();
        let replies: (String, i64, Option<String>) =
            pipe().atomic().set("a", 1).incr("a", 4).get("none").query(&mut connection).unwrap();
        assert_eq!(replies, ("OK".into(), 5, None));
        let mut long = pipe();
        (0..2000).for_each(|i| {
            long.rpush("l", i).ignore();
        });
        let length: Vec<i64> = long.atomic().llen("l").query(&mut connection).unwrap();
        assert_eq!(length, [2000]);
        // A command that fails leaves the others as they are; one that cannot be queued ends them all.
        let mut fails = pipe();
        let error = fails.atomic().set("b", "x").incr("b", 1).set("c", 1).exec(&mut connection);
        assert!(error.unwrap_err().to_string().contains("not an integer"));
        assert_eq!(connection.get::<_, i64>("c"), Ok(1));
        let mut refused = pipe();
        let error = refused.atomic().set("d", 1).cmd("NOSUCH").exec(&mut connection).unwrap_err();
        assert!(error.to_string().contains("unknown command"), "{error}");
        assert_eq!(connection.exists::<_, bool>("d"), Ok(false));
        // A watched key that somebody else changes.
        let () = cmd("WATCH").arg("w").query(&mut connection).unwrap();
        let () = other.set("w", 1).unwrap();
        let replies: Option<Vec<i64>> =
            pipe().atomic().incr("w", 1).query(&mut connection).unwrap();
        assert_eq!(replies, None);
        let mut attempts = 0;
        let sum: Vec<i64> = redis::transaction(&mut connection, &["w"], |connection, pipe| {
            let number: i64 = connection.get("w")?;
            attempts += 1;
            if attempts == 1 {
                let () = other.set("w", 40)?;
            }
            pipe.set("w", number + 2).ignore().get("w").query(connection)
        })
        .unwrap();
        assert_eq!((sum, attempts), (vec![42], 2));
    }
}

#[test]
fn resp3_connections_get_resp3_types() {
    let server = Server::start(&[]);
    let [mut resp2, mut resp3] = <[Connection; 2]>::try_from(connections(&server)).ok().unwrap();
    let hello = |connection: &mut Connection| cmd("HELLO").query::<Value>(connection).unwrap();
    assert!(matches!(hello(&mut resp2), Value::Array(_)));
    let Value::Map(fields) = hello(&mut resp3) else { panic!("HELLO is no map") };
    assert!(fields.contains(&(Value::BulkString(b"proto".to_vec()), Value::Int(3))));
    for connection in [&mut resp2, &mut resp3] {
        let settings = cmd("CONFIG").arg("GET").arg("databases").query(connection);
        let settings: BTreeMap<String, String> = settings.unwrap();
        assert_eq!(settings, BTreeMap::from([("databases".into(), "16".into())]));
    }
    assert!(matches!(cmd("INFO").query(&mut resp3), Ok(Value::VerbatimString { .. })));
    assert!(matches!(cmd("INFO").query(&mut resp2), Ok(Value::BulkString(_))));
}

#[test]
fn over_a_unix_socket_with_a_password_and_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server =
        Server::start(&["--unixsocket", path.to_str().unwrap(), "--requirepass", "secret"]);
    let open = |url: String| Client::open(url).and_then(|client| client.get_connection());
    let path = path.display();
    let mut connection = open(format!("redis+unix://{path}?db=3&pass=secret")).unwrap();
    let () = connection.set("a", 1).unwrap();
    let port = server.port();
    let mut other = open(format!("redis://:secret@127.0.0.1:{port}/3?protocol=resp3")).unwrap();
    assert_eq!(other.get::<_, i64>("a"), Ok(1));
    let error = open(format!("redis://:wrong@127.0.0.1:{port}/")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AuthenticationFailed);
    let mut nobody = open(format!("redis://127.0.0.1:{port}/")).unwrap();
    let error = nobody.get::<_, i64>("a").unwrap_err();
    assert_eq!(error.code(), Some("NOAUTH"));
}
