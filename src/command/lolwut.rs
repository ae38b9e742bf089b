//! LOLWUT: a drawing, and the version of Valkey that this server is compatible with.
//!
//! The arguments are those of Valkey's drawings. Here all of them show a head of verbena: its florets lie
//! on the spiral that has the golden angle between one and the next.

use super::{Command, CommandError, Cx, Flags, Group, Result};
use crate::number::{parse_f64, parse_i64};
use crate::process::compatible_with;
use crate::random;
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[Command {
    name: "lolwut",
    arity: -1,
    flags: Flags::READONLY.union(Flags::FAST),
    group: Group::Server,
    run: lolwut,
    ..Command::DEFAULT
}];

/// From a floret's centre to the space between florets.
const SHADES: &[u8] = b"@%#*+=-:. ";

/// The angle that divides the circle in the golden ratio, in radians.
const GOLDEN_ANGLE: f64 = 2.399_963_229_728_653;

const FLORETS: usize = 180;

/// A character is so many times as high as it is wide.
const ASPECT: f64 = 2.0;

/// The parameters of a drawing.
struct Drawing {
    columns: usize,
    rows: usize,
    /// Added to the angle between two florets, in radians.
    twist: f64,
    /// Where the spiral begins, in radians.
    turn: f64,
}

fn lolwut(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let has_version = args.len() >= 3 && args[1].eq_ignore_ascii_case(b"version");
    let (version, args) = if has_version {
        // Valkey keeps 32 bits of it.
        (parse_i64(&args[2]).ok_or(CommandError::NOT_INTEGER)? as u32, args.from(3))
    } else {
        (9, args.from(1))
    };
    let (server, served) = compatible_with(cx.settings);
    // It begins a sentence.
    let server = if server == "redis" { "Redis" } else { "Valkey" };
    let drawing = match version {
        5 => squares(args)?,
        6 => landscape(args)?,
        // For Valkey, too, a number is as good as its first digit.
        _ if version.to_string().starts_with('9') => plane(args)?,
        _ => {
            out.verbatim(format!("{server} ver.{served}\n").as_bytes());
            return Ok(());
        }
    };
    let picture = drawing.draw();
    let text = format!("{picture}A head of verbena. {server} ver. {served}\n");
    out.verbatim(text.as_bytes());
    Ok(())
}

/// An argument that is a number: `default` if there is none, and between 1 and `most`.
fn number(args: Args<'_>, index: usize, default: i64, most: i64) -> Result<usize> {
    let number = match args.get(index) {
        Some(word) => parse_i64(word).ok_or(CommandError::NOT_INTEGER)?,
        None => default,
    };
    Ok(number.clamp(1, most) as usize)
}

/// LOLWUT VERSION 5 [columns [squares-per-row [squares-per-column]]]
fn squares(args: Args<'_>) -> Result<Drawing> {
    let columns = number(args, 0, 66, 1000)?;
    let per_row = number(args, 1, 8, 200)?;
    let per_column = number(args, 2, 12, 200)?;
    Ok(Drawing::at_random(columns, (columns * per_column / per_row / 2).clamp(1, 1000)))
}

/// LOLWUT VERSION 6 [columns [rows]]
fn landscape(args: Args<'_>) -> Result<Drawing> {
    Ok(Drawing::at_random(number(args, 0, 80, 1000)?, number(args, 1, 20, 1000)?))
}

/// LOLWUT VERSION 9 [columns rows] [real imaginary]
fn plane(args: Args<'_>) -> Result<Drawing> {
    if !matches!(args.len(), 0 | 2 | 4) {
        return Err("ERR Syntax error. Use: LOLWUT [columns rows] [real imaginary]".into());
    }
    let mut drawing = Drawing::at_random(number(args, 0, 80, 160)?, number(args, 1, 40, 80)?);
    if args.len() == 4 {
        let float = |index| parse_f64(args.at(index)).ok_or(CommandError::NOT_FLOAT);
        (drawing.twist, drawing.turn) = (float(2)?, float(3)?);
    }
    Ok(drawing)
}

impl Drawing {
    fn at_random(columns: usize, rows: usize) -> Drawing {
        let part = |range: f64| random::below(1000) as f64 / 1000.0 * range;
        Drawing { columns, rows, twist: part(0.02) - 0.01, turn: part(std::f64::consts::TAU) }
    }

    /// The florets' places, the head's radius being 1.
    fn florets(&self) -> Vec<(f64, f64)> {
        let place = |number: usize| {
            let radius = ((number as f64 + 0.5) / FLORETS as f64).sqrt();
            let angle = self.turn + number as f64 * (GOLDEN_ANGLE + self.twist);
            (radius * angle.cos(), radius * angle.sin())
        };
        (0..FLORETS).map(place).collect()
    }

    fn draw(&self) -> String {
        let florets = self.florets();
        // The smaller side has the whole head.
        let radius = (self.columns as f64).min(self.rows as f64 * ASPECT) / 2.0 * 0.92;
        let at = |place: usize, places: usize| place as f64 + 0.5 - places as f64 / 2.0;
        let mut text = String::with_capacity((self.columns + 1) * self.rows);
        for row in 0..self.rows {
            let y = at(row, self.rows) * ASPECT / radius;
            text.extend((0..self.columns).map(|column| {
                let x = at(column, self.columns) / radius;
                // Nothing is drawn outside of the head.
                if x.hypot(y) > 1.1 { ' ' } else { shade(&florets, x, y) }
            }));
            text.push('\n');
        }
        text
    }
}

/// The character at a place: darker, the nearer a floret is.
fn shade(florets: &[(f64, f64)], x: f64, y: f64) -> char {
    let distances = florets.iter().map(|(fx, fy)| (fx - x).hypot(fy - y));
    let nearest = distances.fold(f64::INFINITY, f64::min);
    // Half of the distance between neighbours.
    let reach = 1.0 / (FLORETS as f64).sqrt();
    let step = nearest / reach * (SHADES.len() - 1) as f64;
    SHADES.get(step as usize).filter(|_| step.is_finite()).map_or(' ', |shade| char::from(*shade))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_its_size_and_depends_on_its_numbers() {
        let drawing = |twist, turn| Drawing { columns: 30, rows: 12, twist, turn }.draw();
        let picture = drawing(0.0, 0.0);
        let lines: Vec<_> = picture.lines().collect();
        assert!(lines.len() == 12 && lines.iter().all(|line| line.len() == 30), "{picture}");
        assert!(lines[0].starts_with("   ") && picture.contains('@'), "{picture}");
        assert_eq!(picture, drawing(0.0, 0.0));
        assert_ne!(picture, drawing(0.3, 0.0));
        assert_eq!(drawing(f64::INFINITY, 1.0).trim(), "");
    }
}
