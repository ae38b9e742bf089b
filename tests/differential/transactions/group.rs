//! Several connections to each of the two servers, what they have queued, and which of them wait.
//!
//! Every step is one connection's; the replies of both servers are read before the next one. A command
//! that waits on the oracle must wait on the subject: its reply is read after the step that ended the
//! waiting.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::Server;
use crate::compare::Rule;
use crate::pair::{Difference, Replayed, line, verify};
use crate::shrink::Bench;
use crate::wire::{Outcome, Reply, Wire, Words, encode};

/// Connections to each server; the odd ones speak RESP3.
pub const CONNECTIONS: usize = 4;

/// How long a server may take to notice that a client has gone, or waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time that a key has left when it is watched. What takes longer than that makes the round void.
const LIFE: Duration = Duration::from_millis(40);

/// Fields of INFO clients that both servers must agree on.
const COUNTS: [&str; 3] = ["blocked_clients", "watching_clients", "total_watched_keys"];

/// One thing to do on both servers.
#[derive(Clone, Debug)]
pub enum Step {
    Command {
        connection: usize,
        words: Words,
        rule: Rule,
        /// In one write with the step before, if that is the same connection's.
        is_joined: bool,
    },
    /// Watches a key that expires then, before the next step.
    WatchExpiring { connection: usize, key: Vec<u8> },
    /// Makes a key that has expired, and that only a command will remove.
    Expired { key: Vec<u8> },
    /// Ends the connection and makes another one in its place.
    Disconnect { connection: usize },
    /// CLIENT UNBLOCK of a connection that waits.
    Unblock { connection: usize, with_error: bool },
    /// Compares the connection's line of CLIENT LIST, and the counts of INFO.
    Inspect { connection: usize },
    /// Compares the whole dataset.
    Verify,
}

/// One connection to a server, and the ID that it has there.
struct Member {
    wire: Wire,
    id: String,
}

/// One server.
struct Side {
    server: Server,
    control: Wire,
    members: Vec<Member>,
}

/// What is known of a connection, alike on both servers.
#[derive(Default)]
struct State {
    /// How the replies to what it has queued are compared; None outside of a transaction.
    queue: Option<Vec<Rule>>,
    /// Whether a command was queued that may replace a key of another type.
    queued_store: bool,
    /// The command that it waits in.
    waits_in: Option<Words>,
}

pub struct Group {
    oracle: Side,
    subject: Side,
    states: Vec<State>,
    /// The last commands may have replaced a key of another type.
    has_stored: bool,
    /// What has happened so far, and how often.
    pub tally: Tally,
    pub replayed: Replayed,
}

/// Outcomes that a run must have had for its comparison to mean anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// EXEC with the replies of what was queued.
    pub executed: usize,
    /// EXEC refused since a watched key has changed.
    pub aborted: usize,
    /// EXEC refused since a command could not be queued.
    pub discarded: usize,
    /// Replies to clients that waited.
    pub served: usize,
    /// Rounds that ended early because a server was too slow.
    pub void_rounds: usize,
    /// Rounds that ended early at a difference that docs/COMPATIBILITY.md tells of: a key that another type
    /// of value replaces serves those who wait for that type.
    pub known_differences: usize,
}

impl Tally {
    fn count_exec(&mut self, reply: &Reply) {
        match reply {
            _ if reply.is_nil() => self.aborted += 1,
            Reply { kind: b'*', elements, .. } if !elements.is_empty() => self.executed += 1,
            _ if reply.text.starts_with(b"EXECABORT") => self.discarded += 1,
            _ => {}
        }
    }
}

/// Why a round ends before its last step.
enum End {
    Differs(Difference),
    TooSlow,
    KnownDifference,
}

impl From<Difference> for End {
    fn from(difference: Difference) -> End {
        End::Differs(difference)
    }
}

