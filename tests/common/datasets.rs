//! All data of two servers, compared: what the one has recorded and the other one has replayed must be equal.

use std::collections::BTreeSet;

use super::{Client, Value};

/// Fields of XINFO STREAM FULL that tell when something was done, not what.
const MOMENTS: [&str; 4] = ["seen-time", "active-time", "idle", "inactive"];

/// The first difference between all data of two servers: keys of all databases, values, expiry times of keys and
/// fields, consumer groups. None if there is none.
///
/// Both clients are left in database 0, with whatever protocol they had.
pub fn difference(a: &mut Client, b: &mut Client) -> Option<String> {
    let databases = databases(a);
    if databases != self::databases(b) {
        return Some("the numbers of databases differ".into());
    }
    let found = (0..databases).find_map(|database| {
        let difference = compare_database(a, b, database)?;
        Some(format!("database {database}: {difference}"))
    });
    for client in [&mut *a, &mut *b] {
        client.run("SELECT 0");
    }
    found.or_else(|| compare_digests(a, b, &["DEBUG", "DIGEST"]))
}

/// # Panics
/// If the data of the two servers differ.
pub fn assert_equal(a: &mut Client, b: &mut Client) {
    if let Some(difference) = difference(a, b) {
        panic!("the data of two servers differ: {difference}");
    }
}

fn databases(client: &mut Client) -> i64 {
    let reply = client.run("CONFIG GET databases");
    let count = match &reply {
        Value::Map(pairs) => pairs[0].1.text(),
        reply => reply.elements()[1].text(),
    };
    count.parse().expect("a number of databases")
}

fn compare_database(a: &mut Client, b: &mut Client, database: i64) -> Option<String> {
    let [keys, others] = [&mut *a, &mut *b].map(|client| {
        assert!(client.run(&format!("SELECT {database}")).is("OK"));
        keys(client)
    });
    if let Some(key) = keys.symmetric_difference(&others).next() {
        return Some(format!("only one server has {}", shown(key)));
    }
    let mut compared = 0;
    let found = keys.iter().find_map(|key| {
        compared += 1;
        compare_key(a, b, key)
    });
    assert!(found.is_some() || compared == keys.len());
    found
}

/// All keys of the selected database.
fn keys(client: &mut Client) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = client.run(&format!("SCAN {cursor} COUNT 1000"));
        let [next, found] = reply.elements() else { panic!("SCAN: {reply}") };
        keys.extend(found.elements().iter().map(|key| key.bytes().to_vec()));
        cursor = next.text();
        if cursor == "0" {
            return keys;
        }
    }
}

fn compare_key(a: &mut Client, b: &mut Client, key: &[u8]) -> Option<String> {
    let mut compare = |words: &[&[u8]], normal: fn(Value) -> Value| {
        let [ours, theirs] = [&mut *a, &mut *b].map(|client| normal(client.command(words)));
        if ours == theirs {
            return Ok(ours);
        }
        let words: Vec<_> = words.iter().map(|word| shown(word)).collect();
        Err(format!("{}:\n{ours}\n{theirs}", words.join(" ")))
    };
    let mut compare_all = || {
        let kind = compare(&[b"TYPE", key], as_it_is)?.text();
        compare(&[b"PEXPIRETIME", key], as_it_is)?;
        match kind.as_str() {
            // A hash table's order is each server's own.
            "set" => drop(compare(&[b"SMEMBERS", key], sorted)?),
            "hash" => {
                let pairs = compare(&[b"HGETALL", key], sorted_pairs)?;
                let fields: Vec<_> = fields(&pairs);
                let count = fields.len().to_string();
                let mut words = vec![b"HPEXPIRETIME", key, b"FIELDS", count.as_bytes()];
                words.extend(fields.iter().map(Vec::as_slice));
                compare(&words, as_it_is)?;
            }
            "stream" => {
                let words: [&[u8]; 6] = [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"];
                compare(&words, without_moments)?;
                compare(&[b"XRANGE", key, b"-", b"+"], as_it_is)?;
            }
            "string" | "list" | "zset" => drop(compare(&[b"DUMP", key], as_it_is)?),
            "none" => return Err(format!("{} is gone", shown(key))),
            other => panic!("no command is known that compares a {other}"),
        }
        Ok(())
    };
    compare_all()
        .err()
        .or_else(|| compare_digests(a, b, &["DEBUG", "DIGEST-VALUE", &key_text(key)?]))
}

/// The key as an argument, if it is text.
fn key_text(key: &[u8]) -> Option<String> {
    std::str::from_utf8(key).ok().map(str::to_owned)
}

/// What DEBUG says of both servers, where both have that command.
fn compare_digests(a: &mut Client, b: &mut Client, words: &[&str]) -> Option<String> {
    let [ours, theirs] = [a, b].map(|client| client.command(words));
    let has_none = |reply: &Value| matches!(reply, Value::Error(_));
    if ours == theirs || has_none(&ours) || has_none(&theirs) {
        return None;
    }
    Some(format!("{}:\n{ours}\n{theirs}", words.join(" ")))
}

fn as_it_is(value: Value) -> Value {
    value
}

/// Members, in the order of their bytes.
fn sorted(members: Value) -> Value {
    let mut members = members.elements().to_vec();
    members.sort_by_key(|member| member.bytes().to_vec());
    Value::Array(members)
}

/// Fields and their values in turn, in the order of the fields' bytes.
fn sorted_pairs(pairs: Value) -> Value {
    let mut pairs: Vec<_> = match pairs {
        Value::Map(pairs) => pairs,
        Value::Array(elements) => {
            elements.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        }
        other => panic!("HGETALL: {other}"),
    };
    pairs.sort_by_key(|(field, _)| field.bytes().to_vec());
    Value::Array(pairs.into_iter().flat_map(|(field, value)| [field, value]).collect())
}

/// The fields of a sorted HGETALL.
fn fields(pairs: &Value) -> Vec<Vec<u8>> {
    pairs.elements().iter().step_by(2).map(|field| field.bytes().to_vec()).collect()
}

/// The reply without the values of the fields that tell moments, however deep they are.
fn without_moments(value: Value) -> Value {
    let is_moment = |name: &Value| matches!(name, Value::Bulk(text) if MOMENTS.iter().any(|moment| moment.as_bytes() == text));
    match value {
        Value::Map(pairs) => {
            let kept = pairs.into_iter().filter(|(name, _)| !is_moment(name));
            Value::Map(kept.map(|(name, value)| (name, without_moments(value))).collect())
        }
        Value::Array(elements) => {
            let mut kept: Vec<Value> = Vec::new();
            let mut is_left_out = false;
            for element in elements {
                let is_name = is_moment(&element);
                if !is_left_out && !is_name {
                    kept.push(without_moments(element));
                }
                is_left_out = is_name;
            }
            Value::Array(kept)
        }
        other => other,
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}
