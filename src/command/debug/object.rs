//! DEBUG OBJECT, LISTPACK and QUICKLIST: how one value is stored.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::command::{CommandError, Cx, Result};
use crate::config::Settings;
use crate::keyspace::Key;
use crate::number::parse_i64;
use crate::rdb::{self, Writer};
use crate::resp::{Args, Reply};
use crate::value::packed::Packed;
use crate::value::{Entry, List, Object, PackedKind, ValueRef, access};

/// DEBUG OBJECT key [fast]
pub fn describe(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let (settings, now) = (cx.settings, cx.now);
    let fast = args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"fast"));
    let entry = cx.peek_at_any_time(&Key::new(args.at(2))).ok_or(CommandError::NO_SUCH_KEY)?;
    let idle = access::idle(now, entry.access());
    let mut text = format!("Value at:{entry:p} refcount:1 encoding:{}", entry.encoding());
    if !fast {
        let _ = write!(text, " serializedlength:{}", serialized_length(entry, settings));
    }
    let _ = write!(text, " lru:{} lru_seconds_idle:{idle}", entry.access());
    if let ValueRef::Object(Object::List(list)) = entry.value() {
        describe_nodes(&mut text, list, settings, fast);
    }
    out.simple(&text);
    Ok(())
}

/// What follows for a list in nodes. `ql_compressed` is whether `list-compress-depth` asks for
/// compression, as it is for Valkey; nodes are never compressed here.
fn describe_nodes(text: &mut String, list: &List, settings: &Settings, fast: bool) {
    let nodes = list.nodes().len();
    let average = list.len() as f64 / nodes as f64;
    let _ = write!(
        text,
        " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{} ql_compressed:{}",
        settings.list_max_listpack_size,
        u8::from(settings.list_compress_depth != 0),
    );
    if !fast {
        let bytes: usize = list.nodes().map(|(node, _)| node.as_bytes().len()).sum();
        let _ = write!(text, " ql_uncompressed_size:{bytes}");
    }
}

/// Bytes of the value in a snapshot file, without its type.
fn serialized_length(entry: &Entry, settings: &Settings) -> usize {
    let mut out = Writer::new(settings.rdbcompression);
    rdb::save(entry, &mut out);
    out.into_bytes().len() - 1
}

/// DEBUG SDSLEN key: lengths and sizes of a key and its string, which share one allocation unless the
/// string is long.
pub fn string_lengths(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let key = args.at(2);
    let entry = cx.inspect(&Key::new(key)).ok_or(CommandError::NO_SUCH_KEY)?;
    let ValueRef::Bytes(bytes) = entry.value() else {
        return Err("ERR Not an sds encoded string.".into());
    };
    out.simple(&format!(
        "key_sds_len:{} key_sds_avail:0 obj_alloc:{} val_sds_len:{} val_sds_avail:0 val_alloc:0",
        key.len(),
        entry.allocated(),
        bytes.len(),
    ));
    Ok(())
}

/// DEBUG LISTPACK key
pub fn print_listpack(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let entry = cx.inspect(&Key::new(args.at(2))).ok_or(CommandError::NO_SUCH_KEY)?;
    let ValueRef::Packed(kind, bytes) = entry.value() else { return Err(NOT_A_LISTPACK) };
    if kind == PackedKind::IntSet {
        return Err(NOT_A_LISTPACK);
    }
    let mut text = String::new();
    describe_packed(&mut text, Packed::new(bytes), true);
    print(&text);
    out.simple("Listpack structure printed on stdout");
    Ok(())
}

const NOT_A_LISTPACK: CommandError = CommandError::of("ERR Not a listpack encoded object.");

/// DEBUG QUICKLIST key [0|1]
pub fn print_quicklist(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let entry = cx.inspect(&Key::new(args.at(2))).ok_or(CommandError::NO_SUCH_KEY)?;
    let ValueRef::Object(Object::List(list)) = entry.value() else {
        return Err("ERR Not a quicklist encoded object.".into());
    };
    let detailed = args.get(3).and_then(parse_i64).is_some_and(|level| level != 0);
    let mut text = format!("{{elements {}}} {{nodes {}}}\n", list.len(), list.nodes().len());
    for (index, (node, is_plain)) in list.nodes().enumerate() {
        let _ = write!(text, "node {index} {{plain {is_plain}}} ");
        describe_packed(&mut text, node, detailed);
    }
    print(&text);
    out.simple("Quicklist structure printed on stdout");
    Ok(())
}

/// Bytes and number of elements, and the elements themselves if that is wanted.
fn describe_packed(text: &mut String, packed: Packed<'_>, detailed: bool) {
    let _ = writeln!(text, "{{bytes {}}} {{elements {}}}", packed.as_bytes().len(), packed.len());
    if detailed {
        let mut digits = itoa::Buffer::new();
        for (index, element) in packed.iter().enumerate() {
            let bytes = element.bytes(&mut digits);
            let _ = writeln!(text, "  {index} {:?}", String::from_utf8_lossy(bytes));
        }
    }
}

/// A developer reads it on the terminal; elsewhere there may be no standard output, and nobody to tell.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
