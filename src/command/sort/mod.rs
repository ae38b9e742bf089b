//! SORT, SORT_RO: the elements of a list, a set or a sorted set, ordered, or replaced by what is stored
//! under keys that they are part of.

mod order;

use std::cmp::Ordering;
use std::ops::Range;

use smallvec::SmallVec;

use order::{arrange, rank_of_number, rank_of_text};

use super::permission::reads_all_keys;
use super::{
    BeginSearch, Categories, Command, CommandError, Cx, FindKeys, Flags, Group, KeyFlags, KeySpec,
    Origin, Result, Scope, rewrite,
};
use crate::keyspace::Key;
use crate::number::{parse_f64, parse_i64};
use crate::resp::{Args, Reply};
use crate::value::entry::Value;
use crate::value::hash::HashRef;
use crate::value::list::{End, Limit, ListRef};
use crate::value::packed::{self, Element};
use crate::value::set::SetRef;
use crate::value::sorted_set::{self, SortedSetMut, SortedSetRef};
use crate::value::{Entry, PackedKind, ValueRef};

const SOURCE: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));

const PATTERNS: KeySpec = KeySpec {
    flags: KeyFlags::RO.union(KeyFlags::ACCESS),
    begin: BeginSearch::Unknown,
    find: FindKeys::Unknown,
    notes: Some(
        "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from \
         the content of the key we sort",
    ),
};

const TARGET: KeySpec = KeySpec {
    flags: KeyFlags::OW.union(KeyFlags::UPDATE),
    begin: BeginSearch::Computed(target),
    find: FindKeys::Unknown,
    notes: Some(
        "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear \
         anywhere in the argument array",
    ),
};

const SORT: Command = Command {
    name: "sort",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    acl: Categories::SET
        .union(Categories::SORTEDSET)
        .union(Categories::LIST)
        .union(Categories::DANGEROUS),
    keys: &[SOURCE, PATTERNS, TARGET],
    scope_of: Some(|args| scope(args, true)),
    group: Group::Generic,
    run: |cx, args, out| {
        let options = Options::parse(args, true, || reads_all_keys(cx.caller, "sort"))?;
        sort(cx, &options, out)
    },
    ..Command::DEFAULT
};

pub const COMMANDS: &[Command] = &[
    SORT,
    Command {
        name: "sort_ro",
        flags: Flags::READONLY,
        keys: &[SOURCE, PATTERNS],
        scope_of: Some(|args| scope(args, false)),
        run: |cx, args, out| {
            let options = Options::parse(args, false, || reads_all_keys(cx.caller, "sort_ro"))?;
            sort(cx, &options, out)
        },
        ..SORT
    },
];

/// Keys that a pattern names can be any.
fn scope(args: Args<'_>, may_store: bool) -> Scope {
    match Options::parse(args, may_store, || true) {
        Ok(options) if options.looks_up() => Scope::Exclusive,
        _ => Scope::Keys,
    }
}

/// The argument that is the key to store at, also of calls that have other arguments wrong.
fn target(args: Args<'_>) -> Option<usize> {
    let (mut at, mut target) = (2, None);
    while let Some(word) = args.get(at) {
        at += match word.to_ascii_lowercase().as_slice() {
            b"limit" => 3,
            b"by" | b"get" => 2,
            b"store" if at + 1 < args.len() => {
                target = Some(at + 1);
                2
            }
            _ => 1,
        };
    }
    target
}

struct Options<'a> {
    descending: bool,
    alpha: bool,
    order: Order<'a>,
    start: i64,
    /// Negative: all.
    count: i64,
    gets: SmallVec<[Get<'a>; 2]>,
    stores: bool,
}

/// What elements are ordered by.
enum Order<'a> {
    Element,
    Value(Pattern<'a>),
    /// They stay in the order that they have.
    None,
}

/// What is returned of an element.
#[derive(Clone, Copy)]
enum Get<'a> {
    Element,
    Value(Pattern<'a>),
    /// A pattern without a place for the element names no key.
    Nothing,
}

