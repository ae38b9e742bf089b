//! `--scan`, `--bigkeys` and `--memkeys`: iterations over the keyspace.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use super::format::Style;
use super::options::Options;
use super::session::Session;
use super::words::{quote, split};
use crate::tools::client::{Client, Value};

/// An iteration with SCAN.
pub struct Scan {
    pattern: Option<Vec<u8>>,
    count: Option<u64>,
    cursor: Vec<u8>,
}

impl Scan {
    pub fn new(options: &Options) -> io::Result<Scan> {
        let pattern = match (&options.pattern, &options.quoted_pattern) {
            (Some(pattern), _) => Some(pattern.as_bytes().to_vec()),
            (None, Some(quoted)) => Some(
                split(quoted.as_bytes())
                    .and_then(|words| <[_; 1]>::try_from(words).ok())
                    .map(|[pattern]| pattern)
                    .ok_or_else(|| {
                        io::Error::new(
                            io::ErrorKind::InvalidInput,
                            "Invalid quoted string specified",
                        )
                    })?,
            ),
            (None, None) => None,
        };
        Ok(Scan { pattern, count: options.count, cursor: b"0".to_vec() })
    }

    /// The next keys; `None` after the last.
    pub async fn next(&mut self, client: &mut Client) -> io::Result<Vec<Vec<u8>>> {
        let count = self.count.map(|count| count.to_string());
        let mut args: Vec<&[u8]> = vec![b"SCAN", &self.cursor];
        if let Some(pattern) = &self.pattern {
            args.extend([b"MATCH", &pattern[..]]);
        }
        if let Some(count) = &count {
            args.extend([b"COUNT", count.as_bytes()]);
        }
        match client.call(&args).await? {
            Value::Array(items) => {
                let mut items = items.into_iter();
                if let (Some(Value::Bulk(cursor)), Some(Value::Array(keys)), None) =
                    (items.next(), items.next(), items.next())
                {
                    self.cursor = cursor;
                    let keys = keys.iter().filter_map(Value::as_bytes);
                    return Ok(keys.map(<[u8]>::to_vec).collect());
                }
                Err(unexpected("SCAN"))
            }
            Value::Error(text) => Err(refused(&text)),
            _ => Err(unexpected("SCAN")),
        }
    }

    pub fn is_over(&self) -> bool {
        self.cursor == b"0"
    }
}

pub fn unexpected(command: &str) -> io::Error {
    io::Error::other(format!("{command} has an unexpected reply"))
}

pub fn refused(text: &[u8]) -> io::Error {
    io::Error::other(String::from_utf8_lossy(text).into_owned())
}

/// Writes the keys, one a line.
pub async fn keys(options: &Options, session: &mut Session) -> io::Result<()> {
    let style = session.format.style;
    let Some(client) = session.client().await else { return Err(not_connected()) };
    let mut scan = Scan::new(options)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    loop {
        for key in scan.next(client).await? {
            match style {
                Style::Terminal => out.write_all(&quote(&key))?,
                _ => out.write_all(&key)?,
            }
            out.write_all(b"\n")?;
        }
        if scan.is_over() {
            return out.flush();
        }
        if let Some(interval) = options.interval {
            out.flush()?;
            tokio::time::sleep(interval).await;
        }
    }
}

/// The reason has been shown already.
pub fn not_connected() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// The totals of the keys of one type.
struct Type {
    name: Vec<u8>,
    /// The command for the size of a key, and the unit of its reply.
    command: &'static str,
    unit: &'static str,
    keys: u64,
    total: u64,
    biggest: Option<(Vec<u8>, u64)>,
}

/// Types, the commands for their sizes, and the units of these.
const TYPES: [(&str, &str, &str); 6] = [
    ("list", "LLEN", "items"),
    ("hash", "HLEN", "fields"),
    ("string", "STRLEN", "bytes"),
    ("stream", "XLEN", "entries"),
    ("set", "SCARD", "members"),
    ("zset", "ZCARD", "members"),
];

pub const INTRODUCTION: &str = "
# Scanning the entire keyspace to find biggest keys as well as
# average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec
# per 100 SCAN commands (not usually needed).
";

/// SCAN commands between two pauses.
const SCANS_PER_PAUSE: u64 = 100;

