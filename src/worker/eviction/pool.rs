//! The best candidates for eviction of all that were sampled lately.

use smallvec::SmallVec;

/// Candidates that are remembered.
const SIZE: usize = 16;

/// A key that may be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The greater, the sooner it goes.
    pub score: u64,
    pub shard: usize,
    pub db: usize,
    pub hash: u64,
    pub key: SmallVec<[u8; 32]>,
}

/// Candidates, the best last.
#[derive(Default)]
pub struct Pool(Vec<Candidate>);

impl Pool {
    /// Whether a candidate of this score would be taken.
    #[inline]
    pub fn admits(&self, score: u64) -> bool {
        self.0.len() < SIZE || score > self.0[0].score
    }

    /// Takes a candidate in the place of the worst one, unless it is there already.
    pub fn offer(&mut self, candidate: Candidate) {
        let is_same = |other: &Candidate| {
            (other.hash, other.db, &other.key) == (candidate.hash, candidate.db, &candidate.key)
        };
        if !self.admits(candidate.score) || self.0.iter().any(is_same) {
            return;
        }
        if self.0.len() == SIZE {
            self.0.remove(0);
        }
        let at = self.0.partition_point(|other| other.score < candidate.score);
        self.0.insert(at, candidate);
    }

    /// Takes the best candidate out.
    pub fn take(&mut self) -> Option<Candidate> {
        self.0.pop()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_stay_and_the_very_best_goes_first() {
        let mut pool = Pool::default();
        let candidate = |score| Candidate {
            score,
            shard: 0,
            db: 0,
            hash: score,
            key: SmallVec::from_slice(&score.to_le_bytes()),
        };
        for score in [5, 40, 7, 3, 40].into_iter().chain(10..25) {
            pool.offer(candidate(score));
        }
        assert!(!pool.admits(10) && pool.admits(11));
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).map(|taken| taken.score).collect();
        assert_eq!(taken, [40].into_iter().chain((10..25).rev()).collect::<Vec<_>>());
    }
}
