//! DEBUG ASSERT, OOM, PANIC, SEGFAULT, RESTART and CRASH-AND-RECOVER: ends of the process.

use std::time::Duration;

use crate::command::{CommandError, Cx, Ending, Result};
use crate::number::parse_i64;
use crate::resp::Args;
use crate::state::{ControlRequest, unix_milliseconds};
use crate::{crash, process};

/// Ends the process as if it had failed.
pub fn crash(way: &[u8]) -> ! {
    match way {
        b"assert" => crash::die(crash::Failure::Assertion("DEBUG ASSERT called")),
        b"oom" => crash::out_of_memory(isize::MAX as usize),
        b"segfault" => crash::segfault(),
        _ => panic!("DEBUG PANIC called at Unix time {}", unix_milliseconds() / 1000),
    }
}

/// DEBUG RESTART [milliseconds] and DEBUG CRASH-AND-RECOVER [milliseconds]: the program is executed again,
/// in the same process, after the delay; the first one ends the server in good order before.
pub fn restart(cx: &mut Cx<'_>, args: Args<'_>) -> Result {
    let delay = match args.get(2) {
        Some(word) => parse_i64(word).ok_or(CommandError::NOT_INTEGER)?,
        None => 0,
    };
    let delay = Duration::from_millis(delay.max(0) as u64);
    if args[1].eq_ignore_ascii_case(b"restart") {
        // The control thread ends only with the process.
        let _ = cx.server.control.send(ControlRequest::Restart(delay));
        cx.caller.ending = Ending::AfterReply;
        return Ok(());
    }
    std::thread::sleep(delay);
    let error = process::execute_again();
    Err(format!("ERR failed to restart the server: {error}").into())
}
