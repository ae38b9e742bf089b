//! The two servers side by side: steps are executed on both, and their outcomes compared.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::SET_MAX_LISTPACK_VALUE;
use crate::common::Server;
use crate::compare::Rule;
use crate::shrink::Bench;
use crate::wire::{Outcome, Reply, Wire, Words, encode, quote};

/// Connections that a round uses; the odd ones speak RESP3.
pub const CONNECTIONS: usize = 4;

/// Databases whose content is compared: those that the `db` pool names.
const DATABASES: [&str; 4] = ["0", "1", "2", "15"];

/// One thing to do on both servers.
#[derive(Clone, Debug)]
pub enum Step {
    Command {
        connection: usize,
        words: Words,
        rule: Rule,
    },
    /// Gives these keys of database 0 so many milliseconds to live, and waits until they are over.
    Expire {
        keys: Words,
    },
    /// Gives fields of these hashes so many milliseconds to live, and waits until they are over.
    ExpireFields {
        keys: Words,
    },
    /// Compares the whole dataset.
    Verify,
}

/// A step whose outcomes differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Its index among the steps that were executed together.
    pub step: usize,
    pub words: Words,
    pub oracle: Outcome,
    pub subject: Outcome,
    pub reason: String,
}

/// One server with a round's connections to it.
struct Side {
    server: Server,
    connections: Vec<Wire>,
}

pub struct Pair {
    oracle: Side,
    subject: Side,
    pub replayed: Replayed,
}

/// What the comparisons of a subject with the replay of its journal have shown.
#[derive(Default)]
pub struct Replayed {
    is_compared: bool,
    records: u64,
}

impl Replayed {
    /// Compares the subject's data with what its journal says. Does nothing of a subject that is not started
    /// with a copy.
    pub fn verify(&mut self, subject: &Server) -> Option<Difference> {
        let comparison = subject.compare_with_journal()?;
        self.is_compared = true;
        self.records = comparison.records;
        let first = comparison.differences.first()?;
        let kind = first.split([' ', ':']).next().unwrap_or_default();
        Some(Difference {
            step: 0,
            words: vec![b"journal".to_vec(), kind.as_bytes().to_vec()],
            oracle: Outcome::Garbage("what was replayed".into()),
            subject: Outcome::Garbage("what there is".into()),
            reason: comparison.differences.join("; "),
        })
    }

    /// Fails if less was replayed than so many steps must have recorded.
    pub fn assert_enough(&self, steps: usize) {
        let Replayed { is_compared, records } = self;
        assert!(!is_compared || *records > steps as u64 / 20, "{steps} steps, {records} records");
    }
}

impl Side {
    fn new(server: Server) -> Side {
        let mut side = Side { server, connections: Vec::new() };
        side.reconnect();
        side
    }

    fn wire(&self) -> Wire {
        Wire::connect(self.server.port()).expect("a connection to the server")
    }

    fn reconnect(&mut self) {
        self.connections = (0..CONNECTIONS).map(|_| self.wire()).collect();
        for connection in self.connections.iter_mut().skip(1).step_by(2) {
            connection.command(&[b"HELLO", b"3"]);
        }
    }

    fn reset(&mut self) {
        let reply = self.wire().command(&[b"FLUSHALL"]);
        assert!(reply.reply().is_some_and(|reply| reply.kind == b'+'), "FLUSHALL: {reply}");
        self.reconnect();
    }
}

impl Bench for Pair {
    type Step = Step;

    fn reset(&mut self) {
        self.oracle.reset();
        self.subject.reset();
    }

    fn execute(&mut self, steps: &[Step]) -> Option<Difference> {
        let mut start = 0;
        while start < steps.len() {
            let end = start + batch_len(&steps[start..]);
            let difference = match &steps[start] {
                Step::Verify => {
                    let (mut oracle, mut subject) = self.connect();
                    verify(&mut oracle, &mut subject).or_else(|| self.verify_journal())
                }
                Step::Expire { keys } => self.expire(keys),
                Step::ExpireFields { keys } => self.expire_fields(keys),
                Step::Command { connection, words, rule } if rule.is_alone() => {
                    self.alone(*connection, words, *rule)
                }
                Step::Command { connection, .. } => self.batch(*connection, &steps[start..end]),
            };
            if let Some(difference) = difference {
                return Some(Difference { step: start + difference.step, ..difference });
            }
            start = end;
        }
        None
    }

