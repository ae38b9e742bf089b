//! The request parser.

use verbena::resp::{Limits, ProtocolError, RequestParser};

type Requests = Vec<Vec<Vec<u8>>>;

/// However a stream is cut into pieces and batches, the parser finds the same requests and the same
/// error in it, and asks for no more bytes than a request of that length can have.
///
/// The first two bytes choose the limits and how the rest, the stream, is cut.
pub fn check(data: &[u8]) {
    let [mode, cut, stream @ ..] = data else { return };
    let limits =
        if mode & 1 == 1 { Limits::UNAUTHENTICATED } else { Limits::authenticated(1 << 20) };
    let whole = parse(stream, &limits, stream.len().max(1), usize::MAX);
    let pieces = parse(stream, &limits, usize::from(*cut) + 1, usize::from(mode >> 1) + 1);
    assert_eq!(whole, pieces);
}

/// Feeds `piece` bytes at a time, as a session does, with at most `batch` requests in a batch.
fn parse(
    stream: &[u8],
    limits: &Limits,
    piece: usize,
    batch: usize,
) -> (Requests, Option<ProtocolError>) {
    let mut parser = RequestParser::default();
    let mut found = Vec::new();
    let mut start = 0;
    let mut end = 0;
    while end < stream.len() {
        end = (end + piece).min(stream.len());
        loop {
            let input = &stream[start..end];
            let mut consumed = 0;
            let mut in_batch = 0;
            let mut needs_more = false;
            while in_batch < batch {
                match parser.parse(input, limits) {
                    Ok(Some(request)) => {
                        assert!(request.end > consumed && request.end <= input.len());
                        let args = parser.args(input, &request);
                        if !args.is_empty() {
                            found.push(args.iter().map(<[u8]>::to_vec).collect());
                        }
                        consumed = request.end;
                        in_batch += 1;
                    }
                    Ok(None) => {
                        needs_more = true;
                        break;
                    }
                    Err(error) => {
                        parser.begin(consumed);
                        return (found, Some(error));
                    }
                }
            }
            parser.begin(consumed);
            start += consumed;
            assert!(parser.expected() <= end - start + (1 << 20) + 6 * 64 * 1024 + 2);
            if needs_more {
                break;
            }
        }
    }
    (found, None)
}