/// `before*after` names a string, `before*after->field` a field of a hash.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    before: &'a [u8],
    after: &'a [u8],
    field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    /// `None` if the text has no `*`. Neither that nor the arrow is looked for after a zero byte.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let end = memchr::memchr(0, text).unwrap_or(text.len());
        let star = memchr::memchr(b'*', &text[..end])?;
        let (before, after) = (&text[..star], star + 1);
        let arrow = memchr::memmem::find(&text[after..end], b"->").map(|arrow| after + arrow);
        // An arrow to nothing is part of the key.
        Some(match arrow.filter(|arrow| arrow + 2 < end) {
            Some(arrow) => {
                Pattern { before, after: &text[after..arrow], field: Some(&text[arrow + 2..]) }
            }
            None => Pattern { before, after: &text[after..], field: None },
        })
    }

    /// Appends the name of an element's key.
    fn write_name(&self, element: Element<'_>, name: &mut Vec<u8>) {
        name.extend_from_slice(self.before);
        name.extend_from_slice(element.bytes(&mut itoa::Buffer::new()));
        name.extend_from_slice(self.after);
    }
}

impl<'a> Options<'a> {
    /// Reads a call's options. Where keys are named by the elements, the caller must read all keys, which
    /// `reads_all` tells.
    fn parse(args: Args<'a>, may_store: bool, reads_all: impl Fn() -> bool) -> Result<Self> {
        let mut options = Options {
            descending: false,
            alpha: false,
            order: Order::Element,
            start: 0,
            count: -1,
            gets: SmallVec::new(),
            stores: false,
        };
        let mut words = args.from(2).iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(CommandError::SYNTAX);
            match word.to_ascii_lowercase().as_slice() {
                b"asc" => options.descending = false,
                b"desc" => options.descending = true,
                b"alpha" => options.alpha = true,
                b"limit" => {
                    let (start, count) = (value()?, value()?);
                    options.start = parse_i64(start).ok_or(CommandError::NOT_INTEGER)?;
                    options.count = parse_i64(count).ok_or(CommandError::NOT_INTEGER)?;
                }
                b"by" => {
                    let pattern = Pattern::parse(value()?);
                    if pattern.is_some() && !reads_all() {
                        return Err(denied("BY"));
                    }
                    // Once there is no order, no later pattern brings it back.
                    options.order = match (options.order, pattern) {
                        (Order::None, _) | (_, None) => Order::None,
                        (_, Some(pattern)) => Order::Value(pattern),
                    };
                }
                b"get" => {
                    let text = value()?;
                    if !reads_all() {
                        return Err(denied("GET"));
                    }
                    options.gets.push(match Pattern::parse(text) {
                        _ if text == b"#" => Get::Element,
                        Some(pattern) => Get::Value(pattern),
                        None => Get::Nothing,
                    });
                }
                b"store" if may_store => {
                    value()?;
                    options.stores = true;
                }
                _ => return Err(CommandError::SYNTAX),
            }
        }
        Ok(options)
    }

    /// Whether other keys are read.
    fn looks_up(&self) -> bool {
        matches!(self.order, Order::Value(_))
            || self.gets.iter().any(|get| matches!(get, Get::Value(_)))
    }

    /// Which of so many elements are returned.
    fn window(&self, len: usize) -> Range<usize> {
        let start = usize::try_from(self.start).unwrap_or(0).min(len);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

fn denied(option: &str) -> CommandError {
    format!("ERR {option} option of SORT denied due to insufficient ACL permissions.").into()
}

/// What can be sorted.
enum Collection<'c> {
    List(ListRef<'c>),
    Set(SetRef<'c>),
    SortedSet(SortedSetRef<'c>),
}

impl<'c> Collection<'c> {
    fn new(entry: &'c Entry) -> Result<Self> {
        if let Some(set) = SetRef::new(entry.value()) {
            return Ok(Collection::Set(set));
        }
        if let Some(set) = SortedSetRef::new(entry.value()) {
            return Ok(Collection::SortedSet(set));
        }
        entry.list().map(Collection::List)
    }

    fn len(&self) -> usize {
        match self {
            Collection::List(list) => list.len(),
            Collection::Set(set) => set.len(),
            Collection::SortedSet(set) => set.len(),
        }
    }

    fn elements(&self) -> Vec<Element<'c>> {
        match self {
            Collection::List(list) => list.iter(End::Head).collect(),
            Collection::Set(set) => set.iter().collect(),
            Collection::SortedSet(set) => {
                set.iter(0..set.len()).map(|(member, _)| member).collect()
            }
        }
    }

    /// Elements as they stand, or the other way round; a set has no order that could be turned.
    fn part(&self, window: Range<usize>, descending: bool) -> Vec<Element<'c>> {
        let (start, len) = (window.start, window.len());
        // The window counted from the front, where it counts from the back.
        let back = self.len() - window.end..self.len() - start;
        match self {
            Collection::List(list) if descending => {
                let mut part: Vec<_> = list.iter_from(back.start).take(len).collect();
                part.reverse();
                part
            }
            Collection::List(list) => list.iter_from(start).take(len).collect(),
            Collection::Set(set) => set.iter().skip(start).take(len).collect(),
            Collection::SortedSet(set) if descending => {
                set.iter(back).rev().map(|(member, _)| member).collect()
            }
            Collection::SortedSet(set) => set.iter(window).map(|(member, _)| member).collect(),
        }
    }
}

/// The elements, and whether they are those to return, in order.
struct Collected<'c> {
    elements: Vec<Element<'c>>,
    is_arranged: bool,
}