    fn script(steps: &[Step]) -> String {
        script(steps)
    }
}

impl Pair {
    pub fn new(oracle: Server, subject: Server) -> Pair {
        let replayed = Replayed::default();
        Pair { oracle: Side::new(oracle), subject: Side::new(subject), replayed }
    }

    /// Compares the subject's data with what its journal says.
    pub fn verify_journal(&mut self) -> Option<Difference> {
        self.replayed.verify(&self.subject.server)
    }

    /// A connection of its own to each server.
    pub fn connect(&self) -> (Wire, Wire) {
        (self.oracle.wire(), self.subject.wire())
    }

    fn wires(&mut self, connection: usize) -> [&mut Wire; 2] {
        [&mut self.oracle.connections[connection], &mut self.subject.connections[connection]]
    }

    /// Sends the commands to both servers, pipelined, then compares the replies.
    fn batch(&mut self, connection: usize, steps: &[Step]) -> Option<Difference> {
        let mut request = Vec::new();
        for step in steps {
            if let Step::Command { words, .. } = step {
                encode(&mut request, words);
            }
        }
        for wire in self.wires(connection) {
            // A server that has closed the connection shows when its reply is read.
            let _ = wire.write(&request);
        }
        for (at, step) in steps.iter().enumerate() {
            let Step::Command { words, rule, .. } = step else {
                unreachable!("a batch of commands")
            };
            let [oracle, subject] = self.wires(connection).map(Wire::read);
            if let Some(reason) = rule.difference(&oracle, &subject) {
                return Some(Difference {
                    step: at,
                    words: words.clone(),
                    oracle,
                    subject,
                    reason,
                });
            }
        }
        None
    }

    /// One command whose effect is looked at more closely.
    fn alone(&mut self, connection: usize, words: &Words, rule: Rule) -> Option<Difference> {
        if rule == Rule::Popped {
            return self.pop(connection, words);
        }
        let words_ref = words.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let [mut oracle, mut subject] = self.wires(connection).map(|wire| match rule {
            Rule::ReplyMode => reply_mode(wire, words),
            _ => wire.command(&words_ref),
        });
        let mut reason = rule.difference(&oracle, &subject);
        let is_done = reason.is_some() || oracle.reply().is_none_or(Reply::is_error);
        match rule {
            Rule::RandomKey if !is_done => reason = self.check_random_key(connection, &subject),
            Rule::Drawn if !is_done => reason = self.check_drawn(connection, words, &subject),
            // From another cursor than 0 the tables' own order shows.
            Rule::Scan if !is_done && words[cursor_at(words)] == b"0" => {
                [oracle, subject] = self.wires(connection).map(|wire| scan(wire, words));
                reason = Rule::Unordered.difference(&oracle, &subject);
            }
            Rule::Closes if !is_done => {
                let rest = self.wires(connection).map(Wire::read_to_end);
                if rest[0] != rest[1] {
                    reason = Some(format!("after the reply came {rest:?}"));
                }
                self.reconnect();
            }
            Rule::Kill => self.reconnect(),
            _ => {}
        }
        reason.map(|reason| Difference { step: 0, words: words.clone(), oracle, subject, reason })
    }

    fn reconnect(&mut self) {
        self.oracle.reconnect();
        self.subject.reconnect();
    }

    /// The subject's random key must be one that the oracle has too.
    fn check_random_key(&mut self, connection: usize, subject: &Outcome) -> Option<String> {
        let key = subject.reply().filter(|reply| !reply.is_nil())?;
        let exists = self.oracle.connections[connection].command(&[b"EXISTS", &key.text]);
        let is_there = exists.reply().and_then(Reply::integer) == Some(1);
        (!is_there).then(|| "the subject's key does not exist".into())
    }

