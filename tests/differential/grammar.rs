//! From a command's syntax to a random call of it, valid or not.
//!
//! A syntax is written as in the commands' documentation: `key [NX|XX] [EX seconds|KEEPTTL]`. Words
//! in capitals and the signs `=`, `~` and `$` stand for themselves, other words for a pool of arguments
//! (`pools.rs`), `[…]` is optional, `a|b` a choice, `(…)` a group, `…...` one or more, and `numkeys` or
//! `numfields` the count of the next repeated item.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::commands::Entry;
use crate::pools::{self, FAR, Pool};
use crate::wire::Words;

enum Node {
    Word(&'static str),
    Pool(Pool),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Optional(Box<Node>),
    Repeated(Box<Node>),
    Count,
}

/// A command and the calls that it has.
pub struct Syntax {
    pub entry: &'static Entry,
    root: Node,
    /// Its own keywords, for calls with one too many or in the wrong place.
    keywords: Vec<&'static str>,
}

impl Syntax {
    pub fn new(entry: &'static Entry) -> Syntax {
        let spaced: &'static str = Box::leak(space_out(entry.syntax).into_boxed_str());
        let mut tokens = spaced.split_ascii_whitespace().collect::<Vec<_>>();
        tokens.reverse();
        let root = choice(&mut tokens);
        assert!(tokens.is_empty(), "{}: unbalanced syntax {:?}", entry.name, entry.syntax);
        let keywords = spaced.split_ascii_whitespace().filter(|token| is_keyword(token)).collect();
        Syntax { entry, root, keywords }
    }

    /// A random call of the command.
    pub fn call(&self, rng: &mut StdRng) -> Words {
        let mut words: Words = self.entry.name.split(' ').map(|word| any_case(word, rng)).collect();
        let fixed = words.len();
        render(&self.root, rng, &mut words, &mut None);
        if rng.random_bool(self.entry.disorder) {
            for _ in 0..rng.random_range(1..=2) {
                self.disturb(rng, &mut words, fixed);
            }
        }
        defuse(&mut words);
        words
    }