/// Finds the biggest key of each type: in elements, or in `memory`.
pub async fn biggest(options: &Options, session: &mut Session, memory: bool) -> io::Result<()> {
    let Some(client) = session.client().await else { return Err(not_connected()) };
    let mut out = io::stdout();
    writeln!(out, "{INTRODUCTION}")?;
    let mut scan = Scan::new(options)?;
    let samples = options.memkeys_samples.map(|samples| samples.to_string());
    let keyspace = keyspace_size(client).await?;
    let mut types: Vec<Type> = TYPES
        .iter()
        .map(|(name, command, unit)| Type::new(name.as_bytes(), command, unit))
        .collect();
    let (mut sampled, mut key_bytes, mut scans) = (0u64, 0u64, 0u64);
    loop {
        let keys = scan.next(client).await?;
        for key in &keys {
            client.send(&[&b"TYPE"[..], key]);
        }
        let mut found = Vec::new();
        for _ in &keys {
            found.push(match next_reply(client).await? {
                Value::Simple(name) => name,
                Value::Error(text) => return Err(refused(&text)),
                _ => return Err(unexpected("TYPE")),
            });
        }
        // A key that was removed meanwhile has no type, and one of a module no size.
        let mut sized = Vec::new();
        for (key, name) in keys.iter().zip(&found).filter(|(_, name)| *name != b"none") {
            let index = types.iter().position(|other| other.name == *name).unwrap_or_else(|| {
                types.push(Type::new(name, "", "?"));
                types.len() - 1
            });
            match (memory, types[index].command) {
                (true, _) => {
                    let mut args: Vec<&[u8]> = vec![b"MEMORY", b"USAGE", key];
                    if let Some(samples) = &samples {
                        args.extend([b"SAMPLES", samples.as_bytes()]);
                    }
                    client.send(&args);
                }
                (false, "") => continue,
                (false, command) => client.send(&[command.as_bytes(), key]),
            }
            sized.push((key, index));
        }
        let done = percentage(sampled, keyspace);
        sampled += keys.len() as u64;
        key_bytes += keys.iter().map(|key| key.len() as u64).sum::<u64>();
        for (key, index) in sized {
            let size = match next_reply(client).await? {
                Value::Integer(size) => size as u64,
                // The key was removed, or has become another type.
                Value::Null | Value::Error(_) => continue,
                _ => return Err(unexpected("the size of a key")),
            };
            types[index].add(key, size, memory, done, &mut out)?;
        }
        if scan.is_over() {
            break;
        }
        scans += 1;
        pause(options, scans).await;
    }
    summary(&types, memory, sampled, key_bytes, &mut out)
}

/// The number of keys.
pub async fn keyspace_size(client: &mut Client) -> io::Result<u64> {
    match client.call(&["DBSIZE"]).await? {
        Value::Integer(size) => Ok(size as u64),
        Value::Error(text) => Err(refused(&text)),
        _ => Err(unexpected("DBSIZE")),
    }
}

/// How much of the keyspace has been seen.
pub fn percentage(sampled: u64, keyspace: u64) -> f64 {
    (100.0 * sampled as f64 / keyspace.max(1) as f64).min(100.0)
}

/// Waits as long as the options say, after every hundredth SCAN.
pub async fn pause(options: &Options, scans: u64) {
    if let Some(interval) = options.interval
        && scans.is_multiple_of(SCANS_PER_PAUSE)
    {
        tokio::time::sleep(interval).await;
    }
}

pub async fn next_reply(client: &mut Client) -> io::Result<Value> {
    loop {
        match client.receive().await? {
            Value::Push(_) => {}
            reply => return Ok(reply),
        }
    }
}

impl Type {
    fn new(name: &[u8], command: &'static str, unit: &'static str) -> Type {
        Type { name: name.to_vec(), command, unit, keys: 0, total: 0, biggest: None }
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    fn unit(&self, memory: bool) -> &'static str {
        if memory { "bytes" } else { self.unit }
    }

    fn add(
        &mut self,
        key: &[u8],
        size: u64,
        memory: bool,
        done: f64,
        out: &mut impl Write,
    ) -> io::Result<()> {
        self.keys += 1;
        self.total += size;
        if self.biggest.as_ref().is_some_and(|(_, biggest)| size <= *biggest) {
            return Ok(());
        }
        self.biggest = Some((key.to_vec(), size));
        writeln!(
            out,
            "[{done:05.2}%] Biggest {:<6} found so far '{}' with {size} {}",
            self.name(),
            String::from_utf8_lossy(&quote(key)),
            self.unit(memory)
        )
    }
}

fn summary(
    types: &[Type],
    memory: bool,
    sampled: u64,
    key_bytes: u64,
    out: &mut impl Write,
) -> io::Result<()> {
    let average =
        |total: u64, count: u64| if count == 0 { 0.0 } else { total as f64 / count as f64 };
    writeln!(out, "\n-------- summary -------\n")?;
    writeln!(out, "Sampled {sampled} keys in the keyspace!")?;
    writeln!(
        out,
        "Total key length in bytes is {key_bytes} (avg len {:.2})\n",
        average(key_bytes, sampled)
    )?;
    for kind in types {
        if let Some((key, size)) = &kind.biggest {
            writeln!(
                out,
                "Biggest {:>6} found '{}' has {size} {}",
                kind.name(),
                String::from_utf8_lossy(&quote(key)),
                kind.unit(memory)
            )?;
        }
    }
    writeln!(out)?;
    for kind in types {
        writeln!(
            out,
            "{} {}s with {} {} ({:05.2}% of keys, avg size {:.2})",
            kind.keys,
            kind.name(),
            kind.total,
            kind.unit(memory),
            100.0 * average(kind.keys, sampled),
            average(kind.total, kind.keys)
        )?;
    }
    Ok(())
}
