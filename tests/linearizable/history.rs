//! Histories that clients record, and what the checker says of them.

use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::checker::{Recorded, Verdict, linearize};
use crate::common::{Client, Server, Value};
use crate::keyspace::{Command, KEYS, Keyspace, Operation, Reply};

const CLIENTS: usize = 4;

/// Operations that a client records in one history.
const EACH: usize = 25;

/// Histories that are judged, if there is time for so many, and the fewest that mean anything.
const HISTORIES: usize = 150;
const FEWEST: usize = 15;
const TIME: Duration = Duration::from_secs(12);

/// Steps of the search, of which a usual history needs some hundred; where a client was kept from running for
/// long, it may need millions.
const STEPS: usize = 20_000;

/// Numbers that are written once only, so that each says who wrote it.
static NUMBERS: AtomicI64 = AtomicI64::new(1);

struct Recorder<'a> {
    client: &'a mut Client,
    rng: StdRng,
    began: Instant,
    history: Vec<Recorded<Operation>>,
    refused: usize,
}

impl Recorder<'_> {
    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn key(&mut self) -> usize {
        self.rng.random_range(0..KEYS.len())
    }

    fn command(&mut self) -> Command {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed) * 1000;
        let (a, b) = (self.key(), self.key());
        match self.rng.random_range(0..100) {
            0..25 => Command::Get(a),
            25..40 => Command::Set(a, number),
            40..50 => Command::GetSet(a, number),
            50..70 => Command::Increase(a, 1),
            70..75 => Command::Delete(a),
            75..80 => Command::Rename(a, b),
            80..87 => Command::SetBoth(a, b, number),
            87..98 => Command::GetAll,
            _ => Command::Flush,
        }
    }

    fn record(&mut self) {
        match self.rng.random_range(0..10) {
            0..4 => self.single(),
            4..8 => self.transaction(),
            _ => self.watched(),
        }
    }

    fn single(&mut self) {
        let command = self.command();
        let called = self.now();
        let reply = self.client.run(&command.words());
        self.push(called, Operation::Single(command, Reply::from(&reply)));
    }

    fn push(&mut self, called: u64, operation: Operation) {
        let returned = self.now();
        self.history.push(Recorded { called, returned, operation });
    }

    fn transaction(&mut self) {
        let commands = self.commands();
        // In one write, or command by command, of which only EXEC counts.
        let called = if self.rng.random_bool(0.5) {
            let called = self.now();
            let lines: String = commands.iter().map(|command| command.words() + "\r\n").collect();
            self.client.write(format!("MULTI\r\n{lines}EXEC\r\n").as_bytes());
            (0..=commands.len()).for_each(|_| drop(self.client.read()));
            called
        } else {
            self.queue(&commands);
            let called = self.now();
            self.client.send(&["EXEC"]);
            called
        };
        let replies = self.client.read();
        let commands = with_replies(commands, &replies);
        self.push(called, Operation::Transaction(commands));
    }

    fn commands(&mut self) -> Vec<Command> {
        (0..self.rng.random_range(1..=4)).map(|_| self.command()).collect()
    }

    fn queue(&mut self, commands: &[Command]) {
        assert!(self.client.run("MULTI").is("OK"));
        for command in commands {
            assert!(self.client.run(&command.words()).is("QUEUED"));
        }
    }

    /// Optimistic locking: what was read still holds when the transaction is executed.
    fn watched(&mut self) {
        let key = self.key();
        assert!(self.client.run(&format!("WATCH {}", KEYS[key])).is("OK"));
        let called = self.now();
        let reply = Reply::from(&self.client.run(&Command::Get(key).words()));
        let Reply::Content(number) = reply else { panic!("GET: {reply:?}") };
        self.push(called, Operation::Single(Command::Get(key), reply));
        let commands = self.commands();
        self.queue(&commands);
        let called = self.now();
        match self.client.run("EXEC") {
            Value::Null => self.refused += 1,
            replies => {
                let commands = with_replies(commands, &replies);
                self.push(called, Operation::Watched { key, number, commands });
            }
        }
    }
}

fn with_replies(commands: Vec<Command>, replies: &Value) -> Vec<(Command, Reply)> {
    assert_eq!(replies.elements().len(), commands.len());
    commands.into_iter().zip(replies.elements().iter().map(Reply::from)).collect()
}

