//! HSCAN.

use super::{READS, read, reply};
use crate::command::scan::{ScanOptions, Scanned, parse_cursor};
use crate::command::{Command, Cx, Flags, Result};
use crate::glob;
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[Command {
    name: "hscan",
    arity: -3,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    run: scan,
    ..READS
}];

fn scan(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let now = cx.now;
    let cursor = parse_cursor(args.at(2))?;
    let Some(hash) = read(cx)? else {
        // Whatever the options are.
        out.array(2);
        out.bulk_integer(0);
        out.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(args.from(3), Scanned::Hash)?;
    let mut digits = itoa::Buffer::new();
    let mut found = Vec::new();
    let next = hash.scan(cursor, options.count, now, |field, value| {
        let matches = |pattern| glob::matches(pattern, field.bytes(&mut digits));
        if options.pattern.is_none_or(matches) {
            found.push((field, value));
        }
    });
    out.array(2);
    out.bulk_integer(next as i64);
    out.array(found.len() * if options.names_only { 1 } else { 2 });
    for (field, value) in found {
        reply(out, field);
        if !options.names_only {
            reply(out, value);
        }
    }
    Ok(())
}
