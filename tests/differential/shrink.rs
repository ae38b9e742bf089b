//! From a long sequence of steps that ends in a difference to a short one (delta debugging).

use std::time::{Duration, Instant};

use crate::pair::Difference;

/// Time after which what was reached is good enough.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two servers on which steps of one kind are executed, and their outcomes compared.
pub trait Bench {
    type Step: Clone;

    /// Empties both servers and connects anew.
    fn reset(&mut self);

    /// Executes the steps on both servers until one differs.
    fn execute(&mut self, steps: &[Self::Step]) -> Option<Difference>;

    /// The steps as something to paste into redis-cli.
    fn script(steps: &[Self::Step]) -> String;
}

/// The fewest steps found after which the last one still differs.
pub fn shrink<B: Bench>(bench: &mut B, steps: &[B::Step]) -> Vec<B::Step> {
    let deadline = Instant::now() + PATIENCE;
    let (last, before) = steps.split_last().expect("a step that differs");
    let mut differs = |before: &[B::Step]| {
        let steps = before.iter().chain([last]).cloned().collect::<Vec<_>>();
        bench.reset();
        bench.execute(&steps).is_some_and(|difference| difference.step + 1 == steps.len())
    };
    let mut kept = before.to_vec();
    let mut chunk = kept.len().max(1);
    while !kept.is_empty() && Instant::now() < deadline {
        let mut start = 0;
        let mut removed = false;
        while start < kept.len() && Instant::now() < deadline {
            let mut fewer = kept.clone();
            fewer.drain(start..(start + chunk).min(kept.len()));
            if differs(&fewer) {
                kept = fewer;
                removed = true;
            } else {
                start += chunk;
            }
        }
        if chunk > 1 {
            chunk = chunk.div_ceil(2);
        } else if !removed {
            break;
        }
    }
    kept.push(last.clone());
    kept
}
