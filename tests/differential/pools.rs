//! Where random arguments come from: small pools, so that commands meet each other's keys and values,
//! with every kind of value that has ever been hard to read.

use std::sync::LazyLock;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::common::payloads::{self, Payload};
use crate::families::script;

/// A kind of argument: the word that stands for it in a syntax (see `commands.rs`), and a generator.
pub type Pool = fn(&mut StdRng) -> Vec<u8>;

/// The pool that a syntax calls `name`.
pub fn pool(name: &str) -> Pool {
    match name {
        "key" => key,
        "value" => value,
        "script" => script::script,
        "text" => text,
        "integer" => integer,
        "float" => float,
        "index" => index,
        "offset" => offset,
        "count" => count,
        "db" => db,
        "draws" => draws,
        "field" => field,
        "field-value" => field_value,
        "pattern" => pattern,
        "cursor" => cursor,
        "seconds" => seconds,
        "milliseconds" => milliseconds,
        "unix-seconds" => unix_seconds,
        "unix-milliseconds" => unix_milliseconds,
        "type" => type_name,
        "name" => name_of_connection,
        "user" => user,
        "version" => protocol_version,
        "client-id" => client_id,
        "address" => address,
        "client-type" => client_type,
        "command" => command,
        "category" => category,
        "parameter" => parameter,
        "section" => section,
        "pause" => pause,
        "timeout" => timeout,
        "bit" => bit,
        "bit-index" => bit_index,
        "bit-offset" => bit_offset,
        "field-type" => field_type,
        "field-offset" => field_offset,
        "element" => element,
        "sketch" => sketch,
        "set-key" => set_key,
        "sort-key" => sort_key,
        "sort-sequence" => sort_sequence,
        "sort-list" => |_| b"sort:list".to_vec(),
        "sort-set" => |_| b"sort:set".to_vec(),
        "sort-zset" => |_| b"sort:zset".to_vec(),
        "sort-element" => sort_element,
        "sort-number" => sort_number,
        "sort-weight" => |rng| [b"sort:weight:", &*sort_element(rng)].concat(),
        "sort-hash" => |rng| [b"sort:hash:", &*sort_element(rng)].concat(),
        "sort-field" => |rng| pick(rng, &[b"f", b"g", b"f->g", b"*"]),
        "sort-by" => sort_by,
        "sort-get" => sort_get,
        "set-member" => set_member,
        "stream" => stream,
        "group" => group,
        "consumer" => consumer,
        "entry-id" => entry_id,
        "new-id" => new_id,
        "read-id" => read_id,
        "bound" => bound,
        "field-name" => field_name,
        "length" => length,
        "idle" => idle,
        "min-idle" => min_idle,
        "bad-timeout" => bad_timeout,
        "payload" => payload,
        "two" => |_| b"2".to_vec(),
        "four" => |_| b"4".to_vec(),
        "zset" => zset,
        "zset-target" => zset_target,
        "zset-member" => zset_member,
        "score" => score,
        "score-bound" => score_bound,
        "weight" => weight,
        "lex-set" => lex_set,
        "lex-member" => lex_member,
        "lex-score" => |_| b"0".to_vec(),
        "lex-bound" => lex_bound,
        "geo-set" => geo_set,
        "place" => place,
        "longitude" => longitude,
        "latitude" => latitude,
        "distance" => distance,
        "unit" => unit,
        other => panic!("no pool is called {other:?}"),
    }
}

fn pick(rng: &mut StdRng, from: &[&[u8]]) -> Vec<u8> {
    from.choose(rng).unwrap().to_vec()
}

/// Every key that the `key` pool knows.
pub const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"key:1",
    b"key:2",
    b"key:3",
    b"{tag}x",
    b"{tag}y",
    b"a*b?[c]\\",
    b"",
    b"\x00\xff\r\n",
    "ключ \u{1f511}".as_bytes(),
    b"a key that is longer than any entry would want to hold within itself: 0123456789 0123456789 01234567",
];