fn collect<'c>(
    entry: Option<&'c Entry>,
    options: &Options<'_>,
    in_script: bool,
) -> Result<Collected<'c>> {
    let Some(entry) = entry else {
        return Ok(Collected { elements: Vec::new(), is_arranged: true });
    };
    let collection = Collection::new(entry)?;
    // What is stored of a set must not depend on the order of a hash table, nor what a script gets of it.
    let is_fickle = (options.stores || in_script) && matches!(collection, Collection::Set(_));
    let is_arranged = matches!(options.order, Order::None) && !is_fickle;
    let elements = if is_arranged {
        collection.part(options.window(collection.len()), options.descending)
    } else {
        collection.elements()
    };
    Ok(Collected { elements, is_arranged })
}

/// A sorted set that is sorted becomes a skiplist, and stays one, as in Valkey.
fn make_skiplist(cx: &mut Cx<'_>, key: &Key<'_>) {
    let is_packed =
        |entry: &Entry| matches!(SortedSetRef::new(entry.value()), Some(SortedSetRef::Packed(_)));
    if cx.peek(key).is_some_and(is_packed)
        && let Some(mut entry) = cx.write(key)
        && let Some(mut set) = SortedSetMut::new(entry.entry_mut(), sorted_set::Limits::NONE)
    {
        set.expect(1, 0);
    }
}

