//! HyperLogLogs.

use crate::commands::{Entry, command};

pub const COMMANDS: &[Entry] = &[
    command("pfadd", "key [element...]").weight(30),
    command("pfcount", "key..."),
    command("pfdebug", "(DECODE|ENCODING|TODENSE|NOTHING) key"),
    command("pfdebug", "GETREG key").weight(2),
    // Valkey replies twice to anything but ON and OFF.
    command("pfdebug", "SIMD ON|OFF").orderly().weight(1),
    command("pfmerge", "key [key...]"),
    command("set", "key sketch").weight(20),
];