fn key(rng: &mut StdRng) -> Vec<u8> {
    // The first few meet often.
    let reach = if rng.random_bool(0.7) { 5 } else { KEYS.len() };
    KEYS[rng.random_range(0..reach)].to_vec()
}

/// Lengths around every limit of an encoding.
const LENGTHS: &[usize] =
    &[0, 1, 2, 11, 12, 13, 15, 16, 20, 21, 43, 44, 45, 63, 64, 65, 127, 128, 255, 256, 3000];

fn value(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=2 => integer(rng),
        3 => float(rng),
        4 | 5 => text(rng),
        6 => vec![b'x'; *LENGTHS.choose(rng).unwrap()],
        7 => {
            let len = *LENGTHS[..LENGTHS.len() - 1].choose(rng).unwrap();
            (0..len).map(|_| rng.random()).collect()
        }
        8 => {
            pick(rng, &[b"", b"foo", b"bar", b"Foo", "naïve ☃".as_bytes(), b"\r\n", b"\0", b"a b"])
        }
        _ => key(rng),
    }
}

/// Words of few letters: what LCS and patterns find something in.
fn text(rng: &mut StdRng) -> Vec<u8> {
    let len = rng.random_range(0..40);
    (0..len).map(|_| *b"abcd".choose(rng).unwrap()).collect()
}

/// Integers, and what looks like one. Nothing between a hundred thousand and half a billion: as an
/// offset or a time that would be a lot of memory or a race.
fn integer(rng: &mut StdRng) -> Vec<u8> {
    const ODD: &[&[u8]] = &[
        b"9223372036854775807",
        b"-9223372036854775808",
        b"9223372036854775806",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"18446744073709551615",
        b"18446744073709551616",
        b"99999999999999999999999",
        b"4294967295",
        b"4294967296",
        b"-4294967297",
        b"2147483647",
        b"2147483648",
        b"-2147483648",
        b"-2147483649",
        b"9999",
        b"10000",
        b"-0",
        b"+1",
        b"01",
        b"-01",
        b"00",
        b" 1",
        b"1 ",
        b"1\0",
        b"1.0",
        b"1e2",
        b"0x10",
        b"-",
        b"--1",
        b"",
        b"one",
        "١".as_bytes(),
    ];
    match rng.random_range(0..10) {
        0..=5 => rng.random_range(-20..20i64).to_string().into_bytes(),
        6 => rng.random_range(-100_000..100_000i64).to_string().into_bytes(),
        _ => pick(rng, ODD),
    }
}

fn float(rng: &mut StdRng) -> Vec<u8> {
    const ODD: &[&[u8]] = &[
        b"0",
        b"-0",
        b"0.0",
        b"-0.0",
        b"0.1",
        b"0.2",
        b".5",
        b"5.",
        b"+1.5",
        b"1.5 ",
        b" 1.5",
        b"1.5x",
        b"1,5",
        b"3.0e3",
        b"3.0E+3",
        b"1e-7",
        b"1e17",
        b"1e18",
        b"-1e19",
        b"1e100",
        b"1e308",
        b"1.7976931348623157e308",
        b"1e309",
        b"-1e400",
        b"1e4932",
        b"1e5000",
        b"5e-324",
        b"1e-400",
        b"1e-5000",
        b"0x1p3",
        b"0x1.8",
        b"0xff",
        b"inf",
        b"+inf",
        b"-inf",
        b"Infinity",
        b"infinit",
        b"nan",
        b"NaN",
        b"-nan",
        b"nan(123)",
        b"",
        b"e",
        b"1e",
        b"1e+",
        b".",
        b"1.5\0",
        b"99999999999999999999.99999999999999999999",
        b"123456789012345678901234567890",
        b"0.00000000000000001",
        b"0.000000000000000012345",
        b"3.14159265358979323846264338327950288419716939937510582097494459",
    ];
    match rng.random_range(0..10) {
        0 | 1 => rng.random_range(-50..50i64).to_string().into_bytes(),
        2 | 3 => {
            format!("{:.*}", rng.random_range(0..20), rng.random_range(-1e3..1e3)).into_bytes()
        }
        4 => {
            let digits: f64 = rng.random_range(-10.0..10.0);
            format!("{digits}e{}", rng.random_range(-30..30)).into_bytes()
        }
        5 => integer(rng),
        _ => pick(rng, ODD),
    }
}