fn sort(cx: &mut Cx<'_>, options: &Options<'_>, out: &mut Reply<'_>) -> Result {
    let key = cx.key();
    let in_script = cx.caller.origin == Origin::Script;
    make_skiplist(cx, &key);
    let mut output = Output::new(cx, options, out);
    if options.looks_up() {
        // Other keys are read while the elements are used, so these are taken out of their own.
        let Collected { elements, is_arranged } = collect(cx.read(&key), options, in_script)?;
        let mut kept = Kept::default();
        elements.into_iter().for_each(|element| kept.push(Some(element)));
        let elements: Vec<Element<'_>> = kept.iter().flatten().collect();
        let order = match (&options.order, is_arranged) {
            (_, true) => None,
            (Order::Value(pattern), false) => Some(by_values(cx, *pattern, &elements, options)?),
            _ => Some(by_themselves(&elements, options)?),
        };
        let chosen = choose(&elements, order.as_deref());
        let gets: &[Get<'_>] =
            if options.gets.is_empty() { &[Get::Element] } else { &options.gets };
        output.begin(chosen.len() * gets.len());
        let requests = chosen.flat_map(|element| gets.iter().map(move |get| (*get, element)));
        look_up(cx, requests, |value| output.push(value));
    } else {
        let Collected { elements, is_arranged } = collect(cx.read(&key), options, in_script)?;
        let order = if is_arranged { None } else { Some(by_themselves(&elements, options)?) };
        let chosen = choose(&elements, order.as_deref());
        output.begin(chosen.len() * options.gets.len().max(1));
        for element in chosen {
            if options.gets.is_empty() {
                output.push(Some(element));
            }
            for get in &options.gets {
                output.push(matches!(get, Get::Element).then_some(element));
            }
        }
    }
    output.finish(cx, options.looks_up());
    Ok(())
}

/// The elements at these indexes, or all of them.
fn choose<'e>(
    elements: &[Element<'e>],
    indexes: Option<&[usize]>,
) -> impl ExactSizeIterator<Item = Element<'e>> {
    let count = indexes.map_or(elements.len(), <[usize]>::len);
    (0..count).map(move |at| elements[indexes.map_or(at, |indexes| indexes[at])])
}

const NOT_A_NUMBER: CommandError =
    CommandError::of("ERR One or more scores can't be converted into double");

/// A number as SORT reads it: up to a zero byte.
fn number(element: Element<'_>) -> Option<f64> {
    match element {
        Element::Int(number) => Some(number as f64),
        Element::Bytes(text) => parse_f64(&text[..memchr::memchr(0, text).unwrap_or(text.len())]),
    }
}

impl Options<'_> {
    /// What of a text counts when it is compared: all of it where the result is stored. Otherwise
    /// Valkey has the C library collate the two, which sees nothing behind a zero byte.
    fn collated<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        match memchr::memchr(0, text) {
            Some(end) if !self.stores => &text[..end],
            _ => text,
        }
    }

    fn collate(&self, a: Element<'_>, b: Element<'_>) -> Ordering {
        let (mut left, mut right) = (itoa::Buffer::new(), itoa::Buffer::new());
        self.collated(a.bytes(&mut left)).cmp(self.collated(b.bytes(&mut right)))
    }

    fn rank(&self, text: Element<'_>) -> u64 {
        rank_of_text(self.collated(text.bytes(&mut itoa::Buffer::new())))
    }
}

