//! The server's side of a state: what the `redis` and `server` tables of a script ask for.

use crate::resp::Protocol;

/// How important a script's message for the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// Whether a script may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    Continue,
    /// It ends with this error, which it cannot catch.
    Stop(&'static str),
}

/// A function in a state, which keeps it until it is told to forget it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Function(pub(super) i32);

bitflags::bitflags! {
    /// Flags of a function, as its library registers them, or of a script, as its first line has them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ScriptFlags: u8 {
        const NO_WRITES = 1;
        const ALLOW_OOM = 2;
        const ALLOW_STALE = 4;
        const NO_CLUSTER = 8;
        const ALLOW_CROSS_SLOT_KEYS = 16;
    }
}

impl ScriptFlags {
    /// The flags and their names, in the order in which they are told.
    pub const NAMES: &[(&str, ScriptFlags)] = &[
        ("no-writes", ScriptFlags::NO_WRITES),
        ("allow-oom", ScriptFlags::ALLOW_OOM),
        ("allow-stale", ScriptFlags::ALLOW_STALE),
        ("no-cluster", ScriptFlags::NO_CLUSTER),
        ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
    ];

    /// Whether it is not to run where there is no memory left.
    pub fn needs_memory(self) -> bool {
        !self.intersects(ScriptFlags::ALLOW_OOM.union(ScriptFlags::NO_WRITES))
    }

    /// The flag of that name, whatever the case of its letters.
    pub fn named(name: &[u8]) -> Option<ScriptFlags> {
        let same = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(|(known, _)| same(known)).map(|(_, flag)| *flag)
    }
}

/// A function that a library registers.
#[derive(Debug)]
pub struct Registration<'a> {
    pub name: &'a [u8],
    pub function: Function,
    pub description: Option<&'a [u8]>,
    pub flags: ScriptFlags,
}

/// Answers a running script. No method calls into the state.
pub trait Host {
    /// Executes a command, with at least its name, and answers its reply as RESP of the version that the script has
    /// chosen. The strings that `arguments` borrows stand on Lua's stack.
    fn call(&mut self, arguments: &[&[u8]], protocol: Protocol) -> &[u8];

    fn log(&mut self, level: LogLevel, text: &[u8]);

    /// Where the effects of the commands that follow go: bit 0 to the append-only file, bit 1 to replicas.
    fn set_replication(&mut self, flags: u8);

    /// Whether the user may run a command; none if there is no such command.
    fn may_call(&mut self, arguments: &[&[u8]]) -> Option<bool>;

    /// A library registers a function while it is loaded. A refusal, which begins with its code, ends the load.
    fn register(&mut self, function: Registration<'_>) -> Result<(), Vec<u8>>;

    /// There is an error within the reply of the script, which is not counted yet.
    fn note_error(&mut self, text: &[u8]);

    /// Asked again and again while a script runs.
    fn interrupt(&mut self) -> Interrupt;
}