fn index(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.8) {
        rng.random_range(-12..12i64).to_string().into_bytes()
    } else {
        integer(rng)
    }
}

/// Positions that a string may be written at: small, or beyond what a string may hold.
fn offset(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.8) {
        rng.random_range(-2..300i64).to_string().into_bytes()
    } else {
        pick(rng, &[b"536870912", b"536870913", b"4294967296", b"9223372036854775807", b"-1", b"x"])
    }
}

fn count(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.8) {
        rng.random_range(1..30i64).to_string().into_bytes()
    } else {
        integer(rng)
    }
}

fn db(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.85) {
        pick(rng, &[b"0", b"1", b"2", b"15"])
    } else {
        pick(rng, &[b"16", b"-1", b"99999999999", b"9223372036854775808", b"x", b"", b"+1", b"01"])
    }
}

/// How many elements are drawn: one below zero is a reply of that length.
fn draws(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.8) {
        rng.random_range(-20..20i64).to_string().into_bytes()
    } else {
        let odd: &[&[u8]] = &[
            b"9223372036854775807",
            b"4611686018427387903",
            b"4611686018427387904",
            b"-9223372036854775808",
            b"9223372036854775808",
            b"-0",
            b"1.0",
            b"x",
            b"",
        ];
        pick(rng, odd)
    }
}

/// Fields of a hash: few, so that they meet; numbers in all the forms in which a listpack has them.
fn field(rng: &mut StdRng) -> Vec<u8> {
    const FIELDS: &[&[u8]] = &[
        b"a",
        b"b",
        b"c",
        b"d",
        b"1",
        b"2",
        b"-7",
        b"127",
        b"128",
        b"-4096",
        b"40000",
        b"-9000000",
        b"3000000000",
        b"-9223372036854775808",
        b"007",
        b"",
        b"fields",
        b"EX",
        b"\x00\xff\r\n",
    ];
    match rng.random_range(0..100) {
        0 => vec![b'f'; *[64, 65, 300].choose(rng).unwrap()],
        1..=4 => integer(rng),
        _ => pick(rng, FIELDS),
    }
}

/// Mostly what lets a hash stay packed.
fn field_value(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..100) {
        0..=1 => value(rng),
        2..=9 => vec![b'v'; *[12, 13, 63, 64].choose(rng).unwrap()],
        10..=49 => integer(rng),
        50..=69 => rng.random_range(-10.0..10.0f64).to_string().into_bytes(),
        _ => field(rng).into_iter().take(64).collect(),
    }
}

fn pattern(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[
            b"*",
            b"?",
            b"key:*",
            b"key:?",
            b"key:[12]",
            b"key:[^1]",
            b"key:[1-2]",
            b"key:[2-1]",
            b"*a*",
            b"**",
            b"a\\*b\\?*",
            b"[",
            b"[a",
            b"[a-",
            b"[\\]]",
            b"\\",
            b"{tag}*",
            b"",
            b"\x00*",
            "к*".as_bytes(),
            b"a",
            b"nothing",
            b"*[]*",
            b"[!a]",
        ],
    )
}

fn cursor(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.9) {
        b"0".to_vec()
    } else {
        pick(rng, &[b"00", b"-0", b"-1", b"x", b"", b"18446744073709551616", b"1x", b" 0", b"0 "])
    }
}

/// No key may expire while replies are compared: times are long, or over already, or refused.
pub const FAR: i64 = 100_000;

