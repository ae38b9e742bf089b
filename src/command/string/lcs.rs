//! LCS.

use std::ops::RangeInclusive;

use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::keyspace::Key;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[Command {
    name: "lcs",
    arity: -3,
    flags: Flags::READONLY,
    acl: Categories::STRING,
    keys: &[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::String,
    run: lcs,
    ..Command::DEFAULT
}];

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: i64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options> {
        let mut options = Options::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"idx") {
                options.idx = true;
            } else if word.eq_ignore_ascii_case(b"len") {
                options.len = true;
            } else if word.eq_ignore_ascii_case(b"withmatchlen") {
                options.with_match_len = true;
            } else if word.eq_ignore_ascii_case(b"minmatchlen") {
                let len = words.next().ok_or(CommandError::SYNTAX)?;
                options.min_match_len = parse_i64(len).ok_or(CommandError::NOT_INTEGER)?;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        if options.len && options.idx {
            let both = "ERR If you want both the length and indexes, please just use IDX.";
            return Err(both.into());
        }
        Ok(options)
    }
}

fn lcs(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let [a, b] = [cx.keys[0], cx.keys[1]].map(|key| string(cx, &key));
    let (a, b) = (a?, b?);
    let options = Options::parse(args.from(3))?;
    let cells = (a.len() as u64 + 1) * (b.len() as u64 + 1);
    if cells.saturating_mul(size_of::<u32>() as u64) > cx.settings.proto_max_bulk_len as u64 {
        let text = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        return Err(text.into());
    }
    let table = Lengths::new(&a, &b);
    if options.len {
        out.integer(i64::from(table.at(a.len(), b.len())));
    } else if options.idx {
        let matches: Vec<Match> = table
            .matches(&a, &b)
            .filter(|found| found.len() as i64 >= options.min_match_len)
            .collect();
        out.map(2);
        out.bulk(b"matches");
        out.array(matches.len());
        for found in &matches {
            out.array(if options.with_match_len { 3 } else { 2 });
            for range in [&found.a, &found.b] {
                out.array(2);
                out.integer(*range.start() as i64);
                out.integer(*range.end() as i64);
            }
            if options.with_match_len {
                out.integer(found.len() as i64);
            }
        }
        out.bulk(b"len");
        out.integer(i64::from(table.at(a.len(), b.len())));
    } else {
        let mut common = vec![0; table.at(a.len(), b.len()) as usize];
        let mut end = common.len();
        for found in table.matches(&a, &b) {
            let start = end - found.len();
            common[start..end].copy_from_slice(&a[found.a]);
            end = start;
        }
        out.bulk(&common);
    }
    Ok(())
}

fn string(cx: &mut Cx<'_>, key: &Key<'_>) -> Result<Vec<u8>> {
    match cx.read(key) {
        Some(entry) => match entry.string(&mut itoa::Buffer::new()) {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(_) => Err("ERR The specified keys must contain string values".into()),
        },
        None => Ok(Vec::new()),
    }
}

/// A run of bytes that both strings have.
struct Match {
    a: RangeInclusive<usize>,
    b: RangeInclusive<usize>,
}

impl Match {
    fn len(&self) -> usize {
        self.a.end() - self.a.start() + 1
    }
}

/// Lengths of the longest common subsequences of all prefixes of two strings.
struct Lengths {
    /// Rows of `width`, one for each length of a prefix of the first string.
    cells: Vec<u32>,
    width: usize,
}

impl Lengths {
    fn new(a: &[u8], b: &[u8]) -> Lengths {
        let width = b.len() + 1;
        let mut cells = vec![0u32; (a.len() + 1) * width];
        let mut rows = cells.chunks_exact_mut(width);
        let mut above = rows.next().unwrap_or_default();
        for (&byte, row) in a.iter().zip(rows) {
            let mut left = 0;
            for ((cell, above), &other) in row[1..].iter_mut().zip(above.windows(2)).zip(b) {
                left = if byte == other { above[0] + 1 } else { left.max(above[1]) };
                *cell = left;
            }
            above = row;
        }
        Lengths { cells, width }
    }

    fn at(&self, a: usize, b: usize) -> u32 {
        self.cells[a * self.width + b]
    }

    /// The runs of the longest common subsequence, the last one first. Where several are as long, it
    /// is the one that is found by going back in the second string first.
    fn matches(&self, a: &[u8], b: &[u8]) -> impl Iterator<Item = Match> {
        let (mut i, mut j) = (a.len(), b.len());
        std::iter::from_fn(move || {
            while i > 0 && j > 0 {
                if a[i - 1] == b[j - 1] {
                    let (a_end, b_end) = (i - 1, j - 1);
                    while i > 0 && j > 0 && a[i - 1] == b[j - 1] {
                        i -= 1;
                        j -= 1;
                    }
                    return Some(Match { a: i..=a_end, b: j..=b_end });
                }
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_last_first() {
        let (a, b) = (b"ohmytext", b"mynewtext");
        let table = Lengths::new(a, b);
        assert_eq!(table.at(a.len(), b.len()), 6);
        let found: Vec<_> = table.matches(a, b).map(|found| (found.a, found.b)).collect();
        assert_eq!(found, [(4..=7, 5..=8), (2..=3, 0..=1)]);
    }
}
