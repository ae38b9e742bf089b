//! GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS and GEORADIUSBYMEMBER.

use std::cmp::Ordering;

use super::{READS, Unit, position, write_distance, write_position};
use crate::command::sorted_set::{store, store_journaled, view, write_member};
use crate::command::{
    BeginSearch, Command, CommandError, Cx, FindKeys, Flags, KeyFlags, KeySpec, Result,
};
use crate::geo::{Position, Shape};
use crate::keyspace::Key;
use crate::number::{parse_f64, parse_i64};
use crate::resp::{Args, Reply};
use crate::value::packed::Element;
use crate::value::sorted_set::{Builder, Limits, ScoreRange, SortedSetRef};

const SOURCE: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

const TARGET: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);

/// The key after STORE or STOREDIST, whichever comes last.
const fn stored_after(words: &'static [&'static str], from: i32) -> KeySpec {
    KeySpec {
        flags: TARGET.union(KeyFlags::VARIABLE_FLAGS),
        begin: BeginSearch::LastKeyword(words, from),
        find: FindKeys::Range { last: 0, step: 1, limit: 0 },
        notes: None,
    }
}

const RADIUS: Command = Command {
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    variable_flags: Some(|_| TARGET),
    ..READS
};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "georadius",
        arity: -6,
        keys: &[
            KeySpec::one(1, SOURCE),
            stored_after(&["STORE", "STOREDIST"], 6),
            stored_after(&["STOREDIST", "STORE"], 6),
        ],
        run: |cx, args, out| search(cx, args, Form::Radius { may_store: true }, out),
        ..RADIUS
    },
    Command {
        name: "georadius_ro",
        arity: -6,
        run: |cx, args, out| search(cx, args, Form::Radius { may_store: false }, out),
        ..READS
    },
    Command {
        name: "georadiusbymember",
        arity: -5,
        keys: &[
            KeySpec::one(1, SOURCE),
            stored_after(&["STORE", "STOREDIST"], 5),
            stored_after(&["STOREDIST", "STORE"], 5),
        ],
        run: |cx, args, out| search(cx, args, Form::RadiusByMember { may_store: true }, out),
        ..RADIUS
    },
    Command {
        name: "georadiusbymember_ro",
        arity: -5,
        run: |cx, args, out| search(cx, args, Form::RadiusByMember { may_store: false }, out),
        ..READS
    },
    Command {
        name: "geosearch",
        arity: -7,
        run: |cx, args, out| search(cx, args, Form::Search, out),
        ..READS
    },
    Command {
        name: "geosearchstore",
        arity: -8,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: &[KeySpec::one(1, TARGET), KeySpec::one(2, SOURCE)],
        run: |cx, args, out| search(cx, args, Form::SearchStore, out),
        ..READS
    },
];

/// Which of the commands it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Radius { may_store: bool },
    RadiusByMember { may_store: bool },
    Search,
    SearchStore,
}

/// What is asked for.
#[derive(Default)]
struct Query<'a> {
    center: Option<Position>,
    /// A center was given, though its member may not be known.
    is_centered: bool,
    extent: Option<Extent>,
    unit: Option<Unit>,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    order: Option<Order>,
    count: Option<usize>,
    any: bool,
    /// The key that STORE or STOREDIST name.
    target: Option<&'a [u8]>,
    store_distance: bool,
}