fn seconds(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=6 => rng.random_range(FAR..FAR + 1000).to_string().into_bytes(),
        7 => pick(rng, &[b"0", b"-1", b"-1000"]),
        _ => pick(
            rng,
            &[
                b"9223372036854775807",
                b"-9223372036854775808",
                b"9223372036854775",
                b"9223372036854776",
                b"-9223372036854776",
                b"9223370000000000",
                b"92233720368547758070",
                b"x",
                b"1.5",
                b"",
            ],
        ),
    }
}

fn milliseconds(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.7) {
        rng.random_range(FAR * 1000..FAR * 1001).to_string().into_bytes()
    } else {
        seconds(rng)
    }
}

fn unix_seconds(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        // The year 2100 and later.
        0..=6 => rng.random_range(4_102_444_800..4_102_444_900i64).to_string().into_bytes(),
        7 => pick(rng, &[b"1", b"1000000000", b"0", b"-1"]),
        _ => seconds(rng),
    }
}

fn unix_milliseconds(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=6 => rng.random_range(4_102_444_800_000..4_102_444_900_000i64).to_string().into_bytes(),
        7 => pick(rng, &[b"1", b"1000000000000", b"0", b"-1"]),
        _ => seconds(rng),
    }
}

fn type_name(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[b"string", b"String", b"list", b"hash", b"set", b"zset", b"stream", b"none", b"x", b""],
    )
}

fn name_of_connection(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[
            b"worker",
            b"a-name",
            b"",
            b"two words",
            b"line\n",
            b"\x7f",
            "имя".as_bytes(),
            b"!",
            b"~",
        ],
    )
}

fn user(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"default", b"nobody", b"", b"Default"])
}

fn protocol_version(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"2", b"3", b"2", b"3", b"1", b"4", b"-3", b"x", b"", b"3.0"])
}

/// No id that a client has: they differ between the servers.
fn client_id(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"0", b"-1", b"9223372036854775807", b"9223372036854775808", b"x", b"1000000000"])
}

fn address(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"127.0.0.1:1", b"/tmp/nothing:0", b"x", b"", b"[::1]:1"])
}

fn client_type(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[b"normal", b"NORMAL", b"master", b"primary", b"replica", b"slave", b"pubsub", b"x", b""],
    )
}

/// Commands; no container that lacks a subcommand of Valkey's.
fn command(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[
            b"get",
            b"SET",
            b"mset",
            b"MsetEx",
            b"msetnx",
            b"lcs",
            b"bitfield",
            b"bitop",
            b"pfcount",
            b"PfMerge",
            b"del",
            b"copy",
            b"rename",
            b"expire",
            b"object",
            b"object|encoding",
            b"client|kill",
            b"config|get",
            b"command",
            b"command|docs",
            b"scan",
            b"swapdb",
            b"ping",
            b"nothing",
            b"client|nothing",
            b"",
            b"get|nothing",
        ],
    )
}

fn category(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"string", b"keyspace", b"fast", b"SLOW", b"dangerous", b"nothing", b""])
}

fn parameter(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[
            b"maxclients",
            b"timeout",
            b"databases",
            b"TCP-KEEPALIVE",
            b"tcp-keepalive",
            b"hz",
            b"proto-max-bulk-len",
            b"requirepass",
            b"nothing",
            b"",
            b"max*clients",
            b"tcp-[bk]*",
            b"client-query-buffer-limit",
        ],
    )
}

fn section(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[
            b"server",
            b"Clients",
            b"memory",
            b"persistence",
            b"stats",
            b"replication",
            b"cpu",
            b"commandstats",
            b"latencystats",
            b"errorstats",
            b"cluster",
            b"modules",
            b"keyspace",
            b"all",
            b"default",
            b"everything",
            b"nothing",
            b"",
        ],
    )
}

fn pause(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"0", b"0.001", b"-1", b"x", b"", b"1e-4"])
}

