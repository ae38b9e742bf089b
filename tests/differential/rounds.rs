//! Rounds of random steps from a seed, and the report of what differed in them.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::commands::FAMILIES;
use crate::coverage::callable;
use crate::grammar::Syntax;
use crate::pair::{CONNECTIONS, Difference, Pair, Step, line};
use crate::pools::KEYS;
use crate::shrink::{Bench, shrink};

/// Steps that start from empty servers: what a difference is shrunk from.
const ROUND: usize = 1000;

/// Different differences after which the rest can wait.
const ENOUGH: usize = 12;

/// Makes the steps of one round.
pub trait Generator {
    type Bench: Bench;

    fn round(&mut self, rng: &mut StdRng) -> Vec<<Self::Bench as Bench>::Step>;
}

pub struct Rounds<G: Generator> {
    bench: G::Bench,
    generator: G,
    steps: usize,
    rounds: usize,
    /// By what is likely to be one fault: the command and the kinds of the replies.
    differences: BTreeMap<String, String>,
}

impl<G: Generator> Rounds<G> {
    pub fn new(bench: G::Bench, generator: G) -> Rounds<G> {
        Rounds { bench, generator, steps: 0, rounds: 0, differences: BTreeMap::new() }
    }

    /// Steps executed so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Rounds executed so far.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// The servers that the steps are executed on.
    pub fn bench(&self) -> &G::Bench {
        &self.bench
    }

    /// There are so many differences that more of them would tell nothing new.
    pub fn has_enough(&self) -> bool {
        self.differences.len() >= ENOUGH
    }

    /// Executes at least `steps` steps that follow from `seed`, or as many as there is time for.
    pub fn run(&mut self, seed: u64, steps: usize, deadline: Option<Instant>) {
        let mut rng = StdRng::seed_from_u64(seed);
        let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let end = self.steps + steps;
        while self.steps < end && !self.has_enough() && !is_late() {
            let round = self.generator.round(&mut rng);
            self.bench.reset();
            if let Some(difference) = self.bench.execute(&round) {
                self.report(seed, &round, difference);
            }
            self.steps += round.len();
            self.rounds += 1;
        }
    }

    fn report(&mut self, seed: u64, round: &[<G::Bench as Bench>::Step], difference: Difference) {
        let kind = |outcome: &crate::wire::Outcome| match outcome.reply() {
            Some(reply) if reply.is_error() => String::from_utf8_lossy(&reply.text).into_owned(),
            Some(reply) => (reply.kind as char).to_string(),
            None => "none".into(),
        };
        let name = String::from_utf8_lossy(&difference.words[0]).to_lowercase();
        let name = match (&*name, difference.words.get(1)) {
            ("journal", Some(kind)) => format!("{name} {}", String::from_utf8_lossy(kind)),
            _ => name,
        };
        let (a, b) = (kind(&difference.oracle), kind(&difference.subject));
        let signature = format!("{name} {a} {b}");
        if self.differences.contains_key(&signature) {
            return;
        }
        let mut shortest = shrink(&mut self.bench, &round[..=difference.step]);
        // The short sequence may differ in another way; its own outcome is what is shown.
        self.bench.reset();
        let difference = self.bench.execute(&shortest).unwrap_or_else(|| {
            shortest = round[..=difference.step].to_vec();
            difference
        });
        let (valkey, verbena) = (difference.oracle.to_string(), difference.subject.to_string());
        let report = format!(
            "seed {seed}\n{}# at: {}\nvalkey:  {}\nverbena: {}\n({})\n",
            G::Bench::script(&shortest),
            line(&difference.words),
            around(&valkey, &verbena),
            around(&verbena, &valkey),
            difference.reason,
        );
        println!("{report}");
        self.differences.insert(signature, report);
    }

    /// Fails if anything differed.
    pub fn finish(self) {
        let reports = self.differences.into_values().collect::<Vec<_>>();
        assert!(
            reports.is_empty(),
            "{} differences from Valkey in {} steps; each as a redis-cli script:\n\n{}",
            reports.len(),
            self.steps,
            reports.join("\n")
        );
    }
}

/// Single commands in runs of one connection.
pub struct SingleCommands {
    syntaxes: Vec<Syntax>,
}

impl SingleCommands {
    /// All commands that the subject has.
    pub fn of_subject(pair: &Pair) -> SingleCommands {
        let (_, mut subject) = pair.connect();
        SingleCommands { syntaxes: callable(&mut subject).map(Syntax::new).collect() }
    }

    /// All commands that there are.
    pub fn all() -> SingleCommands {
        SingleCommands { syntaxes: FAMILIES.iter().copied().flatten().map(Syntax::new).collect() }
    }
}

impl Generator for SingleCommands {
    type Bench = Pair;

    fn round(&mut self, rng: &mut StdRng) -> Vec<Step> {
        let mut steps = Vec::with_capacity(ROUND + 2);
        while steps.len() < ROUND {
            if rng.random_bool(0.02) {
                let count = rng.random_range(1..4);
                let keys = KEYS.choose_multiple(rng, count).map(|key| key.to_vec()).collect();
                steps.push(Step::Expire { keys });
            }
            let connection = rng.random_range(0..CONNECTIONS);
            for _ in 0..rng.random_range(1..60) {
                let syntax = self
                    .syntaxes
                    .choose_weighted(rng, |syntax| syntax.entry.weight)
                    .expect("commands that can be called");
                let words = syntax.call(rng);
                steps.push(Step::Command { connection, words, rule: syntax.entry.rule });
            }
        }
        steps.push(Step::Verify);
        steps
    }
}

/// `text`, or where it is long the part of it around the first byte that `other` has not.
fn around<'a>(text: &'a str, other: &str) -> std::borrow::Cow<'a, str> {
    const LONG: usize = 1000;
    if text.len() <= LONG {
        return text.into();
    }
    let same = text.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let start = text.floor_char_boundary(same.saturating_sub(LONG / 2));
    let end = text.floor_char_boundary(same + LONG / 2);
    format!("… {} … ({} bytes, the same up to {same})", &text[start..end], text.len()).into()
}
