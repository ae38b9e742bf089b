//! Requests as bytes. A pipeline is encoded once; between sendings only its random numbers change,
//! in place, since they always have the same number of digits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memchr::memmem;
use verbena_transport::Connection;

use crate::tools::client;

/// Digits of a random number.
const DIGITS: usize = 12;

/// The name of a random number in a command. It is as long as the digits that replace it.
const RAND_INT: &[u8; DIGITS] = b"__rand_int__";

/// Length from which a value is sent from where it is, in place of being repeated in the pipeline.
const SHARED_LEN: usize = 16 * 1024;

/// One request, encoded, with the places of its random numbers: a command, or several that are sent
/// together and counted as one.
pub struct Command {
    bytes: Vec<u8>,
    /// Replies to the request.
    replies: usize,
    /// Offsets in `bytes` of the digits.
    numbers: Vec<usize>,
    /// Long values, each with the offset in `bytes` before which it belongs.
    values: Vec<(usize, Bytes)>,
}

impl Command {
    /// Encodes `args`. `__data__` stands for `data`, `__key__` for `key:__rand_int__`.
    pub fn new(args: &[&[u8]], data: &[u8]) -> Command {
        Command::sequence(&[args], data)
    }

    /// Encodes commands that are one request.
    pub fn sequence(commands: &[&[&[u8]]], data: &[u8]) -> Command {
        let mut args: Vec<Vec<u8>> = Vec::new();
        let mut encoded = Vec::new();
        for command in commands {
            let first = args.len();
            args.extend(command.iter().map(|arg| {
                replace(&replace(arg, b"__data__", data), b"__key__", b"key:__rand_int__")
            }));
            client::encode(&args[first..], &mut encoded);
        }
        let numbers: Vec<usize> = memmem::find_iter(&encoded, RAND_INT).collect();

        let mut command = Command {
            bytes: Vec::new(),
            replies: commands.len(),
            numbers: Vec::new(),
            values: Vec::new(),
        };
        let mut copied = 0;
        let mut cut = |command: &mut Command, until: usize, next: usize| {
            let moved = copied..until;
            let base = command.bytes.len();
            command.numbers.extend(
                numbers.iter().filter(|at| moved.contains(*at)).map(|at| base + at - moved.start),
            );
            command.bytes.extend_from_slice(&encoded[moved]);
            copied = next;
        };
        // Long arguments without a number in them are taken out; a search finds where they are.
        let mut searched = 0;
        for arg in &args {
            let start = searched + find(&encoded[searched..], arg);
            searched = start + arg.len();
            let plain = !numbers.iter().any(|at| (start..searched).contains(at));
            if arg.len() >= SHARED_LEN && plain {
                cut(&mut command, start, searched);
                let value = Bytes::copy_from_slice(&encoded[start..searched]);
                command.values.push((command.bytes.len(), value));
            }
        }
        cut(&mut command, encoded.len(), encoded.len());
        command
    }

