//! Errors that commands answer with.

use std::borrow::Cow;
use std::fmt;

/// An error reply: its code and its text, as they go over the wire after `-`. It may quote a
/// client's bytes, so it need not be UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandError {
    text: Cow<'static, [u8]>,
    /// It is in the statistics already: a script answers with the error of a command that it has called.
    counted: bool,
}

impl CommandError {
    pub const SYNTAX: CommandError = CommandError::of("ERR syntax error");
    pub const WRONG_TYPE: CommandError =
        CommandError::of("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const NOT_INTEGER: CommandError =
        CommandError::of("ERR value is not an integer or out of range");
    pub const NOT_FLOAT: CommandError = CommandError::of("ERR value is not a valid float");
    pub const NO_AUTH: CommandError = CommandError::of("NOAUTH Authentication required.");
    pub const OUT_OF_MEMORY: CommandError =
        CommandError::of("OOM command not allowed when used memory > 'maxmemory'.");
    pub const NO_SUCH_KEY: CommandError = CommandError::of("ERR no such key");
    pub const OUT_OF_RANGE: CommandError =
        CommandError::of("ERR value is out of range, must be positive");
    /// For a count whose sign has a meaning, where the smallest `i64` has no opposite.
    pub const NO_OPPOSITE: CommandError = CommandError::of(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    pub const INDEX_OUT_OF_RANGE: CommandError = CommandError::of("ERR index out of range");

    pub const fn of(text: &'static str) -> Self {
        CommandError { text: Cow::Borrowed(text.as_bytes()), counted: false }
    }

    /// The error, of which the statistics are not told again.
    pub fn counted(self) -> Self {
        CommandError { counted: true, ..self }
    }

    pub fn is_counted(&self) -> bool {
        self.counted
    }

    /// `ERR wrong number of arguments for 'get' command`; subcommands are named `config|get`.
    pub fn arity(name: &str) -> Self {
        format!("ERR wrong number of arguments for '{name}' command").into()
    }

    /// A word of the client's as it is, between two texts. Of a word with a zero byte in it only what
    /// comes before that: Valkey formats it as a C string.
    pub fn quoting(before: &str, word: &[u8], after: &str) -> Self {
        let end = memchr::memchr(0, word).unwrap_or(word.len());
        [before.as_bytes(), &word[..end], after.as_bytes()].concat().into()
    }

    /// The first word: what INFO errorstats counts by.
    pub fn code(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.text.split(|&b| b == b' ').next().unwrap_or_default())
    }

    /// The whole, without the leading `-`.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

impl From<String> for CommandError {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<Vec<u8>> for CommandError {
    fn from(text: Vec<u8>) -> Self {
        CommandError { text: Cow::Owned(text), counted: false }
    }
}

impl From<&'static str> for CommandError {
    fn from(text: &'static str) -> Self {
        CommandError::of(text)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl fmt::Debug for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

pub type Result<T = (), E = CommandError> = std::result::Result<T, E>;
