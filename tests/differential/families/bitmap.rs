//! Bitmaps.

use crate::commands::{Entry, command};

pub const COMMANDS: &[Entry] = &[
    command("bitcount", "key [bit-index [bit-index [BYTE|BIT]]]"),
    command(
        "bitfield",
        "key (GET field-type field-offset|OVERFLOW (WRAP|SAT|FAIL)|\
         SET field-type field-offset integer|INCRBY field-type field-offset integer)...",
    )
    .weight(40),
    command("bitfield_ro", "key (GET field-type field-offset)..."),
    command("bitop", "(AND|OR|XOR|NOT|DIFF) key key...").weight(20),
    command("bitpos", "key bit [bit-index [bit-index [BYTE|BIT]]]").weight(20),
    command("getbit", "key bit-offset"),
    command("setbit", "key bit-offset bit").weight(20),
];
