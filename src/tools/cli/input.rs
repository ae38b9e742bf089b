//! The standard input, read on a thread of its own, so that the connection lives on meanwhile.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;

/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 4;

/// Reads the standard input to its end, or to an error.
pub fn chunks() -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut chunk = vec![0; CHUNK];
            let chunk = match stdin.read(&mut chunk) {
                Ok(0) => return,
                Ok(n) => {
                    chunk.truncate(n);
                    Ok(chunk.into())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The lines of the standard input.
pub struct Lines {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
    /// The beginning of a line whose end is in a chunk to come.
    begun: Vec<u8>,
}

impl Lines {
    pub fn new() -> Lines {
        Lines::of(chunks())
    }

    fn of(chunks: mpsc::Receiver<io::Result<Bytes>>) -> Lines {
        Lines { chunks, chunk: Bytes::new(), begun: Vec::new() }
    }

    /// The next line, without its line break; `None` after the last. Can be cancelled.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.chunk) {
                let mut line = std::mem::take(&mut self.begun);
                line.extend_from_slice(&self.chunk.split_to(end + 1)[..end]);
                return Ok(Some(line));
            }
            self.begun.extend_from_slice(&std::mem::take(&mut self.chunk));
            match self.chunks.recv().await {
                Some(chunk) => self.chunk = chunk?,
                None if self.begun.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.begun))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_may_end_in_a_later_chunk() {
        let (sender, chunks) = mpsc::channel(8);
        for chunk in ["a\nb", "c", "\n\n", "d"] {
            sender.try_send(Ok(chunk.into())).unwrap();
        }
        drop(sender);
        let mut lines = Lines::of(chunks);
        for expected in ["a", "bc", "", "d"] {
            assert_eq!(lines.next().await.unwrap().as_deref(), Some(expected.as_bytes()));
        }
        assert_eq!(lines.next().await.unwrap(), None);
    }
}