/// What is around the center, in units as the client gave them.
enum Extent {
    Radius(f64),
    Box(f64, f64),
    Polygon(Vec<Position>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// Reads a length that is called `name` in errors.
fn length(text: &[u8], name: &str) -> Result<f64> {
    parse_f64(text).ok_or_else(|| format!("ERR need numeric {name}").into())
}

impl<'a> Query<'a> {
    /// Reads a circle's radius and its unit.
    fn take_radius(&mut self, radius: &[u8], unit: &[u8]) -> Result {
        let radius = length(radius, "radius")?;
        if radius < 0.0 {
            return Err("ERR radius cannot be negative".into());
        }
        self.unit = Some(Unit::parse(unit)?);
        self.extent = Some(Extent::Radius(radius));
        Ok(())
    }

    fn take_box(&mut self, width: &[u8], height: &[u8], unit: &[u8]) -> Result {
        let (width, height) = (length(width, "width")?, length(height, "height")?);
        if width < 0.0 || height < 0.0 {
            return Err("ERR height or width cannot be negative".into());
        }
        self.unit = Some(Unit::parse(unit)?);
        self.extent = Some(Extent::Box(width, height));
        Ok(())
    }

    /// Reads a polygon's vertices; returns how many words that took.
    fn take_polygon(&mut self, words: Args<'_>) -> Result<usize> {
        let count = parse_i64(words.at(0)).and_then(|count| i32::try_from(count).ok());
        let count = count.ok_or(CommandError::of("ERR invalid number of vertices"))?;
        let count = usize::try_from(count).unwrap_or(0);
        if count < 3 || words.len() - 1 < 2 * count {
            return Err("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices".into());
        }
        let vertex = |index| position(words.at(1 + 2 * index), words.at(2 + 2 * index));
        let vertices = (0..count).map(vertex).collect::<Result<Vec<_>>>()?;
        self.unit = Some(Unit::METRE);
        self.extent = Some(Extent::Polygon(vertices));
        Ok(1 + 2 * count)
    }

    fn take_member(&mut self, set: Option<SortedSetRef<'_>>, member: &[u8]) -> Result {
        self.is_centered = true;
        let Some(set) = set else { return Ok(()) };
        let score = set
            .score(member)
            .ok_or_else(|| CommandError::quoting("ERR member ", member, " does not exist"))?;
        self.center = Some(Position::of_score(score));
        Ok(())
    }

    fn take_center(&mut self, longitude: &[u8], latitude: &[u8]) -> Result {
        self.center = Some(position(longitude, latitude)?);
        self.is_centered = true;
        Ok(())
    }

    /// Reads what follows the key, or `None` for what cannot be read without one.
    fn parse(args: Args<'a>, form: Form, set: Option<SortedSetRef<'_>>) -> Result<Query<'a>> {
        let mut query = Query::default();
        let mut words = match form {
            Form::Radius { .. } => {
                query.take_center(args.at(2), args.at(3))?;
                query.take_radius(args.at(4), args.at(5))?;
                args.from(6)
            }
            Form::RadiusByMember { .. } => {
                query.take_member(set, args.at(2))?;
                if set.is_some() {
                    query.take_radius(args.at(3), args.at(4))?;
                }
                args.from(5)
            }
            Form::Search => args.from(2),
            Form::SearchStore => args.from(3),
        };
        let mut by_member = None;
        while let Some(word) = words.get(0) {
            let values = words.from(1);
            let taken = query.take_option(word, values, form)?;
            let taken = match taken {
                Some(taken) => taken,
                None if matches!(form, Form::Search | Form::SearchStore) => {
                    query.take_search(word, values, set, &mut by_member)?
                }
                None => return Err(CommandError::SYNTAX),
            };
            words = values.from(taken);
        }
        query.check(form, &args[0])?;
        Ok(query)
    }

    /// Reads an option that all commands have, and returns how many values it took.
    fn take_option(&mut self, word: &[u8], values: Args<'a>, form: Form) -> Result<Option<usize>> {
        let may_store = matches!(
            form,
            Form::Radius { may_store: true } | Form::RadiusByMember { may_store: true }
        );
        match (&word.to_ascii_lowercase()[..], values.get(0)) {
            (b"withdist", _) => self.with_distance = true,
            (b"withhash", _) => self.with_hash = true,
            (b"withcoord", _) => self.with_position = true,
            (b"any", _) => self.any = true,
            (b"asc", _) => self.order = Some(Order::Ascending),
            (b"desc", _) => self.order = Some(Order::Descending),
            (b"count", Some(count)) => {
                let count = parse_i64(count).ok_or(CommandError::NOT_INTEGER)?;
                let count = usize::try_from(count).ok().filter(|count| *count > 0);
                self.count = Some(count.ok_or(CommandError::of("ERR COUNT must be > 0"))?);
                return Ok(Some(1));
            }
            (name @ (b"store" | b"storedist"), Some(key)) if may_store => {
                self.target = Some(key);
                self.store_distance = name == b"storedist";
                return Ok(Some(1));
            }
            (b"storedist", _) if form == Form::SearchStore => self.store_distance = true,
            _ => return Ok(None),
        }
        Ok(Some(0))
    }

    /// Reads one of GEOSEARCH's centers and extents, and returns how many values it took. `by_member`
    /// says how the center was given.
    fn take_search(
        &mut self,
        word: &[u8],
        values: Args<'_>,
        set: Option<SortedSetRef<'_>>,
        by_member: &mut Option<bool>,
    ) -> Result<usize> {
        let is_polygon = matches!(self.extent, Some(Extent::Polygon(_)));
        match (&word.to_ascii_lowercase()[..], values.len()) {
            (b"frommember", 1..) if *by_member != Some(false) && !is_polygon => {
                *by_member = Some(true);
                self.take_member(set, values.at(0))?;
                Ok(1)
            }
            (b"fromlonlat", 2..) if *by_member != Some(true) && !is_polygon => {
                *by_member = Some(false);
                self.take_center(values.at(0), values.at(1))?;
                Ok(2)
            }
            (b"byradius", 2..) if matches!(self.extent, None | Some(Extent::Radius(_))) => {
                self.take_radius(values.at(0), values.at(1))?;
                Ok(2)
            }
            (b"bybox", 3..) if matches!(self.extent, None | Some(Extent::Box(..))) => {
                self.take_box(values.at(0), values.at(1), values.at(2))?;
                Ok(3)
            }
            (b"bypolygon", 2..) if by_member.is_none() && (is_polygon || self.extent.is_none()) => {
                self.take_polygon(values)
            }
            _ => Err(CommandError::SYNTAX),
        }
    }

    fn check(&self, form: Form, name: &[u8]) -> Result {
        let shows = self.with_distance || self.with_hash || self.with_position;
        if shows && (self.target.is_some() || form == Form::SearchStore) {
            let text = match form {
                Form::SearchStore => {
                    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
                _ => {
                    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and \
                     WITHCOORD options"
                }
            };
            return Err(CommandError::of(text));
        }
        if matches!(form, Form::Search | Form::SearchStore) {
            let one_of = |what| {
                let before = format!("ERR exactly one of {what} can be specified for ");
                Err(CommandError::quoting(&before, name, ""))
            };
            if !self.is_centered && !matches!(self.extent, Some(Extent::Polygon(_))) {
                return one_of("FROMMEMBER or FROMLONLAT");
            }
            if self.extent.is_none() {
                return one_of("BYRADIUS, BYBOX and BYPOLYGON");
            }
        }
        if self.any && self.count.is_none() {
            return Err("ERR the ANY argument requires COUNT argument".into());
        }
        Ok(())
    }

    /// The shape, in metres, and the unit of the reply.
    fn shape(&self) -> Option<(Shape, Unit)> {
        let unit = self.unit?;
        let shape = match (self.extent.as_ref()?, self.center) {
            (Extent::Polygon(vertices), _) => Shape::polygon(vertices.clone()),
            (Extent::Radius(radius), Some(center)) => {
                Shape::Circle { center, radius: radius * unit.metres }
            }
            (Extent::Box(width, height), Some(center)) => {
                Shape::Box { center, width: width * unit.metres, height: height * unit.metres }
            }
            (_, None) => return None,
        };
        Some((shape, unit))
    }
}

/// A member that was found.
struct Place<'a> {
    member: Element<'a>,
    score: f64,
    position: Position,
    /// In the query's unit.
    distance: f64,
}

/// What is in the shape, in the order in which the cells and their members come.
fn find<'s>(set: SortedSetRef<'s>, query: &Query<'_>) -> Vec<Place<'s>> {
    let Some((shape, unit)) = query.shape() else { return Vec::new() };
    let most = query.count.filter(|_| query.any).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for cell in shape.cells() {
        let scores = cell.scores();
        let span = set.score_span(&ScoreRange::before(scores.start, scores.end));
        for (member, score) in set.iter(span) {
            if found.len() >= most {
                return found;
            }
            let position = Position::of_score(score);
            if let Some(distance) = shape.distance(position) {
                found.push(Place { member, score, position, distance: distance / unit.metres });
            }
        }
    }
    found
}

/// Puts what was found in order and keeps as much as was asked for.
fn select(found: &mut Vec<Place<'_>>, query: &Query<'_>) {
    // The nearest are meant, unless any will do.
    let nearest = (query.count.is_some() && !query.any).then_some(Order::Ascending);
    let by_distance = |a: &Place<'_>, b: &Place<'_>| {
        a.distance.partial_cmp(&b.distance).unwrap_or(Ordering::Equal)
    };
    match query.order.or(nearest) {
        Some(Order::Ascending) => found.sort_by(by_distance),
        Some(Order::Descending) => found.sort_by(|a, b| by_distance(b, a)),
        None => {}
    }
    found.truncate(query.count.unwrap_or(usize::MAX));
}

fn search(cx: &mut Cx<'_>, args: Args<'_>, form: Form, out: &mut Reply<'_>) -> Result {
    let limits = Limits::of(cx.settings);
    let source = cx.keys[if form == Form::SearchStore { 1 } else { 0 }];
    let keys = cx.keys;
    let set = cx.read(&source).map(view).transpose()?;
    let query = Query::parse(args, form, set)?;
    let mut found = set.map_or(Vec::new(), |set| find(set, &query));
    select(&mut found, &query);
    let target = match form {
        Form::SearchStore => keys.first(),
        _ => query.target.and_then(|target| keys[1..].iter().find(|key| key.bytes == target)),
    };
    let Some(target) = target else {
        reply(&found, &query, out);
        return Ok(());
    };
    let event = if form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
    let entry = (!found.is_empty()).then(|| {
        let mut built = Builder::with_capacity(found.len());
        let mut digits = itoa::Buffer::new();
        for place in &found {
            let score = if query.store_distance { place.distance } else { place.score };
            built.add(place.member.bytes(&mut digits), score, |score, _| score);
        }
        built.into_entry(target.bytes, limits)
    });
    let len = found.len();
    if query.any {
        store_journaled(cx, event, &Key { ..*target }, entry);
    } else {
        store(cx, event, &Key { ..*target }, entry);
    }
    out.integer(len as i64);
    Ok(())
}

fn reply(found: &[Place<'_>], query: &Query<'_>, out: &mut Reply<'_>) {
    let shown = [query.with_distance, query.with_hash, query.with_position];
    let shown = shown.into_iter().filter(|shown| *shown).count();
    out.array(found.len());
    for place in found {
        if shown > 0 {
            out.array(1 + shown);
        }
        write_member(out, place.member);
        if query.with_distance {
            write_distance(out, place.distance);
        }
        if query.with_hash {
            out.integer(place.score as i64);
        }
        if query.with_position {
            write_position(out, place.position);
        }
    }
}
