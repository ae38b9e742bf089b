//! Whether a concurrent history is linearizable: the algorithm of Wing and Gong, with Lowe's memory of the
//! configurations that were seen before.

use std::collections::HashSet;
use std::hash::Hash;

/// An operation that a client has called and that has returned, with its outcome in it.
#[derive(Clone, Debug)]
pub struct Recorded<O> {
    /// Nanoseconds since the history began.
    pub called: u64,
    /// Nanoseconds; not before `called`.
    pub returned: u64,
    pub operation: O,
}

/// A sequential object.
pub trait Object: Clone + Eq + Hash {
    type Operation;

    /// The object after the operation; None if the operation could not have had its outcome here.
    fn after(&self, operation: &Self::Operation) -> Option<Self>;
}

/// What the search came to; operations are named by their indices.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This order explains the history.
    Linearizable(Vec<usize>),
    /// No order does; this is the longest one that explains a part of it.
    NotLinearizable(Vec<usize>),
    /// The search took too many steps.
    Undecided,
}

/// Looks for an order that explains the history, in so many steps at most.
pub fn linearize<T: Object>(
    start: T,
    history: &[Recorded<T::Operation>],
    mut steps: usize,
) -> Verdict {
    let mut events = Events::new(history);
    let mut done = Bits::new(history.len());
    let mut seen = HashSet::new();
    let mut object = start;
    let mut order: Vec<(usize, T)> = Vec::new();
    let mut longest = Vec::new();
    let mut at = events.first();
    while !events.is_empty() {
        if steps == 0 {
            return Verdict::Undecided;
        }
        steps -= 1;
        let next = match events.call_at(at) {
            Some(operation) => {
                let after = object.after(&history[operation].operation).filter(|after| {
                    done.insert(operation);
                    let is_new = seen.insert((done.clone(), after.clone()));
                    if !is_new {
                        done.remove(operation);
                    }
                    is_new
                });
                match after {
                    Some(after) => {
                        order.push((operation, std::mem::replace(&mut object, after)));
                        events.lift(operation);
                        events.first()
                    }
                    None => events.next(at),
                }
            }
            // An operation has returned that fits nowhere: the last choice was wrong.
            None => {
                if order.len() > longest.len() {
                    longest = order.iter().map(|(operation, _)| *operation).collect();
                }
                let Some((operation, before)) = order.pop() else {
                    return Verdict::NotLinearizable(longest);
                };
                object = before;
                done.remove(operation);
                events.unlift(operation);
                events.next(events.call_of(operation))
            }
        };
        at = next;
    }
    Verdict::Linearizable(order.into_iter().map(|(operation, _)| operation).collect())
}