impl Side {
    fn new(server: Server) -> Side {
        let mut control = Wire::connect(server.port()).expect("a connection to the server");
        // Only commands remove what has expired, so that both servers have the same.
        control.command(&[b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0"]);
        let mut side = Side { server, control, members: Vec::new() };
        side.members = (0..CONNECTIONS).map(|connection| side.member(connection)).collect();
        side
    }

    fn member(&self, connection: usize) -> Member {
        let mut wire = Wire::connect(self.server.port()).expect("a connection to the server");
        if connection % 2 == 1 {
            wire.command(&[b"HELLO", b"3"]);
        }
        let id = wire.command(&[b"CLIENT", b"ID"]);
        let id = id.reply().and_then(Reply::integer).expect("CLIENT ID").to_string();
        Member { wire, id }
    }

    /// Ends a connection, waits until the server knows, and makes another one in its place.
    fn replace(&mut self, connection: usize) {
        let id = self.members[connection].id.clone();
        self.members[connection] = self.member(connection);
        let deadline = Instant::now() + PATIENCE;
        while !text(&self.control.command(&[b"CLIENT", b"LIST", b"ID", id.as_bytes()])).is_empty() {
            assert!(Instant::now() < deadline, "client {id} is never gone");
        }
    }

    fn reset(&mut self) {
        (0..CONNECTIONS).for_each(|connection| self.replace(connection));
        let reply = self.control.command(&[b"FLUSHALL"]);
        assert_eq!(text(&reply), "OK", "FLUSHALL");
    }

    /// The connection's line of CLIENT LIST.
    fn client_line(&mut self, connection: usize) -> Outcome {
        let id = self.members[connection].id.as_bytes();
        self.control.command(&[b"CLIENT", b"LIST", b"ID", id])
    }

    fn is_waiting(&mut self, connection: usize) -> bool {
        let line = text(&self.client_line(connection));
        let flags = line.split(' ').find_map(|field| field.strip_prefix("flags="));
        flags.is_some_and(|flags| flags.contains('b'))
    }

    /// The reply to a command that may wait, or None once the server says that it does.
    fn reply_or_waiting(&mut self, connection: usize) -> Option<Outcome> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.members[connection].wire.has_reply() {
                return Some(self.members[connection].wire.read());
            }
            if self.is_waiting(connection) {
                return None;
            }
            assert!(Instant::now() < deadline, "a client neither waits nor has a reply");
        }
    }

    /// The counts of INFO clients that are compared.
    fn counts(&mut self) -> Vec<String> {
        let info = text(&self.control.command(&[b"INFO", b"clients"]));
        let fields: BTreeMap<_, _> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        COUNTS.iter().map(|name| format!("{name}:{}", fields.get(name).unwrap_or(&"-"))).collect()
    }
}

impl Group {
    pub fn new(oracle: Server, subject: Server) -> Group {
        Group {
            oracle: Side::new(oracle),
            subject: Side::new(subject),
            states: Vec::new(),
            has_stored: false,
            tally: Tally::default(),
            replayed: Replayed::default(),
        }
    }

    /// A connection of its own to the subject.
    pub fn connect_subject(&self) -> Wire {
        Wire::connect(self.subject.server.port()).expect("a connection to the server")
    }

    fn sides(&mut self) -> [&mut Side; 2] {
        [&mut self.oracle, &mut self.subject]
    }

    fn is_waiting(&self, connection: usize) -> bool {
        self.states[connection].waits_in.is_some()
    }

    /// Executes the first of the steps and those that go with it; how many they were.
    fn advance(&mut self, steps: &[Step]) -> Result<usize, End> {
        self.has_stored = false;
        match &steps[0] {
            Step::Command { connection, .. } => {
                let end = batch_len(steps);
                let is_outside = self.states[*connection].queue.is_none();
                if self.is_waiting(*connection) || is_outside && waits_for_a_moment(&steps[0]) {
                    return Ok(end);
                }
                self.batch(*connection, &steps[..end])?;
                self.read_served(&steps[end - 1]).map_err(|end_of_batch| match end_of_batch {
                    End::Differs(difference) => {
                        End::Differs(Difference { step: end - 1, ..difference })
                    }
                    other => other,
                })?;
                return Ok(end);
            }
            Step::WatchExpiring { connection, key } if !self.is_waiting(*connection) => {
                self.watch_expiring(*connection, key)?;
            }
            Step::Expired { key } => {
                self.on_control(&[b"SET", key, b"short-lived", b"PX", b"1"])?;
                std::thread::sleep(Duration::from_millis(3));
            }
            Step::Disconnect { connection } => {
                self.sides().into_iter().for_each(|side| side.replace(*connection));
                self.states[*connection] = State::default();
            }
            Step::Unblock { connection, with_error } if self.is_waiting(*connection) => {
                self.unblock(*connection, *with_error)?;
            }
            Step::Inspect { connection } => self.inspect(*connection)?,
            Step::Verify => {
                self.end_waiting()?;
                let difference = verify(&mut self.oracle.control, &mut self.subject.control);
                for side in self.sides() {
                    side.control.command(&[b"SELECT", b"0"]);
                }
                let difference = difference.or_else(|| self.replayed.verify(&self.subject.server));
                difference.map_or(Ok(()), |difference| Err(End::Differs(difference)))?;
            }
            Step::WatchExpiring { .. } | Step::Unblock { .. } => {}
        }
        self.read_served(&steps[0])?;
        Ok(1)
    }