/// How long a command waits: never for long, since nobody comes.
fn timeout(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"0.001", b"0.0001", b"2e-3", b"-1", b"x", b"", b"1e400", b"nan"])
}

fn bit(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.95) {
        pick(rng, &[b"0", b"1"])
    } else {
        pick(rng, &[b"2", b"-1", b"01", b"", b"x", b"1.0"])
    }
}

/// Small ones, and some that no string has.
fn bit_offset(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0..=14 => rng.random_range(0..200).to_string().into_bytes(),
        15 | 16 => pick(rng, &[b"0", b"7", b"8", b"63", b"64", b"65", b"1023", b"1024"]),
        17 => rng.random_range(0..30_000).to_string().into_bytes(),
        _ => pick(rng, &[b"4294967296", b"-1", b"9223372036854775807", b"x", b"", b"01", b"#1"]),
    }
}

/// A place in a string, counted in bytes or bits from either end.
fn bit_index(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.5) {
        rng.random_range(-200..200).to_string().into_bytes()
    } else {
        index(rng)
    }
}

fn field_type(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.95) {
        let (sign, most) = if rng.random() { ('i', 64) } else { ('u', 63) };
        let bits =
            *[1, 2, 7, 8, 9, 16, 32, 63, rng.random_range(1..=most), most].choose(rng).unwrap();
        format!("{sign}{bits}").into_bytes()
    } else {
        pick(rng, &[b"u64", b"i65", b"u0", b"i-1", b"u", b"i", b"", b"U8", b"u08", b"8", b"u8 "])
    }
}

/// Counted in bits or, after `#`, in fields; that far, a product may overflow.
fn field_offset(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=4 => bit_offset(rng),
        5..=8 => format!("#{}", rng.random_range(0..30)).into_bytes(),
        _ => pick(
            rng,
            &[b"#4294967296", b"#-1", b"#9223372036854775807", b"#", b"##1", b"#01", b"#x", b"#1 "],
        ),
    }
}

/// Elements that are counted: the same ones often, or ever new ones.
fn element(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=3 => rng.random_range(0..100).to_string().into_bytes(),
        4..=7 => rng.random_range(0..1_000_000).to_string().into_bytes(),
        _ => value(rng),
    }
}

/// HyperLogLogs that PFADD has not made: dense ones, sparse ones with runs of every kind, and corrupt
/// ones. Of these last ones none lets one element pass and not another: Valkey then keeps what was
/// added before the error, and this server does not.
fn sketch(rng: &mut StdRng) -> Vec<u8> {
    const REGISTERS: usize = 16_384;
    let mut cache: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x80];
    if rng.random_bool(0.2) {
        cache = rng.random_range(0..100_000u64).to_le_bytes();
    }
    let with_header = |encoding: u8, registers: &[u8]| {
        [&b"HYLL"[..], &[encoding, 0, 0, 0], &cache, registers].concat()
    };
    match rng.random_range(0..20) {
        0..=4 => {
            let density = rng.random_range(0.0..1.0);
            let byte = |rng: &mut StdRng| if rng.random_bool(density) { rng.random() } else { 0 };
            let registers = (0..12_288).map(|_| byte(rng)).collect::<Vec<_>>();
            with_header(0, &registers)
        }
        5..=17 => {
            let longest = *[4, 64, 300, 5000].choose(rng).unwrap();
            let value = rng.random_range(1..30);
            let mut runs = Vec::new();
            let mut left = REGISTERS;
            while left > 0 {
                let len = rng.random_range(1..=longest.min(left));
                left -= match rng.random_range(0..3) {
                    0 => {
                        runs.push(len.min(64) as u8 - 1);
                        len.min(64)
                    }
                    1 => {
                        runs.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]);
                        len
                    }
                    _ => {
                        let value = (value + rng.random_range(0..2)) as u8;
                        runs.push(0x80 | (value << 2) | (len.min(4) - 1) as u8);
                        len.min(4)
                    }
                };
            }
            with_header(1, &runs)
        }
        _ => {
            let registers: &[&[u8]] =
                &[b"", b"\x00", b"\x7f\xff\x00", b"\x7f\xff\x80", b"\x7f\xff\x7f"];
            let encoding = *[0, 1, 1, 1, 2].choose(rng).unwrap();
            with_header(encoding, registers.choose(rng).unwrap())
        }
    }
}

