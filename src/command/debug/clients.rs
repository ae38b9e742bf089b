//! DEBUG CLIENT-EVICTION, PROTECT-CLIENT and REPLYBUFFER: the memory of clients.

use std::fmt::Write;

use super::unknown;
use crate::command::{CommandError, Cx, Result};
use crate::config::MemoryOrPercent;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

/// Clients by the memory that they take: below 2^15 bytes, then a class for each power of two.
const SMALLEST_CLASS: u32 = 15;
const CLASSES: usize = 19;

/// DEBUG CLIENT-EVICTION: how much memory clients of each size take.
pub fn print_classes(cx: &mut Cx<'_>, out: &mut Reply<'_>) -> Result {
    if cx.settings.maxmemory_clients == MemoryOrPercent::Bytes(0) {
        return Err("ERR maxmemory-clients is disabled.".into());
    }
    let mut classes = [(0, 0); CLASSES];
    for record in cx.server.clients.all() {
        let memory = record.memory();
        let (bytes, clients) = &mut classes[class(memory)];
        *bytes += memory;
        *clients += 1;
    }
    let mut text = String::new();
    for (index, (bytes, clients)) in classes.into_iter().enumerate() {
        let end = 1u64 << (SMALLEST_CLASS + index as u32);
        let start = if index == 0 { 0 } else { end / 2 };
        let range = if index == CLASSES - 1 {
            format!("{start:10}+            ")
        } else {
            format!("{start:10} - {:10}", end - 1)
        };
        let _ = writeln!(text, "bucket {range}: tot-mem: {bytes:10}, clients: {clients}");
    }
    out.verbatim(text.as_bytes());
    Ok(())
}

/// The class of a client that takes so many bytes.
fn class(memory: u64) -> usize {
    let bits = u64::BITS - memory.leading_zeros();
    (bits.saturating_sub(SMALLEST_CLASS) as usize).min(CLASSES - 1)
}

/// DEBUG PROTECT-CLIENT id: a session ends when its own thread has nothing more to do for it, so no client
/// needs protection.
pub fn protect(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let id = parse_i64(&args[2]).and_then(|id| u64::try_from(id).ok());
    let id = id.ok_or("ERR Invalid client id")?;
    cx.server.clients.get(id).ok_or("ERR No such client")?;
    out.ok();
    Ok(())
}

/// DEBUG REPLYBUFFER: a client's send buffer is there only while it has replies, so its peak is not
/// kept, and nothing resizes it.
pub fn reply_buffer(args: Args<'_>, out: &mut Reply<'_>) -> Result {
    match args[2].to_ascii_lowercase().as_slice() {
        b"peak-reset-time" => {
            let word = args[3].to_ascii_lowercase();
            if word != b"never" && word != b"reset" && parse_i64(&word).is_none() {
                return Err(CommandError::NOT_INTEGER);
            }
        }
        b"resizing" => {}
        _ => return Err(unknown(args)),
    }
    out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_end_below_powers_of_two() {
        let classes = [0, 32_767, 32_768, 65_535, 65_536, u32::MAX.into(), 1 << 32, u64::MAX];
        assert_eq!(classes.map(class), [0, 0, 1, 1, 2, 17, 18, 18]);
    }
}