    /// Sends commands of one connection in one write, then compares the replies.
    fn batch(&mut self, connection: usize, steps: &[Step]) -> Result<(), Difference> {
        let commands = steps.iter().map(|step| match step {
            Step::Command { words, rule, .. } => (words, *rule),
            _ => unreachable!("a batch of commands"),
        });
        let mut request = Vec::new();
        commands.clone().for_each(|(words, _)| encode(&mut request, words));
        for side in self.sides() {
            // A server that has closed the connection shows when its reply is read.
            let _ = side.members[connection].wire.write(&request);
        }
        for (at, (words, rule)) in commands.enumerate() {
            let may_wait = rule == Rule::Waits && self.states[connection].queue.is_none();
            let at_fault = |difference: Difference| Difference { step: at, ..difference };
            if may_wait {
                let [oracle, subject] = self.sides().map(|side| side.reply_or_waiting(connection));
                match (oracle, subject) {
                    (None, None) => self.states[connection].waits_in = Some(words.clone()),
                    (Some(oracle), Some(subject)) => {
                        differs(words, oracle, subject, rule).map_err(at_fault)?;
                    }
                    (oracle, subject) => {
                        let shown = |outcome: Option<Outcome>| outcome.unwrap_or(Outcome::Silence);
                        let (oracle, subject) = (shown(oracle), shown(subject));
                        let reason = "one waits, the other one does not".to_owned();
                        let words = words.clone();
                        return Err(Difference { step: at, words, oracle, subject, reason });
                    }
                }
                continue;
            }
            let [oracle, subject] = self.sides().map(|side| side.members[connection].wire.read());
            let is_over = matches!(oracle, Outcome::Closed);
            self.compare(connection, words, oracle, subject, rule).map_err(at_fault)?;
            if is_over || self.closes(connection, rule) {
                break;
            }
        }
        Ok(())
    }

    /// Compares the replies to a command, each in EXEC's by the rule of the command that was queued.
    fn compare(
        &mut self,
        connection: usize,
        words: &Words,
        oracle: Outcome,
        subject: Outcome,
        rule: Rule,
    ) -> Result<(), Difference> {
        let State { queue, queued_store, .. } = &mut self.states[connection];
        let reply = oracle.reply().cloned();
        let is_simple = |status: &[u8]| {
            reply.as_ref().is_some_and(|reply| reply.kind == b'+' && reply.text == status)
        };
        let is_called = |name: &[u8]| words[0].eq_ignore_ascii_case(name);
        if is_called(b"exec") {
            reply.iter().for_each(|reply| self.tally.count_exec(reply));
            let is_over = reply
                .as_ref()
                .is_some_and(|reply| !reply.is_error() || reply.text.starts_with(b"EXECABORT"));
            let rules = if is_over { queue.take() } else { None };
            self.has_stored |= std::mem::take(queued_store);
            return compare_exec(words, oracle, subject, rules.unwrap_or_default());
        }
        match queue {
            Some(rules) if is_simple(b"QUEUED") => {
                rules.push(rule);
                *queued_store |= stores(words);
            }
            None if stores(words) => self.has_stored = true,
            Some(_) if is_called(b"discard") && is_simple(b"OK") => *queue = None,
            Some(_) if is_simple(b"RESET") => *queue = None,
            None if is_called(b"multi") && is_simple(b"OK") => *queue = Some(Vec::new()),
            _ => {}
        }
        // Whatever the rule, a status is a status.
        let rule = if is_simple(b"QUEUED") { Rule::Exact } else { rule };
        differs(words, oracle, subject, rule)
    }

    /// QUIT was answered: both servers end the connection, and there is another one in its place.
    fn closes(&mut self, connection: usize, rule: Rule) -> bool {
        if rule == Rule::Closes {
            self.sides().into_iter().for_each(|side| side.replace(connection));
            self.states[connection] = State::default();
        }
        rule == Rule::Closes
    }