    /// The subject's random members must be ones that the oracle has too, different ones unless the count
    /// is negative.
    fn check_drawn(
        &mut self,
        connection: usize,
        words: &Words,
        subject: &Outcome,
    ) -> Option<String> {
        let all = members(&mut self.oracle.connections[connection], &words[1]);
        let drawn = texts(subject);
        let may_repeat = words.get(2).is_some_and(|count| count.starts_with(b"-"));
        let count = subject.reply().map_or(0, |reply| reply.elements.len());
        if !drawn.is_subset(&all) {
            Some("a member is not in the set".into())
        } else if !may_repeat && drawn.len() < count {
            Some("a member is there twice".into())
        } else {
            None
        }
    }

    /// SPOP: the members that the subject gives must be those that it has no more. The two sets are
    /// then made the same again, of what the oracle has left.
    fn pop(&mut self, connection: usize, words: &Words) -> Option<Difference> {
        let words_ref = words.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let key = words.get(1).cloned().unwrap_or_default();
        let before = members(&mut self.subject.connections[connection], &key);
        let [oracle, subject] = self.wires(connection).map(|wire| wire.command(&words_ref));
        let encodings =
            self.wires(connection).map(|wire| wire.command(&[b"OBJECT", b"ENCODING", &key]));
        let left = self.wires(connection).map(|wire| members(wire, &key));
        let popped = before.difference(&left[1]).cloned().collect::<BTreeSet<_>>();
        let reason = Rule::Popped.difference(&oracle, &subject).or_else(|| {
            if oracle.reply().is_none_or(Reply::is_error) {
                None
            } else if texts(&subject) != popped {
                Some("what was popped is not what is missing".into())
            } else if left[0].len() != left[1].len() {
                Some("there is not as much left".into())
            } else if before.iter().any(|member| member.len() > SET_MAX_LISTPACK_VALUE) {
                // How the rest is encoded depends on which members went.
                None
            } else {
                Rule::Exact.difference(&encodings[0], &encodings[1])
            }
        });
        if left[0] != left[1] {
            let mut add: Vec<&[u8]> = vec![b"SADD", &key];
            add.extend(left[0].iter().map(Vec::as_slice));
            for wire in self.wires(connection) {
                wire.command(&[b"DEL", &key]);
                wire.command(&add);
            }
        }
        reason.map(|reason| Difference { step: 0, words: words.clone(), oracle, subject, reason })
    }

    fn expire(&mut self, keys: &Words) -> Option<Difference> {
        let (mut oracle, mut subject) = self.connect();
        let differs = |words: Words, oracle: Outcome, subject: Outcome| {
            let reason = Rule::Exact.difference(&oracle, &subject)?;
            Some(Difference { step: 0, words, oracle, subject, reason })
        };
        let run = |wire: &mut Wire, words: &[&[u8]]| wire.command(words);
        for key in keys {
            let words: [&[u8]; 5] = [b"SET", key, b"short-lived", b"PX", b"15"];
            let (a, b) = (run(&mut oracle, &words), run(&mut subject, &words));
            let difference = differs(words.map(<[u8]>::to_vec).to_vec(), a, b);
            if difference.is_some() {
                return difference;
            }
        }
        // Time itself is what is waited for.
        std::thread::sleep(Duration::from_millis(20));
        for key in keys {
            for command in [&b"GET"[..], b"TTL", b"TYPE", b"EXISTS"] {
                let words = [command, key];
                let (a, b) = (run(&mut oracle, &words), run(&mut subject, &words));
                let difference = differs(words.map(<[u8]>::to_vec).to_vec(), a, b);
                if difference.is_some() {
                    return difference;
                }
            }
        }
        None
    }

    fn expire_fields(&mut self, keys: &Words) -> Option<Difference> {
        let (mut oracle, mut subject) = self.connect();
        for key in keys {
            let words = expiring_fields(key);
            let words_ref = words.iter().map(Vec::as_slice).collect::<Vec<_>>();
            let (oracle, subject) = (oracle.command(&words_ref), subject.command(&words_ref));
            if let Some(reason) = Rule::Exact.difference(&oracle, &subject) {
                return Some(Difference { step: 0, words, oracle, subject, reason });
            }
        }
        std::thread::sleep(Duration::from_millis(20));
        None
    }
}

