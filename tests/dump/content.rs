//! What a key holds, as its type's commands tell.

use crate::common::{Client, Value};

/// How the key's value is kept.
pub fn encoding(client: &mut Client, key: &[u8]) -> Value {
    client.command(&[&b"OBJECT"[..], b"ENCODING", key])
}

/// Everything that can be asked about a key's value, as far as it does not depend on how it is kept:
/// two servers that hold the same answer the same.
pub fn content(client: &mut Client, key: &[u8]) -> Vec<Value> {
    let kind = client.command(&[&b"TYPE"[..], key]);
    let mut ask = |words: &[&[u8]]| client.command(words);
    let value = match kind.text().as_str() {
        "none" => vec![],
        "string" => vec![ask(&[b"GET", key])],
        "list" => vec![ask(&[b"LRANGE", key, b"0", b"-1"])],
        "set" => sorted(&ask(&[b"SMEMBERS", key]), 1),
        "zset" => vec![ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"])],
        "hash" => hash(client, key),
        "stream" => vec![stream(ask(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]))],
        other => panic!("no command is known that reads a {other:?}"),
    };
    [vec![kind], value].concat()
}

/// The fields, each with its value and when it expires.
fn hash(client: &mut Client, key: &[u8]) -> Vec<Value> {
    let len = client.command(&[&b"HLEN"[..], key]);
    let fields = sorted(&client.command(&[&b"HGETALL"[..], key]), 2);
    let count = fields.len().to_string();
    let names = fields.iter().map(|pair| pair.elements()[0].bytes());
    let start: [&[u8]; 4] = [b"HPEXPIRETIME", key, b"FIELDS", count.as_bytes()];
    let expiries = client.command(&start.into_iter().chain(names).collect::<Vec<_>>());
    [vec![len], fields, vec![expiries]].concat()
}

/// What XINFO says, but for how the server keeps the stream, and what Valkey believes of the first entry
/// without looking.
fn stream(info: Value) -> Value {
    let pairs = info.elements().chunks(2);
    let is_left_out = |name: &str| name.starts_with("radix-tree") || name.starts_with("recorded");
    let told = pairs.filter(|pair| !is_left_out(&pair[0].text()));
    Value::Array(told.flatten().cloned().collect())
}

/// The elements in groups of `width`, in order.
fn sorted(reply: &Value, width: usize) -> Vec<Value> {
    let groups = reply.elements().chunks(width);
    let mut groups = groups.map(|group| Value::Array(group.to_vec())).collect::<Vec<_>>();
    groups.sort_by_key(|group| group.elements()[0].bytes().to_vec());
    groups
}
