//! `FIELDS numfields field …`: how the commands around fields' expiry name them.

use smallvec::SmallVec;

use crate::command::{CommandError, Cx, Result, rewrite};
use crate::number::parse_i64;
use crate::resp::Args;

pub const WRONG_COUNT: CommandError = CommandError::of(
    "ERR numfields should be greater than 0 and match the provided number of fields",
);

/// The options, which begin at argument `options`, and what comes after the word FIELDS, which is
/// searched from argument `search` on.
pub fn split(args: Args<'_>, search: usize, options: usize) -> Result<(Args<'_>, Args<'_>)> {
    let at = (search..args.len() - 1)
        .find(|&at| is_keyword(args.at(at)))
        // As the last word it is none.
        .ok_or(WRONG_COUNT)?;
    Ok((args.until(at.max(options)).from(options), args.from(at + 1)))
}

/// The fields, where FIELDS has to be argument 2; `mismatch` is the error if they are not as many as
/// said.
pub fn at_once(args: Args<'_>, mismatch: CommandError) -> Result<Args<'_>> {
    if !is_keyword(args.at(2)) {
        return Err(CommandError::SYNTAX);
    }
    counted(args.from(3), 1, mismatch)
}

/// The arguments after a count: for each of so many fields `width`, and at least one field.
pub fn counted(args: Args<'_>, width: usize, mismatch: CommandError) -> Result<Args<'_>> {
    let fields = args.from(1);
    let count = parse_i64(args.at(0)).ok_or(CommandError::NOT_INTEGER)?;
    let fits = count > 0
        && usize::try_from(count).ok().and_then(|count| count.checked_mul(width))
            == Some(fields.len());
    if fits { Ok(fields) } else { Err(mismatch) }
}

/// Fields that a call has changed, as it names them; collected only for the journal.
pub type Changed<'a> = SmallVec<[&'a [u8]; 8]>;

/// Journals HDEL for exactly these fields in place of the call, if there are any.
pub fn journal_removed(cx: &mut Cx<'_>, fields: &[&[u8]]) {
    if !fields.is_empty() {
        let key = cx.key();
        let mut command = rewrite::Command::from_slice(&[b"HDEL", key.bytes]);
        command.extend_from_slice(fields);
        cx.journal_as(&key, command);
    }
}

/// Journals a command that begins with `head` in place of the call, for exactly these fields, if there are
/// any. Each takes so many of the words.
pub fn journal(cx: &mut Cx<'_>, head: &[&[u8]], words: &[&[u8]], width: usize) {
    if !words.is_empty() {
        let key = cx.key();
        let mut digits = itoa::Buffer::new();
        let mut command = rewrite::Command::from_slice(head);
        command.extend_from_slice(&[b"FIELDS", digits.format(words.len() / width).as_bytes()]);
        command.extend_from_slice(words);
        cx.journal_as(&key, command);
    }
}

/// Journals that exactly these fields expire `at` milliseconds of Unix time.
pub fn journal_expiring(cx: &mut Cx<'_>, fields: &[&[u8]], at: i64) {
    let mut digits = itoa::Buffer::new();
    let head = [b"HPEXPIREAT", cx.key().bytes, digits.format(at).as_bytes()];
    journal(cx, &head, fields, 1);
}

fn is_keyword(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"fields")
}
