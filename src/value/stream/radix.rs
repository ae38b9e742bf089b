//! The size of a radix tree.

use super::StreamId;

/// Bytes of an id as a key.
const KEY: usize = 16;

/// The number of nodes of a radix tree of these keys, which ascend. A node holds a run of bytes
/// without a branch, or the bytes of one branch, or nothing at the end of a key; an empty tree has
/// one.
pub fn nodes(keys: impl Iterator<Item = StreamId>) -> usize {
    let mut keys = keys.map(StreamId::to_bytes);
    let Some(mut previous) = keys.next() else { return 1 };
    let mut count = 0;
    // The depths of the branches on the path to the last key. The key before it may still be found to
    // have others above it.
    let mut choices: Vec<usize> = Vec::new();
    // Closes a node at `depth`, below the choice at `above`: it, and the run of bytes that leads to it.
    let closed = |depth: usize, above: Option<&usize>| {
        let from = above.map_or(0, |above| above + 1);
        1 + usize::from(depth > from)
    };
    for key in keys {
        let common = key.iter().zip(&previous).take_while(|(a, b)| a == b).count();
        let deepest = choices.last().copied().filter(|deepest| *deepest > common);
        count += closed(KEY, Some(&deepest.unwrap_or(common)));
        while let Some(depth) = choices.pop_if(|depth| *depth > common) {
            let above = choices.last().copied().unwrap_or(common).max(common);
            count += closed(depth, Some(&above));
        }
        if choices.last() != Some(&common) {
            choices.push(common);
        }
        previous = key;
    }
    count += closed(KEY, choices.last());
    while let Some(depth) = choices.pop() {
        count += closed(depth, choices.last());
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(ids: &[(u64, u64)]) -> usize {
        nodes(ids.iter().map(|&(ms, seq)| StreamId::new(ms, seq)))
    }

    /// Counts of Valkey 9.1.2 for streams with these nodes.
    #[test]
    fn the_count_is_that_of_valkey() {
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[(1, 1)]), 2);
        let hundreds = (0..10).map(|i| (1 + 100 * i, 1)).collect::<Vec<_>>();
        assert_eq!(count(&hundreds), 26);
    }
}