/// Orders the elements by what they are: the indexes of those that are returned.
fn by_themselves(elements: &[Element<'_>], options: &Options<'_>) -> Result<Vec<usize>> {
    let window = options.window(elements.len());
    if options.alpha || matches!(options.order, Order::None) {
        let ranks = elements.iter().map(|element| options.rank(*element));
        let tie = |a: usize, b: usize| options.collate(elements[a], elements[b]);
        return Ok(arrange(ranks, tie, options.descending, window));
    }
    let ranks: Option<Vec<u64>> =
        elements.iter().map(|element| number(*element).map(rank_of_number)).collect();
    let ranks = ranks.ok_or(NOT_A_NUMBER)?.into_iter();
    Ok(arrange(ranks, |a, b| compare_texts(elements, a, b), options.descending, window))
}

fn compare_texts(elements: &[Element<'_>], a: usize, b: usize) -> Ordering {
    let (mut left, mut right) = (itoa::Buffer::new(), itoa::Buffer::new());
    elements[a].bytes(&mut left).cmp(elements[b].bytes(&mut right))
}

/// Orders the elements by the values that a pattern names for them. Where there is none, it is 0, or
/// comes before every text.
fn by_values(
    cx: &mut Cx<'_>,
    pattern: Pattern<'_>,
    elements: &[Element<'_>],
    options: &Options<'_>,
) -> Result<Vec<usize>> {
    let window = options.window(elements.len());
    let requests = elements.iter().map(|element| (Get::Value(pattern), *element));
    if options.alpha {
        let mut kept = Kept::default();
        look_up(cx, requests, |value| kept.push(value));
        let texts: Vec<Option<Element<'_>>> = kept.iter().collect();
        let ranks = texts.iter().map(|text| text.map_or(0, |text| options.rank(text)));
        let tie = |a: usize, b: usize| match (texts[a], texts[b]) {
            (Some(a), Some(b)) => options.collate(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        };
        return Ok(arrange(ranks, tie, options.descending, window));
    }
    let mut ranks = Vec::with_capacity(elements.len());
    look_up(cx, requests, |value| ranks.push(value.map_or(Some(0.0), number).map(rank_of_number)));
    let ranks = ranks.into_iter().collect::<Option<Vec<u64>>>().ok_or(NOT_A_NUMBER)?.into_iter();
    Ok(arrange(ranks, |a, b| compare_texts(elements, a, b), options.descending, window))
}

/// Keys that are looked up together.
const BATCH: usize = 32;

/// Gives `each` what is to be got of the elements, in order.
fn look_up<'e>(
    cx: &mut Cx<'_>,
    requests: impl Iterator<Item = (Get<'e>, Element<'e>)>,
    mut each: impl FnMut(Option<Element<'_>>),
) {
    let mut requests = requests.fuse();
    let mut names = Vec::new();
    loop {
        let batch: SmallVec<[_; BATCH]> = requests.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return;
        }
        names.clear();
        let named = |(get, element): &(Get<'_>, Element<'_>)| {
            let start = names.len();
            if let Get::Value(pattern) = get {
                pattern.write_name(*element, &mut names);
            }
            start..names.len()
        };
        let ranges: SmallVec<[Range<usize>; BATCH]> = batch.iter().map(named).collect();
        let keys: SmallVec<[Key<'_>; BATCH]> =
            ranges.into_iter().map(|range| Key::new(&names[range])).collect();
        let places = keys.iter().map(|key| (key.hash, key.slot));
        cx.unit.prefetch(cx.caller.db, places);
        for ((get, element), key) in batch.iter().zip(&keys) {
            match get {
                Get::Element => each(Some(*element)),
                Get::Nothing => each(None),
                Get::Value(pattern) => {
                    let now = cx.expiry_now();
                    cx.read_undeclared(key, |entry| {
                        each(entry.and_then(|entry| value(entry, pattern.field, now)));
                    });
                }
            }
        }
    }
}

/// The string that an entry holds, or a field of its hash.
fn value<'e>(entry: &'e Entry, field: Option<&[u8]>, now: i64) -> Option<Element<'e>> {
    match (field, entry.value()) {
        (None, ValueRef::Int(number)) => Some(Element::Int(number)),
        (None, ValueRef::Bytes(bytes)) => Some(Element::Bytes(bytes)),
        (None, ValueRef::Object(object)) => object.as_string().map(|text| Element::Bytes(text)),
        (Some(field), _) => HashRef::of(entry)?.get(field, now),
        _ => None,
    }
}

/// Values that were copied from where they are stored.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    values: Vec<Option<KeptValue>>,
}

enum KeptValue {
    Int(i64),
    /// Where it begins and ends in the bytes.
    Bytes(usize, usize),
}

impl Kept {
    fn push(&mut self, value: Option<Element<'_>>) {
        let start = self.bytes.len();
        self.values.push(value.map(|value| match value {
            Element::Int(number) => KeptValue::Int(number),
            Element::Bytes(bytes) => {
                self.bytes.extend_from_slice(bytes);
                KeptValue::Bytes(start, self.bytes.len())
            }
        }));
    }

    fn iter(&self) -> impl Iterator<Item = Option<Element<'_>>> {
        self.values.iter().map(|value| match value {
            Some(KeptValue::Int(number)) => Some(Element::Int(*number)),
            Some(KeptValue::Bytes(start, end)) => Some(Element::Bytes(&self.bytes[*start..*end])),
            None => None,
        })
    }
}

