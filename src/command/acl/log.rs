//! ACL LOG.

use super::too_many;
use crate::acl::Entry;
use crate::command::{CommandError, Cx, Result};
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

/// Entries that are shown unless more are asked for.
const SHOWN: i64 = 10;

pub(super) fn log(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let count = match args.len() {
        2 => SHOWN,
        3 if args[2].eq_ignore_ascii_case(b"reset") => {
            cx.server.acl.log.clear();
            out.ok();
            return Ok(());
        }
        3 => parse_i64(args.at(2)).ok_or(CommandError::NOT_INTEGER)?,
        _ => return Err(too_many(args)),
    };
    let entries = cx.server.acl.log.newest(usize::try_from(count).unwrap_or(0));
    out.array(entries.len());
    entries.iter().for_each(|entry| write(entry, cx.now, out));
    Ok(())
}

fn write(entry: &Entry, now: i64, out: &mut Reply<'_>) {
    let denial = &entry.denial;
    out.map(10);
    out.bulk(b"count");
    out.integer(entry.count as i64);
    for (field, text) in [
        ("reason", denial.reason.name().as_bytes()),
        ("context", denial.context.name().as_bytes()),
        ("object", &denial.object),
        ("username", &denial.user),
    ] {
        out.bulk(field.as_bytes());
        out.bulk(text);
    }
    out.bulk(b"age-seconds");
    out.double((now - entry.updated).max(0) as f64 / 1000.0);
    out.bulk(b"client-info");
    out.bulk(&denial.client);
    for (field, number) in [
        ("entry-id", entry.id as i64),
        ("timestamp-created", entry.created),
        ("timestamp-last-updated", entry.updated),
    ] {
        out.bulk(field.as_bytes());
        out.integer(number);
    }
}
