//! What HRANDFIELD, SRANDMEMBER and ZRANDMEMBER have in common: counts, and replies of as many draws as
//! a client asks for.

use super::{CommandError, Result};
use crate::resp::{Mark, Reply};
use crate::value::number::parse_i64;

/// Bytes of a reply beyond which no more is drawn. A count is cheap to ask for, and what it asks for
/// may be more than there is memory.
const REPLY_LIMIT: usize = 512 << 20;

/// There is no room for so many.
pub const TOO_MANY: CommandError = CommandError::of("ERR value is out of range");

/// Reads how many elements are asked for: different ones, or if it is negative, draws.
pub fn count(text: &[u8]) -> Result<i64> {
    let count = parse_i64(text).ok_or(CommandError::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(CommandError::NO_OPPOSITE);
    }
    Ok(count)
}

/// A reply that is taken back if it gets too long.
pub struct Bounded {
    start: Mark,
    before: usize,
}

impl Bounded {
    /// What is written from now on is bounded.
    pub fn begin(out: &Reply<'_>) -> Bounded {
        Bounded { start: out.mark(), before: out.len() }
    }

    /// After each draw.
    ///
    /// # Errors
    /// Where the reply is too long; it is gone then.
    #[inline]
    pub fn check(&self, out: &mut Reply<'_>) -> Result {
        if out.len() - self.before > REPLY_LIMIT {
            out.truncate(self.start);
            return Err(TOO_MANY);
        }
        Ok(())
    }
}
