//! SCRIPT KILL and FUNCTION KILL, and what others are told while a script runs for long.

use std::time::Duration;

use crate::command::{CommandError, Cx, Result};
use crate::resp::Reply;
use crate::script::{RunningScript, ScriptKind};
use crate::state::Server;

const NOT_BUSY: CommandError = CommandError::of("NOTBUSY No scripts in execution right now.");

const UNKILLABLE: CommandError = CommandError::of(
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either \
     wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
);

const BUSY_SCRIPT: CommandError = CommandError::of(
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);

const BUSY_FUNCTION: CommandError = CommandError::of(
    "BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
);

/// The answer to commands that have to wait for the end of a script.
pub fn busy(server: &Server) -> CommandError {
    match server.scripts.running.get().map(|script| script.kind) {
        Some(ScriptKind::Function) => BUSY_FUNCTION,
        Some(ScriptKind::Script) | None => BUSY_SCRIPT,
    }
}

/// The script that runs for long. It shows itself while it runs, which may be a moment after others have found the
/// keyspace busy.
fn shown(server: &Server) -> Option<RunningScript> {
    const STEP: Duration = Duration::from_millis(1);
    const STEPS: u32 = 1000;
    let running = &server.scripts.running;
    for _ in 0..STEPS {
        let script = running.get();
        if script.is_some() || !server.keyspace.is_busy() {
            return script;
        }
        std::thread::sleep(STEP);
    }
    running.get()
}

/// Ends the running script, if it is of this kind.
pub fn kill(cx: &mut Cx<'_>, kind: ScriptKind, out: &mut Reply<'_>) -> Result {
    let running = &cx.server.scripts.running;
    let script = shown(cx.server).ok_or(NOT_BUSY)?;
    if script.has_written {
        return Err(UNKILLABLE);
    }
    if script.kind != kind {
        return Err(busy(cx.server));
    }
    running.kill();
    out.ok();
    Ok(())
}
