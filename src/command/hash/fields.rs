//! `FIELDS numfields field …`: how the commands around fields' expiry name them.

use crate::command::{CommandError, Result};
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

fn is_keyword(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"fields")
}