    /// Reads the replies of those whom the last step has served, as the oracle tells.
    fn read_served(&mut self, last: &Step) -> Result<(), End> {
        for connection in 0..CONNECTIONS {
            if !self.is_waiting(connection) {
                continue;
            }
            if self.oracle.is_waiting(connection) {
                if self.subject.members[connection].wire.has_reply() {
                    if self.has_stored {
                        return Err(End::KnownDifference);
                    }
                    let subject = self.subject.members[connection].wire.read();
                    let words = self.states[connection].waits_in.take().expect("it waits");
                    let reason = format!("after {}", describe(last));
                    let oracle = Outcome::Silence;
                    return Err(Difference { step: 0, words, oracle, subject, reason }.into());
                }
                continue;
            }
            self.tally.served += 1;
            let words = self.states[connection].waits_in.take().expect("it waits");
            let [oracle, subject] = self.sides().map(|side| side.members[connection].wire.read());
            differs(&words, oracle, subject, Rule::Exact)?;
        }
        Ok(())
    }

    fn on_control(&mut self, words: &[&[u8]]) -> Result<(), Difference> {
        let [oracle, subject] = self.sides().map(|side| side.control.command(words));
        let words = words.iter().map(|word| word.to_vec()).collect();
        differs(&words, oracle, subject, Rule::Exact)
    }

    fn watch_expiring(&mut self, connection: usize, key: &[u8]) -> Result<(), End> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        let (deadline, at) = (Instant::now() + LIFE, now + LIFE);
        let at = at.as_millis().to_string().into_bytes();
        self.on_control(&[b"SET", key, b"short-lived", b"PXAT", &at])?;
        let words = vec![b"WATCH".to_vec(), key.to_vec()];
        let rule = Rule::Exact;
        let step = Step::Command { connection, words, rule, is_joined: false };
        self.batch(connection, &[step])?;
        if Instant::now() >= deadline {
            return Err(End::TooSlow);
        }
        // Time itself is what is waited for.
        std::thread::sleep(deadline + Duration::from_millis(3) - Instant::now());
        Ok(())
    }

    fn unblock(&mut self, connection: usize, with_error: bool) -> Result<(), Difference> {
        let how: &[u8] = if with_error { b"ERROR" } else { b"TIMEOUT" };
        let [oracle, subject] = self.sides().map(|side| {
            let id = side.members[connection].id.as_bytes();
            side.control.command(&[b"CLIENT", b"UNBLOCK", id, how])
        });
        let words = [&b"CLIENT"[..], b"UNBLOCK", b"(its id)", how].map(<[u8]>::to_vec).to_vec();
        differs(&words, oracle, subject, Rule::Exact)
    }

    /// Ends the waiting of everybody who waits.
    fn end_waiting(&mut self) -> Result<(), End> {
        for connection in 0..CONNECTIONS {
            if self.is_waiting(connection) {
                self.unblock(connection, false)?;
                self.read_served(&Step::Unblock { connection, with_error: false })?;
            }
        }
        Ok(())
    }

    fn inspect(&mut self, connection: usize) -> Result<(), Difference> {
        let [oracle, subject] = self.sides().map(|side| side.client_line(connection));
        let words = vec![format!("CLIENT LIST ID (connection {connection})").into_bytes()];
        differs(&words, oracle, subject, Rule::ClientLine)?;
        let [oracle, subject] = self.sides().map(Side::counts);
        if oracle != subject {
            let shown = |counts: Vec<String>| Outcome::Garbage(counts.join(" "));
            let (oracle, subject) = (shown(oracle), shown(subject));
            let words = vec![b"INFO".to_vec(), b"clients".to_vec()];
            let reason = "the counts differ".into();
            return Err(Difference { step: 0, words, oracle, subject, reason });
        }
        Ok(())
    }
}

impl Bench for Group {
    type Step = Step;

    fn reset(&mut self) {
        self.sides().into_iter().for_each(Side::reset);
        self.states = (0..CONNECTIONS).map(|_| State::default()).collect();
    }

    fn execute(&mut self, steps: &[Step]) -> Option<Difference> {
        let mut start = 0;
        while start < steps.len() {
            match self.advance(&steps[start..]) {
                Ok(count) => start += count,
                Err(End::Differs(difference)) => {
                    return Some(Difference { step: start + difference.step, ..difference });
                }
                Err(End::TooSlow) => {
                    self.tally.void_rounds += 1;
                    return None;
                }
                Err(End::KnownDifference) => {
                    self.tally.known_differences += 1;
                    return None;
                }
            }
        }
        None
    }

