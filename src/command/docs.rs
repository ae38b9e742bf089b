//! COMMAND DOCS: the documentation of commands.
//!
//! The words are Valkey's, from `docs.json`, which `scripts/command-docs` writes: one line per command.
//! A line is parsed when somebody asks for it, and nothing of it is kept.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::Registered;
use crate::resp::Reply;

/// The JSON objects by the names of their commands.
static LINES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("docs.json").lines();
    let entries = lines.filter_map(|line| line.strip_prefix('"')?.split_once("\":"));
    entries.map(|(name, object)| (name, object.trim_end_matches(','))).collect()
});

/// The document of a command, with those of its subcommands in it.
fn document(name: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(LINES.get(name)?).ok()
}

/// The documents of all commands, with those that this server does not have.
pub fn documents() -> impl Iterator<Item = (&'static str, Value)> {
    LINES.iter().filter_map(|(name, object)| Some((*name, serde_json::from_str(object).ok()?)))
}

fn subcommand<'a>(document: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    document.get("subcommands")?.get(name)?.as_object()
}

/// Writes the document of a command or subcommand as a map; where there is none, an empty one.
pub(super) fn write(found: &Registered, out: &mut Reply<'_>) {
    let (name, is_subcommand) = match found.full_name.split_once('|') {
        None => (&*found.full_name, false),
        Some((parent, _)) => (parent, true),
    };
    let document = document(name);
    match &document {
        Some(document) if is_subcommand => {
            write_document(found, subcommand(document, &found.full_name), out);
        }
        document => write_document(found, document.as_ref(), out),
    }
}

fn write_document(found: &Registered, document: Option<&Map<String, Value>>, out: &mut Reply<'_>) {
    let Some(document) = document else { return out.map(0) };
    out.map(document.len());
    for (field, value) in document {
        out.bulk(field.as_bytes());
        if field != "subcommands" {
            write_value(field, value, out);
            continue;
        }
        // Only those that this server has.
        let mut subcommands: Vec<_> = found.subcommands.values().collect();
        subcommands.sort_unstable_by_key(|sub| sub.command.name);
        out.map(subcommands.len());
        for sub in subcommands {
            out.bulk(sub.full_name.as_bytes());
            write_document(sub, subcommand(document, &sub.full_name), out);
        }
    }
}

/// Writes a value in the form that its field has.
fn write_value(field: &str, value: &Value, out: &mut Reply<'_>) {
    match value {
        Value::String(text) => out.bulk(text.as_bytes()),
        Value::Number(number) => out.integer(number.as_i64().unwrap_or_default()),
        Value::Object(fields) => {
            out.map(fields.len());
            for (field, value) in fields {
                out.bulk(field.as_bytes());
                write_value(field, value, out);
            }
        }
        Value::Array(elements) if matches!(field, "flags" | "doc_flags") => {
            out.set(elements.len());
            elements.iter().filter_map(Value::as_str).for_each(|flag| out.simple(flag));
        }
        Value::Array(elements) => {
            if field == "history" {
                out.set(elements.len());
            } else {
                out.array(elements.len());
            }
            elements.iter().for_each(|element| write_value("", element, out));
        }
        Value::Null | Value::Bool(_) => out.null(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;

    #[test]
    fn every_command_and_subcommand_is_documented() {
        for found in table().iter() {
            let document = document(&found.full_name);
            let document = document.unwrap_or_else(|| panic!("{} has none", found.full_name));
            for sub in found.subcommands.values() {
                assert!(subcommand(&document, &sub.full_name).is_some(), "{}", sub.full_name);
            }
        }
    }
}
