//! LATENCY GRAPH: samples as columns of characters, the oldest one first, with their ages below.

use std::fmt::Write;

use crate::state::{LatencyHistory, LatencySample};

/// Columns in one line of the graph.
const COLUMNS: usize = 80;

/// Rows of characters.
const ROWS: u64 = 4;

/// The top of a column, by how much of its row it fills. Below it the column is filled.
const TOPS: [char; 3] = ['_', 'o', '#'];

const FILLED: char = '|';

/// The graph of an event, at the time `now` in seconds of Unix time.
pub fn draw(event: &str, history: &LatencyHistory, now: i64) -> String {
    let samples: Vec<LatencySample> = history.samples.iter().copied().collect();
    let values = || samples.iter().map(|sample| sample.milliseconds);
    let (low, high) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    let mut graph = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        graph,
        "{event} - high {high} ms, low {low} ms (all time high {} ms)",
        history.worst
    );
    let _ = writeln!(graph, "{}", "-".repeat(COLUMNS));
    for (index, part) in samples.chunks(COLUMNS).enumerate() {
        if index > 0 {
            graph.push('\n');
        }
        draw_line(&mut graph, part, low, high, now);
    }
    graph
}

fn draw_line(graph: &mut String, samples: &[LatencySample], low: u64, high: u64, now: i64) {
    let steps = ROWS * TOPS.len() as u64;
    let range = (high - low).max(1);
    let step = |value: u64| ((value - low) * steps / range).min(steps - 1);
    for row in (0..ROWS).rev() {
        graph.extend(samples.iter().map(|sample| {
            let above = step(sample.milliseconds).checked_sub(row * TOPS.len() as u64);
            above.map_or(' ', |above| TOPS.get(above as usize).copied().unwrap_or(FILLED))
        }));
        graph.push('\n');
    }
    let ages: Vec<String> = samples.iter().map(|sample| age(now - sample.time)).collect();
    let longest = ages.iter().map(String::len).max().unwrap_or(0);
    graph.push_str(&" ".repeat(samples.len()));
    graph.push('\n');
    for row in 0..longest {
        graph.extend(ages.iter().map(|age| age.as_bytes().get(row).map_or(' ', |b| *b as char)));
        graph.push('\n');
    }
}

/// So many seconds in the greatest unit that leaves at least one.
fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::latency::tests::history;

    #[test]
    fn a_graph_is_what_valkey_draws() {
        let samples = [
            (304, 20),
            (306, 30),
            (307, 11),
            (308, 15),
            (309, 19),
            (310, 23),
            (311, 27),
            (312, 31),
            (313, 35),
            (314, 39),
            (315, 43),
        ];
        let expected = "command - high 43 ms, low 11 ms (all time high 43 ms)\n\
            --------------------------------------------------------------------------------\n\
            \x20       _o#\n \
            o    _o|||\n\
            _|  _o|||||\n\
            ||_o|||||||\n\
            \x20          \n\
            11987654321\n\
            20sssssssss\n\
            ss         \n";
        assert_eq!(draw("command", &history(&samples), 316), expected);
    }

    #[test]
    fn one_sample_is_at_the_bottom() {
        let graph = draw("fast-command", &history(&[(7, 20)]), 7);
        let lines: Vec<&str> = graph.lines().collect();
        assert_eq!(lines[0], "fast-command - high 20 ms, low 20 ms (all time high 20 ms)");
        assert_eq!(lines[2..], [" ", " ", " ", "_", " ", "0", "s"]);
    }

    #[test]
    fn more_samples_than_columns_go_into_another_line() {
        let samples: Vec<(i64, u64)> = (0..81).map(|time| (time, time as u64)).collect();
        let graph = draw("command", &history(&samples), 81);
        let lines: Vec<&str> = graph.lines().collect();
        assert_eq!(lines[2].len(), 80);
        assert_eq!(
            lines[7],
            "1".repeat(22)
                + &"5".repeat(10)
                + &"4".repeat(10)
                + &"3".repeat(10)
                + &"2".repeat(10)
                + &"1".repeat(10)
                + "98765432"
        );
        assert_eq!(lines[10..], ["", "#", "|", "|", "|", " ", "1", "s"]);
    }

    #[test]
    fn ages_have_one_unit() {
        let ages = [0, 59, 60, 3_599, 3_600, 86_399, 86_400].map(age);
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "23h", "1d"]);
    }
}
