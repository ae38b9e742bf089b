//! LLEN, LINDEX, LRANGE, LPOS.

use super::*;
use crate::number::parse_i64;

const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

pub const COMMANDS: &[Command] = &[
    Command {
        name: "llen",
        arity: 2,
        flags: Flags::READONLY.union(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        run: |cx, _, out| {
            let key = cx.key();
            out.integer(with_list(cx, &key, |list| list.len())?.unwrap_or(0) as i64);
            Ok(())
        },
        ..LIST
    },
    Command {
        name: "lindex",
        arity: 3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READS)],
        run: index,
        ..LIST
    },
    Command {
        name: "lrange",
        arity: 4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READS)],
        run: elements,
        ..LIST
    },
    Command {
        name: "lpos",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READS)],
        run: positions,
        ..LIST
    },
];

/// The index that a number stands for; negative ones count from the tail.
pub(super) fn absolute(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

fn index(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let found = with_list(cx, &key, |list| {
        let index = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
        match absolute(index, list.len()).and_then(|index| list.get(index)) {
            Some(element) => bulk(element, out),
            None => out.null(),
        }
        Ok(())
    })?;
    match found {
        Some(replied) => replied,
        None => {
            out.null();
            Ok(())
        }
    }
}

fn elements(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let start = parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    let end = parse_i64(args.at(3)).ok_or(CommandError::NOT_INTEGER)?;
    let key = cx.key();
    let replied = with_list(cx, &key, |list| {
        let (first, count) = range(start, end, list.len());
        out.array(count);
        list.for_each(first, count, |element| bulk(element, out));
    })?;
    if replied.is_none() {
        out.array(0);
    }
    Ok(())
}

/// The words after the element in LPOS.
struct Sought {
    /// Matches to pass over, and from which end.
    skipped: u64,
    from: End,
    /// Matches to reply with; 0 for all of them.
    count: Option<u64>,
    /// Elements to compare at the most; 0 for all of them.
    compared: u64,
}

impl Sought {
    fn parse(args: Args<'_>) -> Result<Sought> {
        let mut sought = Sought { skipped: 0, from: End::Head, count: None, compared: 0 };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or(CommandError::SYNTAX)?;
            let natural = |error| {
                parse_i64(value).and_then(|n| u64::try_from(n).ok()).ok_or(CommandError::of(error))
            };
            match word.to_ascii_lowercase().as_slice() {
                b"rank" => {
                    let rank = parse_i64(value).ok_or(CommandError::NOT_INTEGER)?;
                    if rank == i64::MIN {
                        return Err(CommandError::NO_OPPOSITE);
                    }
                    if rank == 0 {
                        return Err(
                            "ERR RANK can't be zero: use 1 to start from the first match, \
                                    2 from the second ... or use negative to start from the end \
                                    of the list"
                                .into(),
                        );
                    }
                    sought.from = if rank < 0 { End::Tail } else { End::Head };
                    sought.skipped = rank.unsigned_abs() - 1;
                }
                b"count" => sought.count = Some(natural("ERR COUNT can't be negative")?),
                b"maxlen" => sought.compared = natural("ERR MAXLEN can't be negative")?,
                _ => return Err(CommandError::SYNTAX),
            }
        }
        Ok(sought)
    }

    /// The indexes of the matches.
    fn find(&self, list: ListRef<'_>, element: &[u8]) -> Vec<usize> {
        let needle = Element::of(element);
        let len = list.len();
        let compared = if self.compared == 0 { len } else { self.compared as usize };
        let wanted = match self.count {
            None => 1,
            Some(0) => len,
            Some(count) => count as usize,
        };
        let compared = list.iter(self.from).take(compared).enumerate();
        let matches = compared.filter(|(_, found)| *found == needle).map(|(at, _)| at);
        let matches = matches.skip(self.skipped as usize).take(wanted);
        match self.from {
            End::Head => matches.collect(),
            End::Tail => matches.map(|at| len - 1 - at).collect(),
        }
    }
}

fn positions(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let sought = Sought::parse(args.from(3))?;
    let key = cx.key();
    let found = with_list(cx, &key, |list| sought.find(list, args.at(2)))?;
    let is_one = sought.count.is_none();
    match found.unwrap_or_default()[..] {
        [] if is_one => out.null(),
        [at, ..] if is_one => out.integer(at as i64),
        ref all => {
            out.array(all.len());
            all.iter().for_each(|at| out.integer(*at as i64));
        }
    }
    Ok(())
}
