//! `--latency-dist`: how long PING takes, as a line of colours every second (or `-i`).

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::latency::{PAUSE, ping};
use super::options::Options;
use super::session::Session;

/// The classes of latency: a sign, and the microseconds that the class ends at.
const CLASSES: [(char, u64); 31] = [
    ('.', 10),
    ('-', 125),
    ('*', 250),
    ('#', 500),
    ('1', 1_000),
    ('2', 2_000),
    ('3', 3_000),
    ('4', 4_000),
    ('5', 5_000),
    ('6', 6_000),
    ('7', 7_000),
    ('8', 8_000),
    ('9', 9_000),
    ('A', 10_000),
    ('B', 20_000),
    ('C', 30_000),
    ('D', 40_000),
    ('E', 50_000),
    ('F', 100_000),
    ('G', 200_000),
    ('H', 300_000),
    ('I', 400_000),
    ('J', 500_000),
    ('K', 1_000_000),
    ('L', 2_000_000),
    ('M', 4_000_000),
    ('N', 8_000_000),
    ('O', 16_000_000),
    ('P', 30_000_000),
    ('Q', 60_000_000),
    ('?', u64::MAX),
];

/// Numbers of the terminal's 256 colours, for shares from nothing to all.
const SHARES: [u8; 19] =
    [0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 144, 143, 142, 184, 226, 214, 208, 202, 196];

/// Lines between two legends.
const LINES_PER_LEGEND: u64 = 20;

/// Measures, for ever.
pub async fn run(options: &Options, session: &mut Session) -> io::Result<()> {
    let Some(client) = session.client().await else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    let interval = options.interval.unwrap_or(Duration::from_secs(1));
    let mut out = io::stdout();
    for line in 0u64.. {
        let mut counts = [0u64; CLASSES.len()];
        let began = Instant::now();
        while began.elapsed() < interval {
            counts[class(ping(client).await?.as_micros() as u64)] += 1;
            tokio::time::sleep(PAUSE).await;
        }
        if line % LINES_PER_LEGEND == 0 {
            write!(out, "{}", legend())?;
        }
        writeln!(out, "{}", spectrum(&counts))?;
        out.flush()?;
    }
    Ok(())
}

fn class(micros: u64) -> usize {
    CLASSES.iter().position(|(_, end)| micros <= *end).unwrap_or(CLASSES.len() - 1)
}

fn spectrum(counts: &[u64]) -> String {
    let total = counts.iter().sum::<u64>().max(1);
    let mut line = "\x1b[38;5;0m".to_owned();
    for (count, (sign, _)) in counts.iter().zip(CLASSES) {
        // Only a share of nothing has the first colour.
        let share = (count * (SHARES.len() as u64 - 1)).div_ceil(total);
        line.push_str(&format!("\x1b[48;5;{}m{sign}", SHARES[share as usize]));
    }
    line.push_str("\x1b[0m");
    line
}

fn legend() -> String {
    let rule = "-".repeat(45);
    let colours: String = SHARES.iter().map(|share| format!("\x1b[48;5;{share}m ")).collect();
    format!(
        "{rule}
. - * #          .01 .125 .25 .5 milliseconds
1,2,3,...,9      from 1 to 9     milliseconds
A,B,C,D,E        10,20,30,40,50  milliseconds
F,G,H,I,J        .1,.2,.3,.4,.5       seconds
K,L,M,N,O,P,Q,?  1,2,4,8,16,30,60,>60 seconds
From 0 to 100%: {colours}\x1b[0m
{rule}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_a_class_and_a_share_has_a_colour() {
        for (micros, sign) in
            [(0, '.'), (10, '.'), (11, '-'), (999, '1'), (10_000, 'A'), (61_000_000, '?')]
        {
            assert_eq!(CLASSES[class(micros)].0, sign, "{micros}");
        }
        let mut counts = [0; CLASSES.len()];
        (counts[0], counts[1]) = (1, 999);
        let line = spectrum(&counts);
        assert!(
            line.starts_with("\x1b[38;5;0m\x1b[48;5;233m.\x1b[48;5;196m-\x1b[48;5;0m*"),
            "{line:?}"
        );
        assert!(line.ends_with("\x1b[48;5;0m?\x1b[0m"));
    }
}
