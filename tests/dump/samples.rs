//! Values of every type and encoding, each as the commands that make it.

use crate::common::Client;

/// The key under which a sample is made.
pub const KEY: &[u8] = b"key";

#[derive(Clone)]
pub struct Sample {
    pub name: String,
    commands: Vec<Vec<Vec<u8>>>,
    /// Its dump has always the same bytes, whoever makes it.
    pub is_fixed: bool,
}

impl Sample {
    fn new(name: impl Into<String>) -> Sample {
        Sample { name: name.into(), commands: Vec::new(), is_fixed: true }
    }

    /// A table has its own order.
    fn unordered(self) -> Sample {
        Sample { is_fixed: false, ..self }
    }

    /// When it is made stands in it.
    fn timed(self) -> Sample {
        Sample { is_fixed: false, ..self }
    }

    /// One more command: its name, then the key, then these words.
    fn then<W: AsRef<[u8]>>(mut self, command: &str, words: impl IntoIterator<Item = W>) -> Sample {
        let start = [command.as_bytes().to_vec(), KEY.to_vec()];
        let words = words.into_iter().map(|word| word.as_ref().to_vec());
        self.commands.push(start.into_iter().chain(words).collect());
        self
    }

    /// One more command: as it is typed, with KEY for the key.
    fn typed(mut self, line: &str) -> Sample {
        let words = line.split_ascii_whitespace().map(|word| match word {
            "KEY" => KEY.to_vec(),
            word => word.as_bytes().to_vec(),
        });
        self.commands.push(words.collect());
        self
    }

    /// Makes the value on a server.
    pub fn make(&self, client: &mut Client) {
        client.command(&[&b"DEL"[..], KEY]);
        for command in &self.commands {
            let reply = client.command(command);
            assert!(!matches!(reply, crate::common::Value::Error(_)), "{}: {reply}", self.name);
        }
    }
}

/// Every kind of value.
pub fn all() -> Vec<Sample> {
    [strings(), lists(), sets(), hashes(), sorted_sets(), streams()].concat()
}

/// Elements in all the forms that a listpack has for them.
fn elements() -> Vec<Vec<u8>> {
    let mut numbers = vec![0, 1, -1, i64::MAX, i64::MIN];
    for bits in [7, 12, 15, 23, 31] {
        let limit = 1i64 << bits;
        numbers.extend([limit - 1, limit, -limit, -limit - 1]);
    }
    let texts = [1, 20, 63, 64].map(|len| "x".repeat(len)).map(String::into_bytes);
    let odd = ["", "01", "-0", "1.5", "\0\r\n", "99999999999999999999"];
    let numbers = numbers.into_iter().map(|number| number.to_string().into_bytes());
    numbers.chain(texts).chain(odd.map(|text| text.as_bytes().to_vec())).collect()
}

/// As many different texts.
fn texts(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("element {index}")).collect()
}

fn strings() -> Vec<Sample> {
    let numbers = [
        0,
        1,
        -1,
        127,
        128,
        -128,
        -129,
        32767,
        32768,
        -32768,
        -32769,
        2147483647,
        2147483648,
        -2147483648,
        -2147483649,
        i64::MAX,
        i64::MIN,
    ];
    let numbers = numbers.map(|number| number.to_string().into_bytes());
    let texts = ["", "a", "01", "-0", "+1", "1.0", " 1", "99999999999999999999", "hello"];
    let long = [20, 21, 63, 64, 100, 16383, 16384, 100_000];
    let long = long.iter().flat_map(|&len| {
        let mixed = (0..len).map(|n| (n * n / 7) as u8).collect::<Vec<_>>();
        [vec![b'x'; len], mixed]
    });
    numbers
        .into_iter()
        .chain(texts.map(|text| text.as_bytes().to_vec()))
        .chain(long)
        .map(|value| {
            let start = String::from_utf8_lossy(&value[..value.len().min(20)]).into_owned();
            Sample::new(format!("string {start:?} of {}", value.len())).then("SET", [value])
        })
        .chain([Sample::new("string of digits").then("SET", ["1"]).then("APPEND", ["2"])])
        .collect()
}

fn lists() -> Vec<Sample> {
    let new = |name: &str| Sample::new(format!("list of {name}"));
    vec![
        new("one").then("RPUSH", ["a"]),
        new("all forms").then("RPUSH", elements()),
        new("many").then("RPUSH", texts(5000)),
        new("long ones").then("RPUSH", (1..40).map(|n| "y".repeat(100 * n))),
        new("very long ones").then("RPUSH", ["a".repeat(9000), "b".into(), "c".repeat(70_000)]),
        new("a very long one").then("RPUSH", ["5".repeat(9000)]),
        new("those pushed to the left").then("LPUSH", texts(3000)),
        new("what shrank").then("RPUSH", texts(3000)).then("LTRIM", ["10", "20"]),
    ]
}

fn sets() -> Vec<Sample> {
    let new = |name: &str| Sample::new(format!("set of {name}"));
    let numbers = |count: i64, factor: i64| (0..count).map(move |n| (n * factor).to_string());
    vec![
        new("small integers").then("SADD", ["3", "-1", "2", "32767"]),
        new("middle integers").then("SADD", ["3", "-1", "2147483647"]),
        new("great integers").then("SADD", ["3", "-9223372036854775808", "9223372036854775807"]),
        new("as many integers as fit").then("SADD", numbers(512, 1000)),
        new("many integers").then("SADD", numbers(513, 1000)).unordered(),
        new("all forms").then("SADD", elements()),
        new("as many texts as fit").then("SADD", texts(128)),
        new("many texts").then("SADD", texts(129)).unordered(),
        new("very many texts").then("SADD", texts(20_000)).unordered(),
        new("one long text").then("SADD", ["z".repeat(65)]),
        new("several long texts")
            .then("SADD", ["z".repeat(65), "a".into(), "1".into()])
            .unordered(),
    ]
}

