//! DUMP and RESTORE. What is dumped is compared in `tests/dump`.

use crate::commands::{Entry, command};
use crate::compare::Rule;

pub const COMMANDS: &[Entry] = &[
    command("dump", "key").rule(Rule::Kind),
    command("restore", "key milliseconds payload [REPLACE] [ABSTTL] [IDLETIME seconds|FREQ count]")
        // In disorder, a key would live for a few milliseconds.
        .orderly()
        .weight(20),
    command("restore-asking", "key milliseconds payload [REPLACE]").orderly().weight(2),
];