/// What the clients have recorded from an empty keyspace on, and how many transactions were refused.
fn record(clients: &mut [Client], seed: u64) -> (Vec<Recorded<Operation>>, usize) {
    assert!(clients[0].run("FLUSHALL").is("OK"));
    let (barrier, began) = (Barrier::new(clients.len()), Instant::now());
    let recorded = thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(clients.iter_mut())
            .map(|(number, client)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let rng = StdRng::seed_from_u64(seed * 1000 + number);
                    let mut recorder =
                        Recorder { client, rng, began, history: Vec::new(), refused: 0 };
                    barrier.wait();
                    while recorder.history.len() < EACH {
                        recorder.record();
                    }
                    (recorder.history, recorder.refused)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a history")).collect::<Vec<_>>()
    });
    let refused = recorded.iter().map(|(_, refused)| refused).sum();
    (recorded.into_iter().flat_map(|(history, _)| history).collect(), refused)
}

/// The history, from the last operations that could be explained on.
fn unexplained(history: &[Recorded<Operation>], explained: &[usize]) -> String {
    let mut rest: Vec<_> = history
        .iter()
        .enumerate()
        .filter(|(at, _)| !explained[..explained.len().saturating_sub(10)].contains(at))
        .map(|(at, recorded)| (recorded, explained.contains(&at)))
        .collect();
    rest.sort_by_key(|(recorded, _)| recorded.called);
    let lines = rest.iter().take(40).map(|(recorded, is_explained)| {
        let Recorded { called, returned, operation } = recorded;
        let sign = if *is_explained { ' ' } else { '?' };
        format!("{sign} {called:>10} … {returned:>10} ns: {operation:?}\n")
    });
    lines.collect()
}

#[test]
fn transactions_of_four_workers_are_linearizable() {
    let server = Server::start(&["--io-threads", "4"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let (mut refused, mut overlaps, mut operations, mut decided) = (0, 0, 0, 0);
    let began = Instant::now();
    for seed in 0.. {
        if decided == HISTORIES || began.elapsed() > TIME {
            break;
        }
        let (history, number) = record(&mut clients, seed);
        refused += number;
        operations += history.len();
        overlaps += overlapping(&history);
        match linearize(Keyspace::default(), &history, STEPS) {
            Verdict::Linearizable(_) => decided += 1,
            Verdict::Undecided => {}
            Verdict::NotLinearizable(explained) => panic!(
                "seed {seed}: no order of these operations explains what the clients saw\n{}",
                unexplained(&history, &explained)
            ),
        }
    }
    println!(
        "{decided} histories, {operations} operations, {overlaps} overlaps, {refused} refused"
    );
    assert!(decided >= FEWEST, "{decided} histories were judged");
    assert!(refused > decided / 2, "only {refused} transactions were refused");
    assert!(overlaps * 4 > operations, "of {operations} operations {overlaps} overlapped");
}

/// How many operations began while another one, which had begun before, was going on.
fn overlapping(history: &[Recorded<Operation>]) -> usize {
    let mut history: Vec<_> = history.iter().map(|one| (one.called, one.returned)).collect();
    history.sort_unstable();
    let mut latest = 0;
    let mut overlapping = 0;
    for (called, returned) in history {
        overlapping += usize::from(called < latest);
        latest = latest.max(returned);
    }
    overlapping
}

/// A reply that no server could have given.
#[test]
fn a_recorded_history_with_one_reply_changed_is_not_linearizable() {
    let server = Server::start(&["--io-threads", "4"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let (history, _) = record(&mut clients, 1_000_000);
    let mut found = 0;
    for at in (0..history.len()).step_by(3) {
        let mut changed = history.clone();
        let is_changed = match &mut changed[at].operation {
            Operation::Single(_, reply) => change(reply),
            Operation::Transaction(commands) | Operation::Watched { commands, .. } => {
                commands.iter_mut().any(|(_, reply)| change(reply))
            }
        };
        if is_changed {
            let verdict = linearize(Keyspace::default(), &changed, STEPS);
            assert!(!matches!(verdict, Verdict::Linearizable(_)), "{:?}", changed[at]);
            found += usize::from(verdict != Verdict::Undecided);
        }
    }
    assert!(found > 5, "{found} changed replies were found out");
}

/// Makes a number another one that was never written.
fn change(reply: &mut Reply) -> bool {
    match reply {
        Reply::Content(number) => *number = Some(-7),
        Reply::Number(number) if *number > 1 => *number += 500,
        _ => return false,
    }
    true
}
