//! Admission: what is checked before a command runs, in this order, whoever calls it.

use super::{
    Caller, CommandError, Env, Flags, Registered, Result, Scope, flags_of, permission, pubsub,
};
use crate::config::Settings;
use crate::lua::ScriptFlags;
use crate::resp::Args;
use crate::state::Server;

/// Whether the caller may run the command now, as far as that can be told without memory or locks. The
/// arity must have been checked before: see [`refusal`].
#[inline]
pub fn admit(env: &Env<'_>, caller: &Caller, found: &Registered, args: Args<'_>) -> Result {
    if caller.is_limited() || found.command.flags.contains(Flags::PROTECTED) {
        return admit_limited(env, caller, found, args);
    }
    Ok(())
}

/// [`admit`] for a caller that may not run everything now.
#[inline(never)]
fn admit_limited(env: &Env<'_>, caller: &Caller, found: &Registered, args: Args<'_>) -> Result {
    permission::authenticated(caller, found)?;
    restricted(caller, found, env.settings)?;
    if caller.identity.is_restricted() && !permission::is_plainly_allowed(caller, found, args) {
        permission::admit(env.server, caller, found, args)?;
    }
    if caller.is_subscriber() || caller.monitors {
        receiver(caller, found)?;
    }
    Ok(())
}

/// What few commands need: that the configuration allows them to this client, or that they do not stand in a
/// transaction.
#[inline]
pub(super) fn restricted(caller: &Caller, found: &Registered, settings: &Settings) -> Result {
    if found.command.flags.intersects(Flags::NO_MULTI | Flags::PROTECTED) {
        return check_restrictions(caller, found, settings);
    }
    Ok(())
}

#[cold]
fn check_restrictions(caller: &Caller, found: &Registered, settings: &Settings) -> Result {
    if found.command.flags.contains(Flags::PROTECTED) {
        protected(caller, found, settings)?;
    }
    if is_out_of_place(caller, found) {
        let name = &found.full_name;
        return Err(format!("ERR Command '{name}' not allowed inside a transaction").into());
    }
    Ok(())
}

/// Whether a client may run a command that the configuration can forbid: those of DEBUG and MODULE.
fn protected(caller: &Caller, found: &Registered, settings: &Settings) -> Result {
    let (name, parameter, privilege) = if found.full_name == "debug" {
        ("DEBUG", "enable-debug-command", settings.enable_debug_command)
    } else {
        ("MODULE", "enable-module-command", settings.enable_module_command)
    };
    if caller.is_granted(privilege) {
        return Ok(());
    }
    Err(format!(
        "ERR {name} command not allowed. If the {parameter} option is set to \"local\", you can run it \
         from a local connection, otherwise you need to set this option in the configuration file, and \
         then restart the server."
    )
    .into())
}

/// What a client may run that waits for messages.
#[cold]
fn receiver(caller: &Caller, found: &Registered) -> Result {
    if caller.is_subscriber() && !pubsub::may_run_subscribed(&found.full_name) {
        let name = &found.full_name;
        return Err(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context"
        )
        .into());
    }
    let data = Flags::WRITE | Flags::READONLY | Flags::MAY_REPLICATE;
    if caller.monitors && found.command.flags.intersects(data) {
        return Err("ERR Replica can't interact with the keyspace".into());
    }
    Ok(())
}

/// Whether it is called in a transaction and may not be.
#[inline]
fn is_out_of_place(caller: &Caller, found: &Registered) -> bool {
    caller.transaction.is_queueing() && found.command.flags.contains(Flags::NO_MULTI)
}

/// Why a command is refused that is called with a wrong number of arguments.
pub fn refusal(caller: &Caller, found: &Registered) -> CommandError {
    let anonymous = permission::authenticated(caller, found).err();
    anonymous.unwrap_or_else(|| CommandError::arity(&found.full_name))
}

/// Whether the command is refused where there is no memory left. EXEC is if one of the queued commands
/// would be.
pub fn needs_memory(caller: &Caller, found: &Registered) -> bool {
    found.command.flags.contains(Flags::DENYOOM)
        || is_exec(found) && caller.transaction.flags().contains(Flags::DENYOOM)
}

/// Whether the command runs a script that says of itself that it may need memory. The thread must have entered the
/// keyspace: a script that runs has the engine that this asks.
#[cold]
pub fn script_needs_memory(server: &Server, found: &Registered, args: Args<'_>) -> bool {
    found.command.flags.contains(Flags::RUNS_SCRIPT)
        && flags_of(server, found, args).is_some_and(ScriptFlags::needs_memory)
}

/// Whether the command runs a script that says of itself that it changes nothing. As
/// [`script_needs_memory`], only within the keyspace.
#[cold]
pub fn script_only_reads(server: &Server, found: &Registered, args: Args<'_>) -> bool {
    found.command.flags.contains(Flags::RUNS_SCRIPT)
        && flags_of(server, found, args).is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES))
}

/// Whether the command may change the data, or is an EXEC of commands that may.
pub fn may_write(caller: &Caller, found: &Registered) -> bool {
    let writes = Flags::WRITE | Flags::MAY_REPLICATE;
    found.command.flags.intersects(writes)
        || is_exec(found) && caller.transaction.flags().intersects(writes)
}

/// Whether the command runs a script, or is an EXEC of commands that may.
pub fn runs_script(caller: &Caller, found: &Registered) -> bool {
    found.command.flags.contains(Flags::RUNS_SCRIPT)
        || is_exec(found) && caller.transaction.flags().contains(Flags::RUNS_SCRIPT)
}

/// Whether the command is added to the caller's queue instead of being executed.
#[inline]
pub fn is_queued(caller: &Caller, found: &Registered) -> bool {
    caller.is_limited()
        && caller.transaction.is_queueing()
        && !found.command.flags.contains(Flags::NOT_QUEUED)
}

/// Whether it is EXEC.
pub fn is_exec(found: &Registered) -> bool {
    found.command.scope == Scope::Transaction && found.command.name == "exec"
}

/// The scope of a call, which may depend on its arguments.
#[inline]
pub fn scope(found: &Registered, args: Args<'_>) -> Scope {
    found.command.scope_of.map_or(found.command.scope, |scope_of| scope_of(args))
}