/// A key that is a stream more often than any other.
fn stream(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.9) {
        pick(rng, &[b"stream:1", b"stream:2", b"stream:3"])
    } else {
        key(rng)
    }
}

fn group(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.95) { pick(rng, &[b"group:1", b"group:2"]) } else { key(rng) }
}

fn consumer(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.95) { pick(rng, &[b"ann", b"bob", b"cyd"]) } else { key(rng) }
}

/// Ids that entries have, and what looks like one.
fn entry_id(rng: &mut StdRng) -> Vec<u8> {
    const ODD: &[&[u8]] = &[
        b"0",
        b"0-0",
        b"0-1",
        b"18446744073709551615-18446744073709551615",
        b"18446744073709551615",
        b"18446744073709551615-0",
        b"18446744073709551616",
        b"1-18446744073709551616",
        b"9223372036854775808-1",
        b"-1",
        b"1-",
        b"1--1",
        b"1-1-1",
        b"01-01",
        b"+1-+1",
        b" 1-1",
        b"1-1 ",
        b"1-1\0",
        b"1\0-1",
        b"-",
        b"+",
        b"$",
        b">",
        b"(1-1",
        b"",
        b"x",
        b"1-x",
        b"x-1",
    ];
    match rng.random_range(0..20) {
        0 => pick(rng, ODD),
        1..=3 => rng.random_range(0..21u32).to_string().into_bytes(),
        4..=6 => format!("20-{}", rng.random_range(0..60u32)).into_bytes(),
        _ => format!("{}-{}", rng.random_range(0..21u32), rng.random_range(0..8u32)).into_bytes(),
    }
}

/// An id to add an entry under: most often one that is greater than all before it.
fn new_id(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..40) {
        0 => pick(rng, &[b"0-*", b"-*", b"*-1", b"5-**", b"18446744073709551615-*", b"1000000-*"]),
        1 => entry_id(rng),
        2..=9 => format!("{}-*", rng.random_range(0..20u32)).into_bytes(),
        10..=15 => {
            format!("{}-{}", rng.random_range(0..20u32), rng.random_range(0..8u32)).into_bytes()
        }
        16..=20 => format!("20-{}", rng.random_range(0..60u32)).into_bytes(),
        _ => b"20-*".to_vec(),
    }
}

/// One end of a range of ids.
fn bound(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=2 => b"-".to_vec(),
        3..=5 => b"+".to_vec(),
        6 => [b"(", entry_id(rng).as_slice()].concat(),
        7 => b"0".to_vec(),
        _ => entry_id(rng),
    }
}

fn read_id(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=4 => b">".to_vec(),
        5 => pick(rng, &[b"$", b"+", b"-"]),
        6 => b"0".to_vec(),
        _ => entry_id(rng),
    }
}

fn field_name(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.8) { pick(rng, &[b"a", b"a", b"b", b"7"]) } else { value(rng) }
}

/// How many: of all entries, or fewer.
fn length(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0 => integer(rng),
        1 => pick(rng, &[b"0", b"-1"]),
        2..=5 => rng.random_range(0..4u32).to_string().into_bytes(),
        _ => rng.random_range(0..60u32).to_string().into_bytes(),
    }
}

/// Milliseconds that an entry has been with a consumer: none, or more than `min_idle` asks for.
fn idle(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"0", b"500000000", b"700000000", b"-1", b"9223372036854775807", b"x", b""])
}

