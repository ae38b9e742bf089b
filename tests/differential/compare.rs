//! When two replies are the same.

use crate::wire::{Outcome, Reply};

/// How the replies to a command are compared. Errors are compared byte for byte under every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Byte for byte.
    Exact,
    /// Byte for byte; it may wait before it replies.
    Waits,
    /// Elements in any order.
    Unordered,
    /// Pairs of elements (a map) in any order.
    UnorderedPairs,
    /// Elements in any order, those of the elements too; a map's values stay with their keys.
    DeepUnordered,
    /// Integers at most this far apart; negative ones exactly the same.
    Near(i64),
    /// An array of integers, each as under `Near`.
    NearEach(i64),
    /// Times and idle times of consumers and pending entries at most some seconds apart.
    Times,
    /// The same type of reply.
    Kind,
    /// The same types of replies, down to the elements.
    Shape,
    /// A key that exists, where there is any.
    RandomKey,
    /// SRANDMEMBER: as many members, all of them from the set.
    Drawn,
    /// SPOP: as many members, all of them from the set, whose rest is then made the same again.
    Popped,
    /// The whole iteration finds the same elements.
    Scan,
    /// HELLO, apart from what names the server.
    Hello,
    /// A line of CLIENT LIST: the same fields; those that do not depend on the server are equal.
    ClientLine,
    /// CLIENT REPLY: what comes after it, until replies are switched on, is the same.
    ReplyMode,
    /// The connection ends after the reply.
    Closes,
    /// Connections may end by it, this one too: how many is not compared.
    Kill,
}

impl Rule {
    /// The command is called by itself, not among others in a batch.
    pub fn is_alone(self) -> bool {
        matches!(
            self,
            Rule::RandomKey
                | Rule::Drawn
                | Rule::Popped
                | Rule::Scan
                | Rule::ReplyMode
                | Rule::Closes
                | Rule::Kill
                | Rule::Waits
        )
    }

    /// Why the subject's outcome is not as good as the oracle's; `None` if it is.
    pub fn difference(self, oracle: &Outcome, subject: &Outcome) -> Option<String> {
        if oracle == subject {
            return None;
        }
        let (Some(oracle), Some(subject)) = (oracle.reply(), subject.reply()) else {
            return Some("one of the servers did not reply".into());
        };
        if oracle.is_error() || subject.is_error() {
            return Some("the errors differ".into());
        }
        let same_kind = oracle.kind == subject.kind && oracle.is_nil() == subject.is_nil();
        let is_same = match self {
            Rule::Exact | Rule::Waits | Rule::ReplyMode | Rule::Closes => false,
            Rule::Kind | Rule::RandomKey | Rule::Scan | Rule::Kill => same_kind,
            Rule::Drawn | Rule::Popped => {
                same_kind && oracle.elements.len() == subject.elements.len()
            }
            Rule::Unordered => same_kind && sorted(oracle, 1) == sorted(subject, 1),
            Rule::UnorderedPairs => same_kind && sorted(oracle, 2) == sorted(subject, 2),
            Rule::DeepUnordered => same_kind && deep_sorted(oracle) == deep_sorted(subject),
            Rule::Shape => shape(oracle) == shape(subject),
            Rule::Near(distance) => is_near(oracle, subject, distance),
            Rule::NearEach(distance) => {
                let mut pairs = oracle.elements.iter().zip(&subject.elements);
                same_kind
                    && oracle.elements.len() == subject.elements.len()
                    && pairs.all(|(a, b)| a == b || is_near(a, b, distance))
            }
            Rule::Times => same_but_for_times(oracle, subject),
            Rule::Hello => same_kind && greeting(oracle) == greeting(subject),
            Rule::ClientLine => same_kind && client_fields(oracle) == client_fields(subject),
        };
        (!is_same).then(|| format!("compared by {self:?}"))
    }
}

fn is_near(oracle: &Reply, subject: &Reply, distance: i64) -> bool {
    match (oracle.integer(), subject.integer()) {
        (Some(a), Some(b)) => a >= 0 && b >= 0 && a.abs_diff(b) <= distance as u64,
        _ => false,
    }
}

/// The reply without what it says.
fn shape(reply: &Reply) -> Reply {
    let elements = reply.elements.iter().map(shape).collect();
    Reply { text: Vec::new(), elements, ..*reply }
}

/// Milliseconds that the two servers may be apart.
const LATE: u64 = 5000;

/// Times are what fields of these names have, and the element before the last of a pending entry, whose
/// last one is the number of deliveries.
fn same_but_for_times(oracle: &Reply, subject: &Reply) -> bool {
    const NAMES: &[&[u8]] = &[b"idle", b"inactive", b"seen-time", b"active-time"];
    if oracle.kind != subject.kind || oracle.elements.len() != subject.elements.len() {
        return false;
    }
    if oracle.elements.is_empty() {
        return oracle == subject;
    }
    let is_integer = |reply: &Reply| reply.kind == b':';
    let pending_time = match &oracle.elements[..] {
        [id, .., time, deliveries]
            if id.kind == b'$' && is_integer(time) && is_integer(deliveries) =>
        {
            Some(oracle.elements.len() - 2)
        }
        _ => None,
    };
    oracle.elements.iter().zip(&subject.elements).enumerate().all(|(at, (a, b))| {
        let is_named = at > 0 && NAMES.contains(&oracle.elements[at - 1].text.as_slice());
        let is_time = is_named || pending_time == Some(at);
        match (a.integer(), b.integer()) {
            (Some(a), Some(b)) if is_time && a >= 0 && b >= 0 => a.abs_diff(b) <= LATE,
            _ => same_but_for_times(a, b),
        }
    })
}

/// The elements, taken in groups of `width`, in order.
fn sorted(reply: &Reply, width: usize) -> Vec<&[Reply]> {
    let mut groups = reply.elements.chunks(width).collect::<Vec<_>>();
    groups.sort();
    groups
}

fn deep_sorted(reply: &Reply) -> Reply {
    let elements = reply.elements.iter().map(deep_sorted).collect::<Vec<_>>();
    let mut groups = elements.chunks(if reply.kind == b'%' { 2 } else { 1 }).collect::<Vec<_>>();
    groups.sort();
    Reply { elements: groups.concat(), ..reply.clone() }
}

/// HELLO's reply without the values that name the server or count its connections.
fn greeting(reply: &Reply) -> Vec<(&[u8], Option<&Reply>)> {
    let is_own = |name: &[u8]| [&b"server"[..], b"version", b"id", b"modules"].contains(&name);
    reply
        .elements
        .chunks(2)
        .map(|pair| (pair[0].text.as_slice(), pair.get(1).filter(|_| !is_own(&pair[0].text))))
        .collect()
}

/// The fields of a client's line, with the values of those that say what the client did.
fn client_fields(reply: &Reply) -> Vec<(String, Option<String>)> {
    const COMPARED: &[&str] = &[
        "name", "flags", "capa", "db", "sub", "psub", "ssub", "multi", "watch", "cmd", "user",
        "redir", "resp", "lib-name", "lib-ver",
    ];
    String::from_utf8_lossy(&reply.text)
        .split(' ')
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (name.to_owned(), COMPARED.contains(&name).then(|| value.to_owned()))
        })
        .collect()
}