    /// Makes the call wrong, or at least unusual.
    fn disturb(&self, rng: &mut StdRng, words: &mut Words, fixed: usize) {
        let args = fixed..words.len();
        match rng.random_range(0..8) {
            0 if !args.is_empty() => drop(words.remove(rng.random_range(args))),
            1 if !args.is_empty() => words.truncate(rng.random_range(args)),
            2 if !args.is_empty() => {
                let word = words[rng.random_range(args.clone())].clone();
                words.insert(rng.random_range(fixed..=args.end), word);
            }
            3 if args.len() > 1 => {
                words.swap(rng.random_range(args.clone()), rng.random_range(args))
            }
            4 if !args.is_empty() => words[rng.random_range(args)] = pools::anything(rng),
            5 if !self.keywords.is_empty() => {
                let word = any_case(self.keywords.choose(rng).unwrap(), rng);
                words.insert(rng.random_range(fixed..=args.end), word);
            }
            6 if !self.keywords.is_empty() => {
                words.push(any_case(self.keywords.choose(rng).unwrap(), rng));
            }
            _ => words.insert(rng.random_range(fixed..=args.end), pools::anything(rng)),
        }
    }
}

/// Every element of the syntax apart from its neighbours.
fn space_out(syntax: &str) -> String {
    let mut spaced = String::new();
    let mut rest = syntax;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            spaced.push_str(" ... ");
            rest = after;
        } else {
            if "[]()|".contains(first) {
                spaced.extend([' ', first, ' ']);
            } else {
                spaced.push(first);
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    spaced
}

fn is_keyword(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_uppercase() || "=~$".contains(c))
}

fn choice(tokens: &mut Vec<&'static str>) -> Node {
    let mut branches = vec![sequence(tokens)];
    while tokens.pop_if(|token| *token == "|").is_some() {
        branches.push(sequence(tokens));
    }
    if branches.len() == 1 { branches.pop().unwrap() } else { Node::Choice(branches) }
}

fn sequence(tokens: &mut Vec<&'static str>) -> Node {
    let mut items = Vec::new();
    while let Some(token) = tokens.pop_if(|token| !matches!(*token, "|" | "]" | ")")) {
        let item = match token {
            "[" | "(" => {
                let inner = choice(tokens);
                let close = tokens.pop().expect("a closing bracket");
                assert_eq!(close, if token == "[" { "]" } else { ")" });
                if token == "[" { Node::Optional(Box::new(inner)) } else { inner }
            }
            "..." => Node::Repeated(Box::new(items.pop().expect("something to repeat"))),
            "numkeys" | "numfields" => Node::Count,
            word if is_keyword(word) => Node::Word(word),
            name => Node::Pool(pools::pool(name)),
        };
        items.push(item);
    }
    Node::Sequence(items)
}

/// Appends a random rendering of `node`; `count` is the index of a count that is still to be filled in.
fn render(node: &Node, rng: &mut StdRng, words: &mut Words, count: &mut Option<usize>) {
    match node {
        Node::Word(word) => words.push(any_case(word, rng)),
        Node::Pool(pool) => words.push(pool(rng)),
        Node::Choice(branches) => render(branches.choose(rng).unwrap(), rng, words, count),
        Node::Optional(inner) => {
            if rng.random_bool(0.4) {
                render(inner, rng, words, count);
            }
        }
        Node::Sequence(items) => {
            // Options may come in any order.
            let is_optional = |node: &&Node| matches!(node, Node::Optional(_));
            let first = items.iter().position(|node| is_optional(&node)).unwrap_or(items.len());
            let mut order = items.iter().collect::<Vec<_>>();
            if order[first..].iter().all(is_optional) && rng.random_bool(0.5) {
                order[first..].shuffle(rng);
            }
            for item in order {
                render(item, rng, words, count);
            }
        }
        Node::Repeated(inner) => {
            let mut times = 1;
            while times < 12 && rng.random_bool(0.5) {
                times += 1;
            }
            for _ in 0..times {
                render(inner, rng, words, &mut None);
            }
            if let Some(at) = count.take() {
                words[at] = match rng.random_range(0..20) {
                    0 => pools::anything(rng),
                    1 => (times + 1).to_string().into_bytes(),
                    2 => (times - 1).to_string().into_bytes(),
                    _ => times.to_string().into_bytes(),
                };
            }
        }
        Node::Count => {
            *count = Some(words.len());
            words.push(Vec::new());
        }
    }
}

fn any_case(word: &str, rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => word.to_ascii_lowercase().into_bytes(),
        1 => word
            .bytes()
            .map(|b| if rng.random() { b.to_ascii_uppercase() } else { b.to_ascii_lowercase() })
            .collect(),
        _ => word.to_ascii_uppercase().into_bytes(),
    }
}

