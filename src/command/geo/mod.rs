//! Commands on places on the earth, which are kept in sorted sets.

pub mod search;

use std::io::Write;

use super::sorted_set::add::{Rules, add_scored};
use super::sorted_set::read;
use super::{Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result};
use crate::geo::{INDEXED, Position};
use crate::number::parse_f64;
use crate::resp::{Args, Reply};

/// What commands that read have in common.
const READS: Command = Command {
    flags: Flags::READONLY,
    acl: Categories::GEO,
    keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    group: Group::Geo,
    ..Command::DEFAULT
};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "geoadd",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
        run: geoadd,
        ..READS
    },
    Command { name: "geodist", arity: -4, run: geodist, ..READS },
    Command { name: "geohash", arity: -2, run: geohash, ..READS },
    Command { name: "geopos", arity: -2, run: geopos, ..READS },
];

/// A unit of length.
#[derive(Clone, Copy)]
struct Unit {
    metres: f64,
}

impl Unit {
    const METRE: Unit = Unit { metres: 1.0 };

    fn parse(word: &[u8]) -> Result<Unit> {
        let metres = match &word.to_ascii_lowercase()[..] {
            b"m" => 1.0,
            b"km" => 1000.0,
            b"ft" => 0.3048,
            b"mi" => 1609.34,
            _ => {
                return Err("ERR unsupported unit provided. please use M, KM, FT, MI".into());
            }
        };
        Ok(Unit { metres })
    }
}

/// Reads a longitude and a latitude that can be indexed.
fn position(longitude: &[u8], latitude: &[u8]) -> Result<Position> {
    let number = |text| parse_f64(text).ok_or(CommandError::NOT_FLOAT);
    let position = Position { longitude: number(longitude)?, latitude: number(latitude)? };
    if INDEXED.contains(position) {
        return Ok(position);
    }
    let Position { longitude, latitude } = position;
    Err(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into())
}

/// A distance, with four decimals.
fn write_distance(out: &mut Reply<'_>, distance: f64) {
    let mut text = [0u8; 32];
    let ten_thousandths = (distance * 10_000.0).round_ties_even() as u64;
    let (whole, decimals) = (ten_thousandths / 10_000, ten_thousandths % 10_000);
    let mut rest = &mut text[..];
    // Two numbers of at most 20 and 4 digits fit.
    let _ = write!(rest, "{whole}.{decimals:04}");
    let unused = rest.len();
    out.bulk(&text[..32 - unused]);
}

/// A longitude and a latitude, with 17 decimals or as many as are not zero.
fn write_position(out: &mut Reply<'_>, position: Position) {
    out.array(2);
    for degrees in [position.longitude, position.latitude] {
        let text = format!("{degrees:.17}");
        out.double_text(text.trim_end_matches('0').trim_end_matches('.').as_bytes());
    }
}

fn geoadd(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let mut rules = Rules::default();
    let options: [(&[u8], fn(&mut Rules)); 3] = [
        (b"nx", |rules| rules.only_new = true),
        (b"xx", |rules| rules.only_known = true),
        (b"ch", |rules| rules.count_changed = true),
    ];
    let mut triples = args.from(2);
    while let Some(word) = triples.get(0)
        && let Some((_, set)) = options.iter().find(|(name, _)| word.eq_ignore_ascii_case(name))
    {
        set(&mut rules);
        triples = triples.from(1);
    }
    if !triples.len().is_multiple_of(3) || (rules.only_new && rules.only_known) {
        return Err(CommandError::SYNTAX);
    }
    let pairs = (0..triples.len()).step_by(3).map(|at| {
        let position = position(triples.at(at), triples.at(at + 1))?;
        Ok((triples.at(at + 2), position.score()))
    });
    let pairs = pairs.collect::<Result<Vec<_>>>()?;
    if pairs.is_empty() {
        return Err(CommandError::SYNTAX);
    }
    add_scored(cx, rules, &pairs, out)
}

fn geodist(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let unit = match args.get(4) {
        _ if args.len() > 5 => return Err(CommandError::SYNTAX),
        Some(word) => Unit::parse(word)?,
        None => Unit::METRE,
    };
    let set = read(cx, &cx.key())?;
    let position = |member| set.and_then(|set| set.score(member)).map(Position::of_score);
    match (position(args.at(2)), position(args.at(3))) {
        (Some(from), Some(to)) => write_distance(out, from.distance(to) / unit.metres),
        _ => out.null(),
    }
    Ok(())
}

fn geohash(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let set = read(cx, &cx.key())?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => out.bulk(&Position::of_score(score).geohash()),
            None => out.null(),
        }
    }
    Ok(())
}

fn geopos(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let set = read(cx, &cx.key())?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| set.score(member)) {
            Some(score) => write_position(out, Position::of_score(score)),
            None => out.null_array(),
        }
    }
    Ok(())
}
