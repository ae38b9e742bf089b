//! `--stat`: the server's statistics, line by line.

use std::io::{self, Write};
use std::time::Duration;

use super::options::Options;
use super::session::Session;
use crate::tools::client::Value;

const HEADER: &str = "\
------- data ------ --------------------- load -------------------- - child -
keys       mem      clients blocked requests            connections          ";

/// Lines between two headers.
const LINES_PER_HEADER: u64 = 20;

/// Writes a line every second (or every `-i`), until the connection ends.
pub async fn run(options: &Options, session: &mut Session) -> io::Result<()> {
    let Some(client) = session.client().await else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let mut out = io::stdout();
    let mut requests_before = 0;
    for line in 0u64.. {
        let info = match client.call(&["INFO"]).await? {
            Value::Error(text) => {
                return Err(io::Error::other(String::from_utf8_lossy(&text).into_owned()));
            }
            reply => String::from_utf8_lossy(reply.as_bytes().unwrap_or_default()).into_owned(),
        };
        if line % LINES_PER_HEADER == 0 {
            writeln!(out, "{HEADER}")?;
        }
        let requests = number(&info, "total_commands_processed");
        let new = if line == 0 { 0 } else { requests - requests_before };
        requests_before = requests;
        writeln!(out, "{}", row(&info, requests, new))?;
        out.flush()?;
        tokio::time::sleep(options.interval.unwrap_or(Duration::from_secs(1))).await;
    }
    Ok(())
}

fn row(info: &str, requests: i64, new: i64) -> String {
    let child = match () {
        () if number(info, "rdb_bgsave_in_progress") == 1 => "SAVE",
        () if number(info, "aof_rewrite_in_progress") == 1 => "AOF",
        () if number(info, "loading") == 1 => "LOAD",
        () => "",
    };
    format!(
        "{:<11}{:<9}{:<8}{:<8}{:<20}{:<12}{child}",
        keys(info),
        bytes(number(info, "used_memory")),
        number(info, "connected_clients"),
        number(info, "blocked_clients"),
        format!("{requests} (+{new})"),
        number(info, "total_connections_received"),
    )
}

/// Keys of all databases.
fn keys(info: &str) -> i64 {
    let databases = info.lines().filter(|line| line.starts_with("db"));
    databases
        .filter_map(|line| line.split_once(":keys=")?.1.split(',').next()?.parse::<i64>().ok())
        .sum()
}

fn number(info: &str, field: &str) -> i64 {
    info.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.trim().parse().ok())
        .unwrap_or(0)
}

fn bytes(count: i64) -> String {
    let units = ["B", "K", "M", "G"];
    let mut amount = count as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count}B") } else { format!("{amount:.2}{}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_columns_of_the_header() {
        let info = "used_memory:4404019\r\nconnected_clients:1\r\nblocked_clients:0\r\n\
                    total_connections_received:3962\r\nrdb_bgsave_in_progress:0\r\n\
                    db0:keys=2000,expires=0\r\ndb3:keys=19,expires=1\r\n";
        assert_eq!(
            row(info, 12956230, 0),
            "2019       4.20M    1       0       12956230 (+0)       3962        "
        );
    }
}