/// Compares every database: its keys, and of each its type, encoding, expiry and value.
pub fn verify(oracle: &mut Wire, subject: &mut Wire) -> Option<Difference> {
    let mut compare = |words: &[&[u8]], rule: Rule| {
        let (a, b) = (oracle.command(words), subject.command(words));
        let difference = rule.difference(&a, &b).map(|reason| Difference {
            step: 0,
            words: words.iter().map(|word| word.to_vec()).collect(),
            oracle: a.clone(),
            subject: b,
            reason: format!("in the comparison of the dataset, {reason}"),
        });
        match difference {
            Some(difference) => Err(difference),
            None => Ok(a),
        }
    };
    let mut compare_all = || {
        for db in DATABASES {
            compare(&[b"SELECT", db.as_bytes()], Rule::Exact)?;
            let keys = compare(&[b"KEYS", b"*"], Rule::Unordered)?;
            for key in &keys.reply().expect("an array of keys").elements {
                let key = key.text.as_slice();
                let kind = compare(&[b"TYPE", key], Rule::Exact)?;
                compare(&[b"OBJECT", b"ENCODING", key], Rule::Exact)?;
                compare(&[b"PEXPIRETIME", key], Rule::Near(5000))?;
                for (words, rule) in content(&kind, key) {
                    let whole = compare(&words, rule)?;
                    if words[0] == b"HGETALL" {
                        let words = expiries(key, &whole);
                        let words = words.iter().map(Vec::as_slice).collect::<Vec<_>>();
                        compare(&words, Rule::NearEach(5000))?;
                    }
                }
            }
        }
        Ok(())
    };
    compare_all().err()
}