    fn script(steps: &[Step]) -> String {
        steps.iter().map(|step| format!("{}\n", describe(step))).collect()
    }
}

/// Fails if the replies are not the same by that rule.
fn differs(words: &Words, oracle: Outcome, subject: Outcome, rule: Rule) -> Result<(), Difference> {
    match rule.difference(&oracle, &subject) {
        Some(reason) => Err(Difference { step: 0, words: words.clone(), oracle, subject, reason }),
        None => Ok(()),
    }
}

fn compare_exec(
    words: &Words,
    oracle: Outcome,
    subject: Outcome,
    rules: Vec<Rule>,
) -> Result<(), Difference> {
    let elements = |outcome: &Outcome| {
        let reply = outcome.reply().filter(|reply| reply.kind == b'*' && !reply.is_nil())?;
        (reply.elements.len() == rules.len()).then(|| reply.elements.clone())
    };
    let (Some(theirs), Some(ours)) = (elements(&oracle), elements(&subject)) else {
        return differs(words, oracle, subject, Rule::Exact);
    };
    for (at, ((a, b), rule)) in theirs.into_iter().zip(ours).zip(&rules).enumerate() {
        if let Some(reason) = rule.difference(&Outcome::Reply(a), &Outcome::Reply(b)) {
            let reason = format!("reply {at} of the transaction: {reason}");
            return Err(Difference { step: 0, words: words.clone(), oracle, subject, reason });
        }
    }
    Ok(())
}

/// Whether the command stores a result at a key, whatever that key held.
fn stores(words: &Words) -> bool {
    let name = words[0].to_ascii_lowercase();
    let may_store = matches!(&name[..], b"sort" | b"georadius" | b"georadiusbymember");
    let is_store = |word: &Vec<u8>| {
        word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist")
    };
    name.ends_with(b"store") || may_store && words.iter().any(is_store)
}

fn waits(step: &Step) -> bool {
    matches!(step, Step::Command { rule: Rule::Waits, .. })
}

/// A command that outside of a transaction would wait until a time that the two servers need not agree on.
fn waits_for_a_moment(step: &Step) -> bool {
    let is_moment = |word: &Vec<u8>| matches!(&word[..], b"0.001" | b"0.0001" | b"2e-3");
    waits(step) && matches!(step, Step::Command { words, .. } if words.iter().any(is_moment))
}

/// How many of the first steps go to the servers in one write: nothing behind a command that may wait, and one
/// that would wait for a moment by itself.
fn batch_len(steps: &[Step]) -> usize {
    let of = |step: &Step| match step {
        Step::Command { connection, is_joined, .. } => Some((*connection, *is_joined)),
        _ => None,
    };
    let Some((connection, _)) = of(&steps[0]) else { return 1 };
    let is_joined =
        |step: &&Step| of(step) == Some((connection, true)) && !waits_for_a_moment(step);
    let joined = steps[1..].iter().take_while(is_joined).count();
    let waits = steps[..joined].iter().position(waits);
    waits.unwrap_or(joined) + 1
}

fn text(outcome: &Outcome) -> String {
    let text = outcome.reply().map_or(&b""[..], |reply| &reply.text);
    String::from_utf8_lossy(text).into_owned()
}

/// One line of a script: the connection, and the command as redis-cli reads it.
fn describe(step: &Step) -> String {
    match step {
        Step::Command { connection, words, is_joined, .. } => {
            let joined = if *is_joined { "+" } else { "" };
            format!("{connection}{joined}> {}", line(words))
        }
        Step::WatchExpiring { connection, key } => {
            let key = line(&vec![key.clone()]);
            format!("*> SET {key} short-lived PX 40\n{connection}> WATCH {key}\n# wait 43 ms")
        }
        Step::Expired { key } => {
            format!("*> SET {} short-lived PX 1\n# wait 3 ms", line(&vec![key.clone()]))
        }
        Step::Disconnect { connection } => format!("# connection {connection} is made anew"),
        Step::Unblock { connection, with_error } => {
            let how = if *with_error { "ERROR" } else { "TIMEOUT" };
            format!("*> CLIENT UNBLOCK (connection {connection}) {how}")
        }
        Step::Inspect { connection } => format!("*> CLIENT LIST ID (connection {connection})"),
        Step::Verify => "# compare the datasets".into(),
    }
}
