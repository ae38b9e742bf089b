//! `oom-score-adj`: how readily the system ends this process where memory runs out.

use std::io;

use parking_lot::Mutex;

use crate::config::{OomScoreAdj, Settings, system_text};
use crate::log;

const FILE: &str = "/proc/self/oom_score_adj";

/// The value that the process had before the settings named another one; it has that one again when they
/// leave it to the system.
static ORIGINAL: Mutex<Option<i32>> = Mutex::new(None);

/// Puts the settings in force. A failure is logged.
pub fn adjust(settings: &Settings) -> io::Result<()> {
    adjust_file(settings).inspect_err(|error| {
        log::warning(format_args!("Unable to write oom_score_adj: {}", system_text(error)));
    })
}

fn adjust_file(settings: &Settings) -> io::Result<()> {
    let mut original = ORIGINAL.lock();
    let wanted = match (settings.oom_score_adj, *original) {
        (OomScoreAdj::No, None) => return Ok(()),
        (OomScoreAdj::No, Some(was)) => {
            *original = None;
            was
        }
        (way, _) => {
            let was = match *original {
                Some(was) => was,
                None => *original.insert(read()?),
            };
            let [primary, _, _] = settings.oom_score_adj_values.0;
            if way == OomScoreAdj::Absolute { primary } else { was + primary }
        }
    };
    std::fs::write(FILE, wanted.clamp(-1000, 1000).to_string())
}

fn read() -> io::Result<i32> {
    let text = std::fs::read_to_string(FILE)?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}
