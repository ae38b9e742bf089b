//! Sampling with replacement, for HRANDFIELD, SRANDMEMBER and ZRANDMEMBER: a negative count asks for
//! so many draws from the whole collection, whatever its size.

use super::{CommandError, Result};
use crate::number::parse_i64;
use crate::random;
use crate::resp::Reply;

/// Bytes of the longest reply. A count is cheap to ask for, and the reply to it may be more than there
/// is memory. Valkey has no limit: it builds such a reply until the memory is used up.
const REPLY_LIMIT: usize = 512 << 20;

/// Bytes of the shortest element in a reply: `$0\r\n\r\n`.
const SHORTEST: usize = 6;

/// The reply would be longer than the limit.
pub const TOO_MANY: CommandError = CommandError::of("ERR value is out of range");

/// Reads how many elements are asked for: distinct ones, or if it is negative, draws.
pub fn parse_count(text: &[u8]) -> Result<i64> {
    let count = parse_i64(text).ok_or(CommandError::NOT_INTEGER)?;
    if count == i64::MIN {
        return Err(CommandError::NO_OPPOSITE);
    }
    Ok(count)
}

/// The number of draws that a negative count asks for.
///
/// # Errors
/// If the reply would be too long whatever the elements are.
pub fn draws(count: i64, out: &Reply<'_>) -> Result<usize> {
    let draws = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if draws > REPLY_LIMIT / SHORTEST && !ends(out) { Err(TOO_MANY) } else { Ok(draws) }
}

/// Whether the limit of the client's output buffer ends the reply before its length matters.
fn ends(out: &Reply<'_>) -> bool {
    out.most() < REPLY_LIMIT
}

/// The elements of a collection as the reply has them, to be drawn from at least as many times as there
/// are elements. It refers to nothing of the collection.
pub struct Sampler {
    encoded: Vec<u8>,
    /// Where in `encoded` each element begins, and where the last one ends.
    bounds: Vec<usize>,
}

impl Sampler {
    /// Encodes elements with `write`, for a reply like `out` of so many draws.
    ///
    /// # Errors
    /// If the reply can be expected to exceed the limit: `draws` times the elements' mean length.
    pub fn new<T>(
        out: &Reply<'_>,
        draws: usize,
        elements: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Reply<'_>, T),
    ) -> Result<Sampler> {
        // With at least as many draws as elements, this many bytes are within the limit too.
        let most = REPLY_LIMIT as u128 * elements.len() as u128 / draws.max(1) as u128;
        let mut bounds = Vec::with_capacity(elements.len() + 1);
        bounds.push(0);
        let mut encoded = Reply::new(&mut [], out.protocol);
        for element in elements {
            write(&mut encoded, element);
            bounds.push(encoded.len());
            if encoded.len() as u128 > most && !ends(out) {
                return Err(TOO_MANY);
            }
        }
        Ok(Sampler { encoded: encoded.into_chunks().concat(), bounds })
    }

    /// Appends so many draws to the reply.
    ///
    /// # Panics
    /// If there are no elements.
    pub fn write(&self, draws: usize, out: &mut Reply<'_>) {
        let elements = self.bounds.len() - 1;
        out.reserve((self.encoded.len() as u128 * draws as u128 / elements as u128) as usize);
        for _ in 0..draws {
            if out.is_full() {
                break;
            }
            let at = random::below(elements as u64) as usize;
            out.raw(&self.encoded[self.bounds[at]..self.bounds[at + 1]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Protocol;

    fn sampler(draws: usize, elements: &[&str]) -> Result<Sampler> {
        let out = Reply::new(&mut [], Protocol::Resp2);
        Sampler::new(&out, draws, elements.iter(), |out, element| out.bulk(element.as_bytes()))
    }

    #[test]
    fn the_mean_length_decides_whether_a_reply_is_allowed() {
        // 7 and 9 bytes of a reply: 8 on average.
        let most = REPLY_LIMIT / 8;
        assert!(sampler(most, &["a", "abc"]).is_ok());
        assert!(sampler(most + 1, &["a", "abc"]).is_err());
        let mut out = Reply::new(&mut [], Protocol::Resp2);
        assert!(draws(-((REPLY_LIMIT / SHORTEST) as i64), &out).is_ok());
        assert!(draws(-((REPLY_LIMIT / SHORTEST) as i64) - 1, &out).is_err());
        assert!(draws(-i64::MAX, &out).is_err());
        out.limit(1000);
        assert!(draws(-i64::MAX, &out).is_ok());
    }

    #[test]
    fn every_element_is_drawn_whole_and_as_often_as_the_others() {
        let sampler = sampler(3000, &["", "b", "long"]).unwrap();
        let mut out = Reply::new(&mut [], Protocol::Resp2);
        sampler.write(3000, &mut out);
        let text = String::from_utf8(out.into_chunks().concat()).unwrap();
        let count = |element: &str| text.matches(element).count();
        let counts = [count("$0\r\n\r\n"), count("$1\r\nb\r\n"), count("$4\r\nlong\r\n")];
        assert_eq!(counts.iter().sum::<usize>(), 3000);
        assert_eq!(text.len(), 6 * counts[0] + 7 * counts[1] + 10 * counts[2]);
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