/// Calls and returns by time, as a doubly linked list from which an operation's two can be lifted out.
struct Events {
    /// The operation of an event, and whether it is the call.
    events: Vec<(usize, bool)>,
    calls: Vec<usize>,
    returns: Vec<usize>,
    /// Index 0 is before all events; event `i` is at `i + 1`, and the end after all of them.
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Events {
    fn new<O>(history: &[Recorded<O>]) -> Events {
        // Of events at the same time calls come first: the two operations overlap.
        let mut events: Vec<_> = (0..history.len())
            .flat_map(|at| [(history[at].called, 0, at), (history[at].returned, 1, at)])
            .collect();
        events.sort_unstable();
        let (mut calls, mut returns) = (vec![0; history.len()], vec![0; history.len()]);
        for (place, (_, kind, operation)) in events.iter().enumerate() {
            let places = if *kind == 0 { &mut calls } else { &mut returns };
            places[*operation] = place + 1;
        }
        let events: Vec<_> =
            events.iter().map(|(_, kind, operation)| (*operation, *kind == 0)).collect();
        let places = events.len() + 2;
        Events {
            events,
            calls,
            returns,
            next: (1..=places).collect(),
            previous: (0..places).map(|place| place.wrapping_sub(1)).collect(),
        }
    }

    fn first(&self) -> usize {
        self.next[0]
    }

    fn next(&self, at: usize) -> usize {
        self.next[at]
    }

    fn is_empty(&self) -> bool {
        self.first() == self.events.len() + 1
    }

    /// The operation that is called at this event; None if it is a return.
    fn call_at(&self, at: usize) -> Option<usize> {
        let (operation, is_call) = self.events[at - 1];
        is_call.then_some(operation)
    }

    fn call_of(&self, operation: usize) -> usize {
        self.calls[operation]
    }

    fn lift(&mut self, operation: usize) {
        for at in [self.calls[operation], self.returns[operation]] {
            let (previous, next) = (self.previous[at], self.next[at]);
            self.next[previous] = next;
            self.previous[next] = previous;
        }
    }

    /// Undoes the last `lift`.
    fn unlift(&mut self, operation: usize) {
        for at in [self.returns[operation], self.calls[operation]] {
            let (previous, next) = (self.previous[at], self.next[at]);
            self.next[previous] = at;
            self.previous[next] = at;
        }
    }
}

/// A set of operations.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Bits {
        Bits(vec![0; len.div_ceil(64)])
    }

    fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn remove(&mut self, at: usize) {
        self.0[at / 64] &= !(1 << (at % 64));
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// One number.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Register(i64);

    #[derive(Clone, Debug)]
    enum Operation {
        Write(i64),
        Read(i64),
        /// Adds one and returns the sum.
        Increment(i64),
    }
    use Operation::*;

    impl Object for Register {
        type Operation = Operation;

        fn after(&self, operation: &Operation) -> Option<Register> {
            match operation {
                Write(value) => Some(Register(*value)),
                Read(value) => (*value == self.0).then(|| self.clone()),
                Increment(sum) => (*sum == self.0 + 1).then_some(Register(*sum)),
            }
        }
    }

    fn history(operations: &[(u64, u64, Operation)]) -> Vec<Recorded<Operation>> {
        let recorded = |(called, returned, operation): &(u64, u64, Operation)| Recorded {
            called: *called,
            returned: *returned,
            operation: operation.clone(),
        };
        operations.iter().map(recorded).collect()
    }

    fn is_linearizable(operations: &[(u64, u64, Operation)]) -> bool {
        match linearize(Register(0), &history(operations), 1_000_000) {
            Verdict::Linearizable(order) => {
                assert_eq!(order.len(), operations.len());
                true
            }
            Verdict::NotLinearizable(_) => false,
            Verdict::Undecided => panic!("undecided: {operations:?}"),
        }
    }

    #[test]
    fn histories_that_an_order_explains_are_linearizable() {
        assert!(is_linearizable(&[]));
        assert!(is_linearizable(&[(0, 1, Write(1)), (2, 3, Read(1))]));
        // A read beside a write may see either value, and two of them one each.
        assert!(is_linearizable(&[(0, 10, Write(1)), (1, 2, Read(0)), (3, 4, Read(1))]));
        assert!(is_linearizable(&[(0, 10, Write(1)), (0, 10, Write(2)), (11, 12, Read(1))]));
        assert!(is_linearizable(&[(0, 9, Increment(2)), (0, 9, Increment(1)), (5, 9, Read(1))]));
    }

    #[test]
    fn histories_that_no_order_explains_are_not() {
        // Stale: the write was over.
        assert!(!is_linearizable(&[(0, 1, Write(1)), (2, 3, Read(0))]));
        // Once the new value was seen, the old one is gone.
        assert!(!is_linearizable(&[(0, 10, Write(1)), (1, 2, Read(1)), (3, 4, Read(0))]));
        // A lost update.
        assert!(!is_linearizable(&[(0, 9, Increment(1)), (0, 9, Increment(1))]));
        // From nowhere.
        assert!(!is_linearizable(&[(0, 9, Write(1)), (0, 9, Read(2))]));
        // Two readers that see two writes in different orders.
        assert!(!is_linearizable(&[
            (0, 20, Write(1)),
            (0, 20, Write(2)),
            (1, 2, Read(1)),
            (3, 4, Read(2)),
            (5, 6, Read(1)),
        ]));
    }

    /// Tries every order.
    fn is_linearizable_by_force(object: &Register, left: &[Recorded<Operation>]) -> bool {
        left.is_empty()
            || (0..left.len()).any(|first| {
                let is_possible = left.iter().all(|other| other.returned >= left[first].called);
                let after = object.after(&left[first].operation).filter(|_| is_possible);
                after.is_some_and(|after| {
                    let mut rest = left.to_vec();
                    rest.remove(first);
                    is_linearizable_by_force(&after, &rest)
                })
            })
    }

    #[test]
    fn short_histories_are_judged_as_by_trying_every_order() {
        let mut verdicts = [0; 2];
        for seed in 0..3000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let operations: Vec<_> = (0..rng.random_range(1..=6))
                .map(|_| {
                    let called = rng.random_range(0..12);
                    let value = rng.random_range(0..3);
                    let operation = match rng.random_range(0..3) {
                        0 => Write(value),
                        1 => Read(value),
                        _ => Increment(value),
                    };
                    (called, called + rng.random_range(0..8), operation)
                })
                .collect();
            let recorded = history(&operations);
            let expected = is_linearizable_by_force(&Register(0), &recorded);
            assert_eq!(is_linearizable(&operations), expected, "seed {seed}: {operations:?}");
            verdicts[usize::from(expected)] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 300), "{verdicts:?}");
    }
}
