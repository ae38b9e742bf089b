//! Scripts of EVAL, made of a few statements: calls, loops, conversions, errors.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::commands::{Entry, command};

pub const COMMANDS: &[Entry] = &[
    command("eval", "script numkeys key... [value] [field]").weight(60),
    command("eval_ro", "script numkeys key... [value]").weight(15),
    command("script show", "value").weight(1),
];

/// Calls, of which some are errors, whatever the key is.
const CALLS: &[&str] = &[
    "'get', KEYS[1]",
    // A number would be stored otherwise: docs/COMPATIBILITY.md.
    "'set', KEYS[1], 'x' .. (ARGV[1] or '')",
    "'incr', KEYS[1]",
    "'incrby', KEYS[1], 3",
    "'append', KEYS[1], 'y' .. (ARGV[1] or '')",
    "'strlen', KEYS[1]",
    "'type', KEYS[1]",
    "'exists', KEYS[1], KEYS[2] or 'none'",
    "'del', KEYS[1]",
    "'lpush', KEYS[1], 1, 2.5, 'c'",
    "'lrange', KEYS[1], 0, 5",
    "'rpoplpush', KEYS[1], KEYS[2] or KEYS[1]",
    "'sadd', KEYS[1], 'm'",
    "'scard', KEYS[1]",
    "'hset', KEYS[1], 'f', ARGV[1] or 'v'",
    "'hget', KEYS[1], 'f'",
    "'hmget', KEYS[1], 'f', 'g'",
    "'zadd', KEYS[1], 1.5, 'm'",
    "'zscore', KEYS[1], 'm'",
    "'zrange', KEYS[1], 0, -1, 'withscores'",
    "'expire', KEYS[1], 1000",
    "'persist', KEYS[1]",
    "'copy', KEYS[1], KEYS[2] or 'copied'",
    "'blpop', KEYS[1], 0",
    "'echo', ARGV[1] or ''",
    "'ping'",
    "'nope', KEYS[1]",
    "'get'",
    "'multi'",
    "KEYS[1]",
    "'get', {}",
];

/// Values that a script can end with; `r` is the result of its last call.
const RESULTS: &[&str] = &[
    "r",
    "{r, 1, 'a'}",
    "{1, 2.9, -3.9, true, false, nil, 'after'}",
    "{ok = 'fine'}",
    "{err = 'MINE own'}",
    "{double = 3.25}",
    "{map = {a = 1}}",
    "{set = {a = true}}",
    "{big_number = '123'}",
    "{verbatim_string = {format = 'txt', string = 'a'}}",
    "redis.error_reply('oh no')",
    "redis.status_reply('yes')",
    // A table's text is its address.
    "type(r) == 'table' and 'a table' or tostring(r)",
    "type(r)",
    "#KEYS + #ARGV * 10",
    "ARGV",
    "KEYS",
    "1e300",
    "0/0",
    "cjson.encode({1, 'a', {b = 2}})",
    "cjson.decode('[1, {\"a\": null}]')[1]",
    "cmsgpack.unpack(cmsgpack.pack({1, 2, 'x'}))",
    "bit.band(255, 15)",
    "struct.unpack('>I', struct.pack('>I', 7))",
    "redis.sha1hex(ARGV[1] or '')",
    "string.rep('ab', 3)",
    "nothing",
    "nothing.at.all",
    "1 + {}",
];

/// The text of a script.
pub fn script(rng: &mut StdRng) -> Vec<u8> {
    let mut text = match rng.random_range(0..12) {
        0 => "#!lua flags=no-writes\n".to_owned(),
        1 => "#!lua\n".to_owned(),
        2 => "redis.setresp(3) ".to_owned(),
        _ => String::new(),
    };
    text.push_str("local r ");
    for _ in 0..rng.random_range(1..4) {
        let call = CALLS.choose(rng).unwrap();
        let function = if rng.random_bool(0.7) { "pcall" } else { "call" };
        match rng.random_range(0..8) {
            0 => {
                let times = rng.random_range(1..6);
                text.push_str(&format!("for i = 1, {times} do r = redis.{function}({call}) end "));
            }
            1 => text.push_str(&format!("r = select(2, pcall(redis.call, {call})) ")),
            2 => text.push_str(&format!("if ARGV[1] then r = redis.{function}({call}) end ")),
            _ => text.push_str(&format!("r = server.{function}({call}) ")),
        }
    }
    match rng.random_range(0..20) {
        0 => text.push_str("error('raised')"),
        1 => text.push_str("error({err = 'MINE raised'})"),
        2 => text.push_str("return ("),
        _ => text.push_str(&format!("return {}", RESULTS.choose(rng).unwrap())),
    }
    text.into_bytes()
}