    /// A request that is a line of text.
    pub fn inline(line: &str) -> Command {
        Command {
            bytes: format!("{line}\r\n").into(),
            replies: 1,
            numbers: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Replies to one request.
    pub fn replies(&self) -> usize {
        self.replies
    }

    /// Bytes of one request.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.bytes.len() + self.values.iter().map(|(_, value)| value.len()).sum::<usize>()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    memmem::find(haystack, needle).expect("an encoded command contains its arguments")
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = text;
    while let Some(at) = memmem::find(rest, from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

/// Where the numbers in the requests come from.
pub enum Numbers {
    /// All are 0.
    Zero,
    /// At random, below the range.
    Random { random: fastrand::Rng, range: u64 },
    /// Counted by all connections together, modulo the range.
    Sequence { next: Arc<AtomicU64>, range: u64 },
}

/// The requests that one connection sends at once.
pub struct Pipeline {
    command: Arc<Command>,
    /// The command's bytes, as often as the pipeline is deep.
    bytes: Vec<u8>,
    numbers: Numbers,
}

impl Pipeline {
    /// A pipeline of `depth` requests, with zeros for numbers.
    pub fn new(command: Arc<Command>, depth: usize, numbers: Numbers) -> Pipeline {
        let mut bytes = command.bytes.repeat(depth);
        for request in bytes.chunks_exact_mut(command.bytes.len()) {
            for &at in &command.numbers {
                request[at..at + DIGITS].fill(b'0');
            }
        }
        Pipeline { command, bytes, numbers }
    }

    /// Puts new numbers into the first `count` requests.
    pub fn renew(&mut self, count: usize) {
        if self.command.numbers.is_empty() {
            return;
        }
        let requests = self.bytes.chunks_exact_mut(self.command.bytes.len()).take(count);
        match &mut self.numbers {
            Numbers::Zero => {}
            Numbers::Random { random, range } => {
                for request in requests {
                    for &at in &self.command.numbers {
                        write_digits(&mut request[at..at + DIGITS], random.u64(..*range));
                    }
                }
            }
            Numbers::Sequence { next, range } => {
                let taken = (count * self.command.numbers.len()) as u64;
                let mut number = next.fetch_add(taken, Ordering::Relaxed);
                for request in requests {
                    for &at in &self.command.numbers {
                        write_digits(&mut request[at..at + DIGITS], number % *range);
                        number += 1;
                    }
                }
            }
        }
    }

    /// Puts the first `count` requests into the stream of `connection`.
    pub fn write(&self, connection: &mut dyn Connection, count: usize) {
        let len = self.command.bytes.len();
        if self.command.values.is_empty() {
            return write(connection, &self.bytes[..len * count]);
        }
        for request in self.bytes.chunks_exact(len).take(count) {
            let mut written = 0;
            for (at, value) in &self.command.values {
                write(connection, &request[written..*at]);
                connection.queue(value.clone());
                written = *at;
            }
            write(connection, &request[written..]);
        }
    }
}

fn write(connection: &mut dyn Connection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (_, space) = connection.buffers();
        let n = space.len().min(bytes.len());
        if n == 0 {
            return connection.queue(Bytes::copy_from_slice(bytes));
        }
        space[..n].copy_from_slice(&bytes[..n]);
        connection.advance(0, n);
        bytes = &bytes[n..];
    }
}

/// Writes `number`, below 10^12, with leading zeros.
fn write_digits(digits: &mut [u8], number: u64) {
    // Two halves that 32-bit arithmetic can divide.
    let (high, low) = (number / 1_000_000, number % 1_000_000);
    for (half, number) in digits.chunks_exact_mut(6).zip([high, low]) {
        let mut number = number as u32;
        for digit in half.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pipeline: &Pipeline) -> String {
        String::from_utf8_lossy(&pipeline.bytes).into_owned()
    }

    #[test]
    fn numbers_change_in_place() {
        let command = Command::new(&[b"SET", b"__key__", b"a__rand_int__b"], b"");
        let len = command.len();
        let numbers = Numbers::Sequence { next: Arc::default(), range: 7 };
        let mut pipeline = Pipeline::new(Arc::new(command), 2, numbers);
        pipeline.renew(2);
        let request =
            |a, b| format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{a:012}\r\n$14\r\na{b:012}b\r\n");
        assert_eq!(text(&pipeline), request(0, 1) + &request(2, 3));
        pipeline.renew(2);
        assert_eq!(text(&pipeline), request(4, 5) + &request(6, 0));
        assert_eq!(len, request(0, 0).len());
    }

    #[test]
    fn without_a_range_all_numbers_are_zero() {
        let command = Command::new(&[b"GET", b"__key__"], b"");
        let mut pipeline = Pipeline::new(Arc::new(command), 1, Numbers::Zero);
        pipeline.renew(1);
        assert_eq!(text(&pipeline), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n");
    }

    #[test]
    fn random_numbers_stay_in_their_range() {
        let command = Command::new(&[b"GET", b"__rand_int__"], b"");
        let numbers = Numbers::Random { random: fastrand::Rng::with_seed(1), range: 10 };
        let mut pipeline = Pipeline::new(Arc::new(command), 1000, numbers);
        pipeline.renew(1000);
        for digit in 0..10 {
            assert!(text(&pipeline).contains(&format!("\r\n{digit:012}\r\n")), "{digit}");
        }
        assert_eq!(text(&pipeline).matches("\r\n00000000000").count(), 1000);
        let mut digits = *b"            ";
        write_digits(&mut digits, 999_999_000_001);
        assert_eq!(&digits, b"999999000001");
    }

    #[test]
    fn several_commands_are_one_request() {
        let set: &[&[u8]] = &[b"SET", b"__key__", b"__data__"];
        let data = vec![b'x'; SHARED_LEN];
        let command = Command::sequence(&[&[b"MULTI"], set, set, &[b"EXEC"]], &data);
        assert_eq!((command.replies(), command.numbers.len(), command.values.len()), (4, 2, 2));
        let numbers = Numbers::Sequence { next: Arc::default(), range: 10 };
        let mut pipeline = Pipeline::new(Arc::new(command), 1, numbers);
        pipeline.renew(1);
        let set = |key| format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n$16384\r\n\r\n");
        let expected = ["*1\r\n$5\r\nMULTI\r\n", &set(0), &set(1), "*1\r\n$4\r\nEXEC\r\n"].concat();
        assert_eq!(text(&pipeline), expected);
    }

    #[test]
    fn a_long_value_is_not_repeated() {
        let data = vec![b'x'; SHARED_LEN];
        let command = Command::new(&[b"SET", b"__key__", b"__data__", b"NX"], &data);
        assert_eq!(command.values.len(), 1);
        let (at, value) = &command.values[0];
        assert_eq!(value, &data);
        let mut whole = command.bytes[..*at].to_vec();
        whole.extend_from_slice(value);
        whole.extend_from_slice(&command.bytes[*at..]);
        let mut expected = Vec::new();
        client::encode(&[&b"SET"[..], b"key:__rand_int__", &data, b"NX"], &mut expected);
        assert_eq!(whole, expected);
        assert_eq!(command.numbers, [22]);
    }
}
