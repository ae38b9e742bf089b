//! ACL DRYRUN.

use crate::command::permission::{self, Databases};
use crate::command::{CommandError, Cx, Result, table};
use crate::resp::{Args, Reply};

pub(super) fn dryrun(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let unknown = || CommandError::quoting("ERR User '", args.at(2), "' not found");
    let user = cx.server.acl.get(args.at(2)).ok_or_else(unknown)?;
    let call = args.from(3);
    let unknown = |_| CommandError::quoting("ERR Command '", call.at(0), "' not found");
    let found = table().resolve(call).map_err(unknown)?;
    found.check_arity(call)?;
    let databases = Databases { current: cx.caller.db, count: cx.server.keyspace.databases() };
    match permission::check(&user, found, call, databases) {
        Ok(()) => out.ok(),
        Err(denied) => out.bulk(&denied.verdict(&user, found, call)),
    }
    Ok(())
}