/// Milliseconds that no test takes.
fn min_idle(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"0", b"0", b"0", b"100000000", b"-1", b"9223372036854775807", b"x", b"1.5"])
}

fn bad_timeout(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"-1", b"x", b"", b"1.5", b"9223372036854775807", b"9223372036854775808"])
}

/// Mostly keys that only sets are stored at, so that these have the time to grow.
fn set_key(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.9) {
        pick(rng, &[b"set:1", b"set:2", b"set:3", b"{tag}set", b"set:none"])
    } else {
        key(rng)
    }
}

/// Few enough that sets have members in common.
fn set_member(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..40) {
        0..=25 => rng.random_range(-5..25i64).to_string().into_bytes(),
        26..=33 => pick(rng, &[b"a", b"b", b"c", b"d", b"e", b"", b"f", b"foo"]),
        34..=36 => pick(
            rng,
            &[
                b"32767",
                b"32768",
                b"-32769",
                b"2147483648",
                b"-2147483649",
                b"9223372036854775807",
                b"-9223372036854775808",
                b"9223372036854775808",
            ],
        ),
        37 | 38 => vec![b'x'; rng.random_range(18..23)],
        _ => value(rng),
    }
}

fn zset(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.9) {
        pick(rng, &[b"zset:1", b"zset:2", b"zset:3", b"{tag}zset", b"zset:none"])
    } else {
        key(rng)
    }
}

fn zset_target(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.7) { zset(rng) } else { pick(rng, &[b"zset:4", b"zset:5"]) }
}

/// Few enough that sorted sets have members in common, with each other and with sets.
fn zset_member(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..40) {
        0..=36 => set_member(rng),
        _ => pick(rng, &[b"-0", b"1.5", b"inf", b"10", b"x\0y", b"01"]),
    }
}

fn score(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0..=9 => rng.random_range(-10..20i64).to_string().into_bytes(),
        10..=12 => pick(rng, &[b"0.5", b"-2.25", b"1e3", b"inf", b"-inf", b"0", b"-0", b"1e23"]),
        13..=16 => format!("{}", rng.random_range(-1e6..1e6)).into_bytes(),
        17 => pick(rng, &[b"4611686018427387904", b"4611686018427388928", b"-9223372036854775808"]),
        _ => float(rng),
    }
}

/// An end of a range by score.
fn score_bound(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0 => pick(rng, &[b"-inf", b"+inf", b"(inf", b"(-inf", b"", b"(", b"((1", b"( 1", b"1e400"]),
        1..=3 => [&b"("[..], &score(rng)].concat(),
        _ => score(rng),
    }
}

fn weight(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0..=6 => pick(rng, &[b"1", b"2", b"0", b"-1", b"0.5", b"3", b"1.1"]),
        7 => pick(rng, &[b"inf", b"-inf", b"1e300"]),
        _ => score(rng),
    }
}

/// Sorted sets whose members all have the same score, which nothing else uses: only these have ranges
/// by member.
fn lex_set(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"lex:1", b"lex:2", b"lex:none"])
}

fn lex_member(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0 => value(rng),
        1 | 2 => rng.random_range(0..30).to_string().into_bytes(),
        _ => {
            let len = rng.random_range(0..3);
            (0..len).map(|_| *b"abcd".choose(rng).unwrap()).collect()
        }
    }
}

fn lex_bound(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0..=3 => b"-".to_vec(),
        4..=7 => b"+".to_vec(),
        8 => lex_member(rng),
        9..=12 => [&b"("[..], &lex_member(rng)].concat(),
        _ => [&b"["[..], &lex_member(rng)].concat(),
    }
}

fn geo_set(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0 => zset(rng),
        _ => pick(rng, &[b"geo:1", b"geo:2", b"{tag}geo", b"geo:none"]),
    }
}

fn place(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0 => value(rng),
        _ => rng.random_range(0..40).to_string().into_bytes(),
    }
}