/// The commands that read all of a value of that type.
fn content<'a>(kind: &Outcome, key: &'a [u8]) -> Vec<(Vec<&'a [u8]>, Rule)> {
    match kind.reply().map(|reply| reply.text.as_slice()) {
        Some(b"string") => vec![(vec![b"GET", key], Rule::Exact)],
        Some(b"list") => vec![(vec![b"LRANGE", key, b"0", b"-1"], Rule::Exact)],
        Some(b"set") => vec![(vec![b"SMEMBERS", key], Rule::Unordered)],
        Some(b"zset") => {
            let ranked = vec![b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"];
            vec![(ranked, Rule::Exact), (vec![b"DUMP", key], Rule::Exact)]
        }
        Some(b"hash") => vec![(vec![b"HGETALL", key], Rule::UnorderedPairs)],
        Some(b"stream") => {
            vec![(vec![b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"], Rule::Times)]
        }
        other => panic!("no command is known that reads a {other:?}"),
    }
}

/// Asks for the expiry of each field that HGETALL has found.
fn expiries(key: &[u8], whole: &Outcome) -> Words {
    let elements = whole.reply().map_or(&[][..], |reply| &reply.elements);
    let count = (elements.len() / 2).to_string().into_bytes();
    let mut words = vec![b"HPEXPIRETIME".to_vec(), key.to_vec(), b"FIELDS".to_vec(), count];
    words.extend(elements.iter().step_by(2).map(|field| field.text.clone()));
    words
}

/// Gives fields of a hash 15 milliseconds to live.
fn expiring_fields(key: &[u8]) -> Words {
    let words: [&[u8]; 9] = [b"HPEXPIRE", key, b"15", b"FIELDS", b"4", b"a", b"b", b"1", b"127"];
    words.map(<[u8]>::to_vec).to_vec()
}

/// The members of a set; none if there is no set at that key.
fn members(wire: &mut Wire, key: &[u8]) -> BTreeSet<Vec<u8>> {
    texts(&wire.command(&[b"SMEMBERS", key]))
}

/// The texts of a reply that is no error: its elements, or the one that it is.
fn texts(outcome: &Outcome) -> BTreeSet<Vec<u8>> {
    match outcome.reply() {
        Some(reply) if reply.is_error() || reply.is_nil() => BTreeSet::new(),
        Some(reply) if reply.kind == b'$' => [reply.text.clone()].into(),
        Some(reply) => reply.elements.iter().map(|element| element.text.clone()).collect(),
        None => BTreeSet::new(),
    }
}

/// How many of the first steps go to the servers in one write.
fn batch_len(steps: &[Step]) -> usize {
    let of = |step: &Step| match step {
        Step::Command { connection, rule, .. } if !rule.is_alone() => Some(*connection),
        _ => None,
    };
    match of(&steps[0]) {
        Some(connection) => steps.iter().take_while(|step| of(step) == Some(connection)).count(),
        None => 1,
    }
}

/// Which argument is the cursor: that of a collection comes after its key.
fn cursor_at(words: &Words) -> usize {
    if words[0].eq_ignore_ascii_case(b"scan") { 1 } else { 2 }
}

/// Everything that a whole iteration returns, as one set.
fn scan(wire: &mut Wire, words: &Words) -> Outcome {
    let mut words = words.clone();
    let at = cursor_at(&words);
    let mut found = BTreeSet::new();
    // A cursor that never comes back to 0 is a difference as well, not a test that hangs.
    for _ in 0..10_000 {
        let words_ref = words.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let outcome = wire.command(&words_ref);
        let Some([cursor, elements]) = outcome.reply().map(|reply| reply.elements.as_slice())
        else {
            return outcome;
        };
        found.extend(elements.elements.iter().cloned());
        if cursor.text == b"0" {
            let elements = found.into_iter().collect();
            return Outcome::Reply(Reply {
                kind: b'*',
                text: Vec::new(),
                is_null: false,
                elements,
            });
        }
        words[at] = cursor.text.clone();
    }
    Outcome::Garbage("an iteration that does not end".into())
}

/// All that comes from a CLIENT REPLY to the moment when replies are certainly on.
fn reply_mode(wire: &mut Wire, words: &Words) -> Outcome {
    let mut request = Vec::new();
    encode(&mut request, words);
    for words in
        [&["ECHO", "one"][..], &["ECHO", "two"], &["CLIENT", "REPLY", "ON"], &["ECHO", "end"]]
    {
        encode(&mut request, words);
    }
    if wire.write(&request).is_err() {
        return Outcome::Closed;
    }
    let mut elements = Vec::new();
    loop {
        match wire.read() {
            Outcome::Reply(reply) => {
                let is_end = reply.text == b"end";
                elements.push(reply);
                if is_end {
                    let text = Vec::new();
                    return Outcome::Reply(Reply { kind: b'*', text, is_null: false, elements });
                }
            }
            other => return other,
        }
    }
}

/// The steps as something to paste into redis-cli.
pub fn script(steps: &[Step]) -> String {
    let mut script = String::new();
    let mut current = None;
    for step in steps {
        match step {
            Step::Command { connection, words, .. } => {
                if current != Some(*connection) {
                    let protocol = if connection % 2 == 1 { ", RESP3: redis-cli -3" } else { "" };
                    script.push_str(&format!("# connection {connection}{protocol}\n"));
                    current = Some(*connection);
                }
                script.push_str(&line(words));
                script.push('\n');
            }
            Step::Expire { keys } => {
                for key in keys {
                    script.push_str(&format!("SET {} short-lived PX 15\n", quote(key)));
                }
                script.push_str("# wait 20 ms, then GET, TTL, TYPE, EXISTS of each\n");
            }
            Step::ExpireFields { keys } => {
                for key in keys {
                    script.push_str(&line(&expiring_fields(key)));
                    script.push('\n');
                }
                script.push_str("# wait 20 ms\n");
            }
            Step::Verify => script.push_str("# compare the datasets\n"),
        }
    }
    script
}

/// A command as redis-cli reads it.
pub fn line(words: &Words) -> String {
    let is_plain = |word: &[u8]| {
        !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\#".contains(b))
    };
    let words =
        words
            .iter()
            .map(|word| {
                if is_plain(word) {
                    String::from_utf8_lossy(word).into_owned()
                } else {
                    quote(word)
                }
            })
            .collect::<Vec<_>>();
    words.join(" ")
}