/// Where the values go: into the reply, or into a list that is stored.
enum Output<'o, 'r> {
    Reply(&'o mut Reply<'r>),
    List { reply: &'o mut Reply<'r>, entry: Entry, limit: Limit },
}

impl<'o, 'r> Output<'o, 'r> {
    fn new(cx: &Cx<'_>, options: &Options<'_>, reply: &'o mut Reply<'r>) -> Self {
        if !options.stores {
            return Output::Reply(reply);
        }
        let empty = Value::Packed(PackedKind::List, packed::EMPTY);
        let entry = Entry::new(cx.keys[1].bytes, empty, None);
        Output::List { reply, entry, limit: Limit::new(cx.settings.list_max_listpack_size) }
    }

    /// So many values follow.
    fn begin(&mut self, len: usize) {
        if let Output::Reply(reply) = self {
            reply.array(len);
        }
    }

    fn push(&mut self, value: Option<Element<'_>>) {
        match self {
            Output::Reply(reply) => match value {
                Some(Element::Int(number)) => reply.bulk_integer(number),
                Some(Element::Bytes(bytes)) => reply.bulk(bytes),
                None => reply.null(),
            },
            Output::List { entry, limit, .. } => {
                let mut digits = itoa::Buffer::new();
                let value = value.map_or(&b""[..], |value| value.bytes(&mut digits));
                let mut list = entry.list_mut(*limit).expect("a list");
                list.make_room([value].into_iter());
                list.push(End::Tail, value);
            }
        }
    }

    /// Stores the list, if there is one; an empty one removes the key. `is_journaled` says that its
    /// elements are, since a replay may find other values where they were looked up.
    fn finish(self, cx: &mut Cx<'_>, is_journaled: bool) {
        let Output::List { reply, entry, .. } = self else { return };
        let target = cx.keys[1];
        let len = entry.list().map_or(0, ListRef::len);
        let is_journaled = is_journaled && cx.is_journaled();
        let mut words = rewrite::Words::default();
        if let Some(list) = entry.list().ok().filter(|_| is_journaled) {
            list.iter(End::Head).for_each(|element| words.push_element(element));
        }
        let before = cx.remove(&target);
        if is_journaled && (len > 0 || before.is_some()) {
            rewrite::unlink(cx, &target);
            words.journal(cx, &target, b"RPUSH");
        }
        if len > 0 {
            cx.insert(&target, entry);
            cx.changed_by(len, "sortstore", &target);
        } else if before.is_some() {
            cx.changed("del", &target);
        }
        if let Some(before) = before {
            cx.server.lazy_free.entry(before);
        }
        reply.integer(len as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_string_or_a_field() {
        let parts = |text| {
            let pattern = Pattern::parse(text)?;
            let mut name = Vec::new();
            pattern.write_name(Element::Int(7), &mut name);
            Some((name, pattern.field))
        };
        for (text, name, field) in [
            (&b"w_*"[..], &b"w_7"[..], None),
            (b"*", b"7", None),
            (b"a*b*", b"a7b*", None),
            (b"h_*x->f", b"h_7x", Some(&b"f"[..])),
            (b"h_*->f->g", b"h_7", Some(b"f->g")),
            (b"h_*->*", b"h_7", Some(b"*")),
            (b"h_*->", b"h_7->", None),
            (b"a->b*", b"a->b7", None),
            (b"h_*->f\0", b"h_7", Some(b"f\0")),
            (b"h_*->\0f", b"h_7->\0f", None),
            (b"h_*\0->f", b"h_7\0->f", None),
        ] {
            assert_eq!(parts(text), Some((name.to_vec(), field)), "{}", text.escape_ascii());
        }
        for text in [&b""[..], b"nosort", b"w\0_*"] {
            assert_eq!(parts(text), None, "{}", text.escape_ascii());
        }
    }
}