/// Many in one region, some all over the world and at its ends.
fn longitude(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0..=11 => format!("{:.4}", rng.random_range(10.0..20.0)).into_bytes(),
        12..=17 => format!("{:.6}", rng.random_range(-180.0..180.0)).into_bytes(),
        18 => pick(rng, &[b"180", b"-180", b"0", b"-0", b"179.9999", b"-179.9999"]),
        _ => float(rng),
    }
}

fn latitude(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0..=11 => format!("{:.4}", rng.random_range(35.0..45.0)).into_bytes(),
        12..=17 => format!("{:.6}", rng.random_range(-85.0..85.0)).into_bytes(),
        18 => pick(rng, &[b"85.05112878", b"-85.05112878", b"0", b"85.06", b"80.1", b"-66.5"]),
        _ => float(rng),
    }
}

fn distance(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0..=9 => rng.random_range(0..2000).to_string().into_bytes(),
        10..=14 => format!("{:.3}", rng.random_range(0.0..20000.0)).into_bytes(),
        15..=17 => pick(rng, &[b"0", b"30000", b"1e9", b"0.5", b"inf", b"-1"]),
        _ => float(rng),
    }
}

fn unit(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"m", b"km", b"km", b"km", b"km", b"mi", b"mi", b"FT", b"Km", b"x"])
}

fn sort_key(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.95) {
        pick(rng, &[b"sort:list", b"sort:set", b"sort:zset", b"sort:none"])
    } else {
        key(rng)
    }
}

fn sort_sequence(rng: &mut StdRng) -> Vec<u8> {
    pick(rng, &[b"sort:list", b"sort:zset"])
}

/// No zero bytes: texts that differ only after one are equal when they are collated.
fn sort_element(rng: &mut StdRng) -> Vec<u8> {
    if rng.random_bool(0.97) {
        rng.random_range(-3..30i64).to_string().into_bytes()
    } else {
        pick(rng, &[b"a", b"B", b"", b"abcdefgh", b"abcdefghi", b"abcdefghj", "ä".as_bytes()])
    }
}

fn sort_number(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..40) {
        0..=29 => rng.random_range(-10..10i64).to_string().into_bytes(),
        30..=38 => pick(
            rng,
            &[b"1.5", b"1.50", b"-0", b"+1", b"01", b".5", b"1e1", b"inf", b"-inf", b"1e-300"],
        ),
        _ => pick(rng, &[b"x", b"", b"nan", b" 1", b"0x1"]),
    }
}

fn sort_by(rng: &mut StdRng) -> Vec<u8> {
    pick(
        rng,
        &[
            b"sort:weight:*",
            b"sort:weight:*",
            b"sort:hash:*->f",
            b"sort:hash:*->f->g",
            b"sort:hash:*->*",
            b"sort:hash:*",
            b"sort:hash:*->",
            b"*",
            b"sort:none:*->f",
        ],
    )
}

fn sort_get(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => b"#".to_vec(),
        1 => pick(rng, &[b"sort:set", b"", b"**", b"##", b"#*", b"sort:list*"]),
        _ => sort_by(rng),
    }
}

/// Any argument at all.
pub fn anything(rng: &mut StdRng) -> Vec<u8> {
    const POOLS: &[Pool] = &[key, value, integer, float, index, pattern, seconds, db, type_name];
    POOLS.choose(rng).unwrap()(rng)
}

/// What DUMP might have answered: values of all versions, some of them damaged (`tests/dump`).
fn payload(rng: &mut StdRng) -> Vec<u8> {
    static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let all = payloads::all().filter(Payload::is_certain);
        all.map(|payload| payload.sealed()).collect()
    });
    let mut payload = PAYLOADS.choose(rng).unwrap().clone();
    if rng.random_bool(0.02) {
        let at = rng.random_range(0..payload.len());
        payload[at] ^= 1 << rng.random_range(0..8);
    }
    payload
}