fn hashes() -> Vec<Sample> {
    let new = |name: &str| Sample::new(format!("hash of {name}"));
    let fields = |count: usize| texts(count).into_iter().flat_map(|name| [name.clone(), name]);
    let far = ["33177117420000", "FIELDS", "2", "a", "b"];
    vec![
        new("one").then("HSET", ["field", "value"]),
        new("all forms").then("HSET", elements().into_iter().flat_map(|e| [e.clone(), e])),
        new("as many fields as fit").then("HSET", fields(512)),
        new("many fields").then("HSET", fields(513)).unordered(),
        new("very many fields").then("HSET", fields(20_000)).unordered(),
        new("one long name").then("HSET", ["z".repeat(65), "1".into()]),
        new("one long value").then("HSET", ["1".into(), "z".repeat(100_000)]),
        new("a field that expires")
            .then("HSET", ["a", "1"])
            .typed("HPEXPIREAT KEY 33177117420000 FIELDS 1 a"),
        new("fields that expire and others")
            .then("HSET", ["a", "1", "b", "2", "c", "3"])
            .then("HPEXPIREAT", far)
            .unordered(),
        new("a field that expires no more")
            .then("HSET", ["a", "1"])
            .typed("HPEXPIREAT KEY 33177117420000 FIELDS 1 a")
            .typed("HPERSIST KEY FIELDS 1 a")
            // A table until it is restored.
            .unordered(),
    ]
}

fn sorted_sets() -> Vec<Sample> {
    let new = |name: &str| Sample::new(format!("sorted set of {name}"));
    let members = |count: usize| {
        let numbered = texts(count).into_iter().enumerate();
        numbered.flat_map(|(index, member)| [(index as f64 / 3.0).to_string(), member])
    };
    let scores = [
        "0",
        "-0",
        "1",
        "-1",
        "1.5",
        "0.1",
        "3.1415926535897931",
        "1e300",
        "-1e-300",
        "inf",
        "-inf",
        "9007199254740993",
        "1e17",
        "123456789012",
        "5e-324",
    ];
    let scored = |long: &str| {
        let members = scores.iter().enumerate().map(|(index, score)| (index.to_string(), *score));
        let scored = members.flat_map(|(member, score)| [score.to_owned(), member]);
        scored.chain(["7".to_owned(), long.to_owned()]).collect::<Vec<_>>()
    };
    vec![
        new("one").then("ZADD", ["1", "a"]),
        new("all scores").then("ZADD", scored("a")),
        new("all scores, and a long member").then("ZADD", scored(&"z".repeat(65))),
        new("equal scores").then("ZADD", elements().into_iter().flat_map(|e| [b"1".to_vec(), e])),
        new("as many as fit").then("ZADD", members(128)),
        new("many").then("ZADD", members(129)),
        new("very many").then("ZADD", members(20_000)),
    ]
}

fn streams() -> Vec<Sample> {
    let new = |name: &str| Sample::new(format!("stream {name}"));
    let one = |name: &str| new(name).typed("XADD KEY 1-1 field value");
    let filled = |name: &str, count: u64| {
        (1..=count).fold(new(name), |sample, n| {
            let id = format!("{}-{}", 1_700_000_000_000 + n / 3, n);
            let value = format!("value {n}");
            match n % 10 {
                7 => sample.then("XADD", [&id, "another", &value]),
                _ => sample.then("XADD", [&id, "field", &value, "number", &n.to_string()]),
            }
        })
    };
    vec![
        one("of one"),
        new("of all forms").then(
            "XADD",
            [b"1-1".to_vec()]
                .into_iter()
                .chain(elements().into_iter().flat_map(|e| [e.clone(), e])),
        ),
        filled("of many", 1000),
        new("with IDs far apart")
            .typed("XADD KEY 0-1 a b")
            .typed("XADD KEY 5-18446744073709551615 a b")
            .typed("XADD KEY 18446744073709551615-0 a b"),
        one("that was emptied").typed("XDEL KEY 1-1"),
        filled("with gaps", 300)
            .typed("XDEL KEY 1700000000000-1 1700000000001-4 1700000000033-100")
            .typed("XTRIM KEY MINID 1700000000001-5"),
        one("with a group").typed("XGROUP CREATE KEY group 0"),
        one("with a group that read").typed("XGROUP CREATE KEY group 1-1 ENTRIESREAD 1"),
        filled("with groups", 50)
            .typed("XGROUP CREATE KEY first 0")
            .typed("XGROUP CREATE KEY second $")
            .typed("XGROUP CREATECONSUMER KEY first idle")
            .typed("XREADGROUP GROUP first alice COUNT 10 STREAMS KEY >")
            .typed("XREADGROUP GROUP first bob COUNT 5 STREAMS KEY >")
            .typed("XACK KEY first 1700000000000-1 1700000000000-2")
            .typed("XCLAIM KEY first bob 0 1700000000001-3 TIME 1700000000000 RETRYCOUNT 7")
            .typed("XDEL KEY 1700000000001-4")
            .timed(),
        one("of a configured ID").typed("XSETID KEY 9-9 ENTRIESADDED 20 MAXDELETEDID 7-7"),
    ]
}
