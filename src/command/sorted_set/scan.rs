//! ZSCAN.

use super::{READS, read};
use crate::command::scan::{ScanOptions, Scanned, parse_cursor};
use crate::command::{Command, Cx, Result};
use crate::glob;
use crate::number::{format_f64, format_f64_in_full};
use crate::resp::{Args, Reply};
use crate::value::sorted_set::SortedSetRef;

pub const COMMANDS: &[Command] = &[Command {
    name: "zscan",
    arity: -3,
    tips: &["nondeterministic_output"],
    run: zscan,
    ..READS
}];

fn zscan(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let cursor = parse_cursor(args.at(2))?;
    let Some(set) = read(cx, &cx.key())? else {
        // Whatever the options are.
        out.array(2);
        out.bulk_integer(0);
        out.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(args.from(3), Scanned::SortedSet)?;
    let mut found = Vec::new();
    let next = set.scan(cursor, options.count, |member, score| {
        let member = member.bytes(&mut itoa::Buffer::new()).to_vec();
        if options.pattern.is_none_or(|pattern| glob::matches(pattern, &member)) {
            found.push((member, score));
        }
    });
    out.array(2);
    out.bulk_integer(next.into());
    out.array(found.len() * if options.names_only { 1 } else { 2 });
    for (member, score) in found {
        out.bulk(&member);
        if !options.names_only {
            // A string in both protocols.
            match set {
                SortedSetRef::Packed(_) => out.bulk(&format_f64(score)),
                SortedSetRef::Big(_) => out.bulk(format_f64_in_full(score).as_bytes()),
            }
        }
    }
    Ok(())
}
