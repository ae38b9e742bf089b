//! The tests: which commands they send.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::options::Options;
use super::pipeline::Command;

/// One test, one line of the report.
pub struct Test {
    /// What the report calls it.
    pub title: String,
    pub command: Arc<Command>,
}

impl Test {
    /// The title without what stands in parentheses.
    pub fn name(&self) -> &str {
        self.title.split_once(" (").map_or(&self.title, |(name, _)| name)
    }
}

/// A test that `-t` can name: its name, its title, and its arguments separated by spaces.
const TESTS: &[(&str, &str, &str)] = &[
    ("ping_mbulk", "PING_MBULK", "PING"),
    ("set", "SET", "SET key:__rand_int__ __data__"),
    ("get", "GET", "GET key:__rand_int__"),
    ("incr", "INCR", "INCR counter:__rand_int__"),
    ("lpush", "LPUSH", "LPUSH mylist __data__"),
    ("rpush", "RPUSH", "RPUSH mylist __data__"),
    ("lpop", "LPOP", "LPOP mylist"),
    ("rpop", "RPOP", "RPOP mylist"),
    ("sadd", "SADD", "SADD myset element:__rand_int__"),
    ("hset", "HSET", "HSET myhash element:__rand_int__ __data__"),
    ("spop", "SPOP", "SPOP myset"),
    ("zadd", "ZADD", "ZADD myzset __rand_score__ element:__rand_int__"),
    ("zpopmin", "ZPOPMIN", "ZPOPMIN myzset"),
    (LRANGE_FILL, "LPUSH (needed to benchmark LRANGE)", "LPUSH mylist __data__"),
    ("lrange_100", "LRANGE_100 (first 100 elements)", "LRANGE mylist 0 99"),
    ("lrange_300", "LRANGE_300 (first 300 elements)", "LRANGE mylist 0 299"),
    ("lrange_500", "LRANGE_500 (first 500 elements)", "LRANGE mylist 0 499"),
    ("lrange_600", "LRANGE_600 (first 600 elements)", "LRANGE mylist 0 599"),
    ("mset", "MSET (10 keys)", "MSET"),
    ("mget", "MGET (10 keys)", "MGET"),
    ("xadd", "XADD", "XADD mystream * myfield __data__"),
    ("multi", "MULTI (10 SETs and EXEC)", "MULTI"),
];

/// Belongs to every LRANGE test.
const LRANGE_FILL: &str = "lrange_fill";

/// Keys of one MSET, MGET or transaction.
const KEYS: usize = 10;

/// The tests that the options ask for. `stdin` is the last argument of the user's command.
///
/// # Errors
/// `InvalidInput` for a test that does not exist, and for options that exclude each other.
pub fn tests(options: &Options, stdin: &Option<Vec<u8>>) -> io::Result<Vec<Test>> {
    if options.rate.is_some() && options.keep_alive == 0 {
        return Err(invalid("--rate keeps the connections, and -k 0 does not".to_owned()));
    }
    let data = data(options.size as usize);
    if !options.command.is_empty() {
        let mut args: Vec<&[u8]> = options.command.iter().map(|arg| arg.as_bytes()).collect();
        let title = String::from_utf8_lossy(&args.join(&b' ')).into_owned();
        args.extend(stdin.as_deref());
        return Ok(vec![Test { title, command: Arc::new(Command::new(&args, &data)) }]);
    }
    if stdin.is_some() {
        return Err(invalid("-x adds an argument to a command, and there is none".to_owned()));
    }
    for name in &options.tests {
        let known = TESTS.iter().any(|(test, ..)| matches(test, name));
        if !known && !matches(PING_INLINE, name) {
            let names: Vec<_> =
                TESTS.iter().map(|(test, ..)| *test).filter(|test| *test != LRANGE_FILL).collect();
            return Err(invalid(format!(
                "there is no test '{name}'; there are {PING_INLINE}, {}",
                names.join(", ")
            )));
        }
    }
    let wanted = |test: &str| {
        options.tests.is_empty() || options.tests.iter().any(|name| matches(test, name))
    };
    let mut tests = Vec::new();
    if wanted(PING_INLINE) {
        tests.push(Test {
            title: "PING_INLINE".to_owned(),
            command: Arc::new(Command::inline("PING")),
        });
    }
    for (name, title, line) in TESTS.iter().filter(|(name, ..)| wanted(name)) {
        let line = match *name {
            "mset" => format!("{line}{}", " key:__rand_int__ __data__".repeat(KEYS)),
            "mget" => format!("{line}{}", " key:__rand_int__".repeat(KEYS)),
            // Without a range the members differ in nothing, and so do the scores.
            "zadd" if options.keyspace.is_none() => line.replace("__rand_score__", "0"),
            _ => line.replace("__rand_score__", "__rand_int__"),
        };
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let command = match *name {
            "multi" => transaction(&data),
            _ => Command::new(&args, &data),
        };
        tests.push(Test { title: (*title).to_owned(), command: Arc::new(command) });
    }
    Ok(tests)
}

/// A transaction of SETs, sent in one piece.
fn transaction(data: &[u8]) -> Command {
    let set: &[&[u8]] = &[b"SET", b"key:__rand_int__", b"__data__"];
    let mut commands = vec![set; KEYS + 2];
    commands[0] = &[b"MULTI"];
    commands[KEYS + 1] = &[b"EXEC"];
    Command::sequence(&commands, data)
}

const PING_INLINE: &str = "ping_inline";

/// Whether the user's `name` means `test`.
fn matches(test: &str, name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    match &*name {
        "ping" | "lrange" => test.starts_with(&name),
        // An LRANGE test needs its list.
        _ if name.starts_with("lrange_") && test == LRANGE_FILL => name != LRANGE_FILL,
        _ => test == name && test != LRANGE_FILL,
    }
}

/// A value: letters and digits, without a pattern that would compress well.
fn data(size: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = fastrand::Rng::with_seed(1234);
    (0..size).map(|_| LETTERS[random.usize(..LETTERS.len())]).collect()
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn titles(line: &str) -> Vec<String> {
        let options = Options::try_parse_from(line.split(' ')).unwrap();
        tests(&options, &None).unwrap().into_iter().map(|test| test.title).collect()
    }

    #[test]
    fn names_choose_tests_in_the_order_of_the_list() {
        assert_eq!(titles("b -t get,SET"), ["SET", "GET"]);
        assert_eq!(titles("b -t ping"), ["PING_INLINE", "PING_MBULK"]);
        assert_eq!(
            titles("b -t lrange_300"),
            ["LPUSH (needed to benchmark LRANGE)", "LRANGE_300 (first 300 elements)"]
        );
        assert_eq!(titles("b").len(), TESTS.len() + 1);
        assert_eq!(titles("b set __key__ v"), ["set __key__ v"]);
    }

    #[test]
    fn an_unknown_test_is_an_error() {
        let options = Options::try_parse_from(["b", "-t", "gett"]).unwrap();
        assert!(tests(&options, &None).is_err_and(|e| e.to_string().contains("'gett'")));
    }
}