/// Replaces what a disturbed call could do to the comparison itself: a time in the near future, at
/// which the two servers would differ for a moment, and a string of hundreds of megabytes.
fn defuse(words: &mut Words) {
    let name = words[0].to_ascii_lowercase();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let direct: &[u8] = match name.as_slice() {
        b"expire" | b"hexpire" | b"setex" => b"ex",
        b"pexpire" | b"hpexpire" | b"psetex" => b"px",
        b"expireat" | b"hexpireat" => b"exat",
        b"pexpireat" | b"hpexpireat" => b"pxat",
        _ => b"",
    };
    let is_compared = matches!(name.as_slice(), b"expire" | b"pexpire" | b"hexpire" | b"hpexpire")
        && words.iter().any(|w| w.eq_ignore_ascii_case(b"gt") || w.eq_ignore_ascii_case(b"lt"));
    let names = matches!(name.as_slice(), b"client" | b"hello")
        && words[1..].iter().any(|word| {
            let names: [&[u8]; 3] = [b"setname", b"setinfo", b"hello"];
            names.iter().any(|name| word.eq_ignore_ascii_case(name))
        });
    if names {
        // Valkey takes a name with a zero byte in it, and looks only at what comes before that.
        words[2..].iter_mut().flatten().filter(|byte| **byte == 0).for_each(|byte| *byte = b'0');
    }
    if name == b"xadd" {
        // The id would be the time.
        words.iter_mut().filter(|word| *word == b"*").for_each(|word| *word = b"5-*".to_vec());
    }
    if matches!(name.as_slice(), b"xread" | b"xreadgroup") {
        // Where the keys begin is told by this word; a group may have it for a name.
        let is_word = |word: &&mut Vec<u8>| word.eq_ignore_ascii_case(b"streams");
        words.iter_mut().filter(is_word).skip(1).for_each(|word| *word = b"rivers".to_vec());
    }
    for at in 1..words.len() {
        let unit = if at == 2 && !direct.is_empty() {
            direct.to_vec()
        } else {
            words[at - 1].to_ascii_lowercase()
        };
        let Some(number) = std::str::from_utf8(&words[at]).ok().and_then(|w| w.parse::<i64>().ok())
        else {
            continue;
        };
        let mut near = match unit.as_slice() {
            b"ex" => 1..FAR,
            b"px" => 1..FAR * 1000,
            b"exat" => now - 10..now + FAR,
            b"pxat" => (now - 10) * 1000..(now + FAR) * 1000,
            _ => 0..0,
        };
        // Valkey's MSETEX stores keys that have expired, and counts them until it comes upon them.
        if name == b"msetex" && !near.is_empty() {
            near.start = 1;
        }
        if is_compared && at == 2 && number > 0 && is_in_range(&name, number, now) {
            words[at] = time_of_its_own(&name).to_string().into_bytes();
        } else if near.contains(&number) {
            words[at] = near.end.to_string().into_bytes();
        } else if name == b"xautoclaim"
            && unit == b"count"
            && (100_000..=i64::MAX / 16).contains(&number)
        {
            // It depends on the machine whether Valkey gets the memory for so many ids.
            words[at] = b"100".to_vec();
        } else if is_much_memory(&name, at, number) {
            words[at] = b"100".to_vec();
        }
    }
}

/// Whether the number as that argument makes a string of hundreds of megabytes.
fn is_much_memory(name: &[u8], at: usize, number: i64) -> bool {
    match name {
        b"setrange" => at == 2 && (100_000..536_870_912).contains(&number),
        b"setbit" | b"bitfield" => (100_000..1 << 32).contains(&number),
        _ => false,
    }
}

/// Whether EXPIRE or one of its kin takes this time: it is not past what 64 bits of milliseconds hold.
fn is_in_range(name: &[u8], number: i64, now: i64) -> bool {
    let unit = if name.ends_with(b"pexpire") { 1 } else { 1000 };
    number.checked_mul(unit).and_then(|ms| ms.checked_add((now + 1000) * 1000)).is_some()
}

/// A time from now for EXPIRE or one of its kin with GT or LT that is seconds away from every other one. Of two equal
/// ones the second is greater where the clock has moved between the two, and not greater where it has not.
fn time_of_its_own(name: &[u8]) -> i64 {
    static CALLS: AtomicI64 = AtomicI64::new(0);
    const SPACING: i64 = 1000;
    /// Odd, so that the calls go through all of `TIMES` before one comes again, in no order.
    const STRIDE: i64 = 0x9e375;
    const TIMES: i64 = 1 << 20;
    let nth = CALLS.fetch_add(1, Ordering::Relaxed) * STRIDE % TIMES;
    let seconds = 10 * FAR + SPACING * nth;
    if name.ends_with(b"pexpire") { seconds * 1000 } else { seconds }
}
