//! The commands of the server (COMMAND DOCS): for completion, hints and help.

use serde_json::Value as Json;

use crate::command::documents;
use crate::tools::client::Value;

/// The commands of a server, in order of their names.
#[derive(Default)]
pub struct Catalog {
    commands: Vec<Command>,
}

/// A command, or a subcommand.
pub struct Command {
    /// In capitals, with a space before the name of a subcommand.
    pub name: String,
    pub summary: String,
    pub since: String,
    pub group: String,
    arguments: Vec<Argument>,
}

struct Argument {
    /// Its name where a value stands.
    text: String,
    /// A word that stands before the value, or alone.
    token: Option<String>,
    shape: Shape,
    optional: bool,
    multiple: bool,
    /// The token is repeated as well.
    repeats_token: bool,
    arguments: Vec<Argument>,
}

#[derive(PartialEq)]
enum Shape {
    Value,
    Token,
    OneOf,
    Block,
}

fn text(value: &Value) -> String {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// A document in the form that it has in a reply to COMMAND DOCS.
fn reply(document: Json) -> Value {
    match document {
        Json::Object(fields) => Value::Map(
            fields
                .into_iter()
                .map(|(name, value)| (Value::Bulk(name.into()), reply(value)))
                .collect(),
        ),
        Json::Array(items) => Value::Array(items.into_iter().map(reply).collect()),
        Json::String(text) => Value::Bulk(text.into()),
        Json::Number(_) | Json::Bool(_) | Json::Null => Value::Null,
    }
}

impl Catalog {
    /// Reads the reply to COMMAND DOCS.
    pub fn new(docs: Value) -> Catalog {
        let mut commands = Vec::new();
        for (name, doc) in docs.into_pairs() {
            Command::read(&name, doc, &mut commands);
        }
        commands.sort_by(|a: &Command, b| a.name.cmp(&b.name));
        Catalog { commands }
    }

    /// The commands of Valkey as of this version of Verbena.
    pub fn built_in() -> Catalog {
        Catalog::new(Value::Map(
            documents()
                .map(|(name, document)| (Value::Bulk(name.into()), reply(document)))
                .collect(),
        ))
    }

    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The command that the words begin with, and how many of them are its name.
    pub fn find(&self, words: &[&str]) -> Option<(&Command, usize)> {
        // A subcommand is identified by its second word.
        [2, 1].into_iter().filter(|count| *count <= words.len()).find_map(|count| {
            let name = words[..count].join(" ").to_ascii_uppercase();
            let index = self.commands.binary_search_by(|command| command.name.cmp(&name)).ok()?;
            Some((&self.commands[index], count))
        })
    }

    /// The completions of the last word of `line`, in the case that it is written in.
    pub fn complete(&self, line: &str) -> Vec<String> {
        let (prefix, topic) = match line.split_once(' ') {
            Some((help, topic)) if help.eq_ignore_ascii_case("help") => (help, topic),
            _ => ("", line),
        };
        let upper = topic.to_ascii_uppercase();
        let words = upper.split(' ').count();
        let mut names: Vec<String> = Vec::new();
        if !prefix.is_empty() {
            names.extend(
                self.groups().iter().map(|group| format!("@{}", group.to_ascii_uppercase())),
            );
        }
        names.extend(
            self.commands
                .iter()
                .map(|command| command.name.split(' ').take(words).collect::<Vec<_>>().join(" ")),
        );
        names.retain(|name| name.starts_with(&upper) && name.split(' ').count() == words);
        names.dedup();
        let lower = topic.bytes().any(|byte| byte.is_ascii_lowercase()) || topic.starts_with('@');
        let names =
            names.into_iter().map(|name| if lower { name.to_ascii_lowercase() } else { name });
        names
            .map(|name| if prefix.is_empty() { name } else { format!("{prefix} {name}") })
            .collect()
    }

    /// The groups that commands are in.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.commands.iter().map(|command| &*command.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The arguments that are still to come on `line`, if it ends with a space.
    pub fn hint(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if !line.ends_with(' ') {
            return None;
        }
        let (command, name) = self.find(&words)?;
        Some(remaining(&command.arguments, &words[name..])).filter(|hint| !hint.is_empty())
    }
}

impl Command {
    fn read(name: &Value, doc: Value, commands: &mut Vec<Command>) {
        let mut command = Command {
            name: text(name).replace('|', " ").to_ascii_uppercase(),
            summary: String::new(),
            since: String::new(),
            group: String::new(),
            arguments: Vec::new(),
        };
        for (key, value) in doc.into_pairs() {
            match &*text(&key) {
                "summary" => command.summary = text(&value),
                "since" => command.since = text(&value),
                "group" => command.group = text(&value),
                "arguments" => command.arguments = Argument::read_all(value),
                "subcommands" => {
                    for (name, doc) in value.into_pairs() {
                        Command::read(&name, doc, commands);
                    }
                }
                _ => {}
            }
        }
        commands.push(command);
    }

    /// The arguments, in the notation of the documentation.
    pub fn synopsis(&self) -> String {
        synopsis(&self.arguments)
    }
}

impl Argument {
    fn read_all(value: Value) -> Vec<Argument> {
        match value {
            Value::Array(items) => items.into_iter().map(Argument::read).collect(),
            _ => Vec::new(),
        }
    }

    fn read(value: Value) -> Argument {
        let mut argument = Argument {
            text: String::new(),
            token: None,
            shape: Shape::Value,
            optional: false,
            multiple: false,
            repeats_token: false,
            arguments: Vec::new(),
        };
        for (key, value) in value.into_pairs() {
            match &*text(&key) {
                "name" if argument.text.is_empty() => argument.text = text(&value),
                "display_text" => argument.text = text(&value),
                "token" => argument.token = Some(text(&value)),
                "type" => {
                    argument.shape = match &*text(&value) {
                        "pure-token" => Shape::Token,
                        "oneof" => Shape::OneOf,
                        "block" => Shape::Block,
                        _ => Shape::Value,
                    }
                }
                "flags" => {
                    for flag in value.as_slice().unwrap_or_default() {
                        match &*text(flag) {
                            "optional" => argument.optional = true,
                            "multiple" => argument.multiple = true,
                            "multiple_token" => argument.repeats_token = true,
                            _ => {}
                        }
                    }
                }
                "arguments" => argument.arguments = Argument::read_all(value),
                _ => {}
            }
        }
        argument
    }

    fn synopsis(&self) -> String {
        let value = match self.shape {
            Shape::Value => self.text.clone(),
            Shape::Token => String::new(),
            Shape::OneOf => {
                self.arguments.iter().map(Argument::synopsis).collect::<Vec<_>>().join("|")
            }
            Shape::Block => synopsis(&self.arguments),
        };
        let mut whole = match &self.token {
            Some(token) if value.is_empty() => token.clone(),
            Some(token) => format!("{token} {value}"),
            None => value.clone(),
        };
        if self.multiple {
            let again = if self.repeats_token { whole.clone() } else { value };
            whole.push_str(&format!(" [{again} ...]"));
        }
        if self.optional { format!("[{whole}]") } else { whole }
    }

    /// Words that it takes, if it is present.
    fn width(&self) -> usize {
        let value = match self.shape {
            Shape::Value => 1,
            Shape::Token => 0,
            Shape::OneOf => self.arguments.first().map_or(1, Argument::width),
            Shape::Block => {
                self.arguments.iter().filter(|a| !a.optional).map(Argument::width).sum()
            }
        };
        value + usize::from(self.token.is_some())
    }

    /// How many words it takes if `word` is the token that it begins with.
    fn begins_with(&self, word: &str) -> Option<usize> {
        if let Some(token) = &self.token {
            return token.eq_ignore_ascii_case(word).then(|| self.width());
        }
        match self.shape {
            Shape::OneOf => self.arguments.iter().find_map(|argument| argument.begins_with(word)),
            Shape::Block => self.arguments.first()?.begins_with(word).map(|_| self.width()),
            Shape::Value | Shape::Token => None,
        }
    }

    /// Whether its first word is a value, so that any word can be it.
    fn begins_with_value(&self) -> bool {
        self.token.is_none()
            && match self.shape {
                Shape::Value => true,
                Shape::Token => false,
                Shape::OneOf => self.arguments.iter().any(Argument::begins_with_value),
                Shape::Block => self.arguments.first().is_some_and(Argument::begins_with_value),
            }
    }
}

fn synopsis(arguments: &[Argument]) -> String {
    arguments.iter().map(Argument::synopsis).collect::<Vec<_>>().join(" ")
}

/// The arguments that `words` leave open.
fn remaining(arguments: &[Argument], words: &[&str]) -> String {
    // Whether each has been written, and the last one that may be repeated.
    let mut written = vec![false; arguments.len()];
    let mut repeated = None;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let token = (0..arguments.len())
            .filter(|index| !written[*index])
            .find_map(|index| Some((index, arguments[index].begins_with(word)?)));
        let value = || {
            (0..arguments.len())
                .find(|index| !written[*index] && arguments[*index].begins_with_value())
                .map(|index| (index, arguments[index].width()))
        };
        match token.or_else(value) {
            Some((index, width)) => {
                written[index] = true;
                repeated = arguments[index].multiple.then_some(index);
                for _ in 1..width {
                    words.next();
                }
            }
            // One more of those that may be repeated, or one too many.
            None if repeated.is_some() => {}
            None => return String::new(),
        }
    }
    let open = arguments.iter().zip(written).enumerate();
    let texts = open.filter_map(|(index, (argument, written))| match written {
        false => Some(argument.synopsis()),
        true if repeated == Some(index) => Some(format!("[{} ...]", argument.text)),
        true => None,
    });
    texts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    fn array(items: Vec<Value>) -> Value {
        Value::Array(items)
    }

    fn argument(fields: &[(&str, &str)], flags: &[&str], arguments: Vec<Value>) -> Value {
        let mut pairs: Vec<_> =
            fields.iter().map(|(key, value)| (string(key), string(value))).collect();
        pairs.push((string("flags"), Value::Set(flags.iter().map(|flag| string(flag)).collect())));
        pairs.push((string("arguments"), array(arguments)));
        Value::Map(pairs)
    }

    fn catalog() -> Catalog {
        let value = |name: &str| argument(&[("name", name), ("type", "string")], &[], vec![]);
        let with_token = |name: &str, token: &str| {
            argument(&[("name", name), ("type", "integer"), ("token", token)], &[], vec![])
        };
        let token = |token: &str, flags: &[&str]| {
            argument(&[("name", "t"), ("type", "pure-token"), ("token", token)], flags, vec![])
        };
        let set = vec![
            value("key"),
            value("value"),
            argument(
                &[("name", "c"), ("type", "oneof")],
                &["optional"],
                vec![token("NX", &[]), token("XX", &[])],
            ),
            token("GET", &["optional"]),
            argument(
                &[("name", "e"), ("type", "oneof")],
                &["optional"],
                vec![with_token("seconds", "EX"), token("KEEPTTL", &[])],
            ),
        ];
        let del = vec![argument(&[("name", "key"), ("type", "key")], &["multiple"], vec![])];
        let config_get =
            vec![argument(&[("name", "parameter"), ("type", "string")], &["multiple"], vec![])];
        let doc = |group: &str, arguments: Vec<Value>, subcommands: Vec<(Value, Value)>| {
            Value::Map(vec![
                (string("group"), string(group)),
                (string("arguments"), array(arguments)),
                (string("subcommands"), Value::Map(subcommands)),
            ])
        };
        Catalog::new(Value::Map(vec![
            (string("set"), doc("string", set, vec![])),
            (string("del"), doc("generic", del, vec![])),
            (
                string("config"),
                doc(
                    "server",
                    vec![],
                    vec![(string("config|get"), doc("server", config_get, vec![]))],
                ),
            ),
        ]))
    }

    #[test]
    fn the_built_in_catalog_has_commands_and_subcommands() {
        let catalog = Catalog::built_in();
        let (command, _) = catalog.find(&["expire"]).unwrap();
        assert_eq!(command.synopsis(), "key seconds [NX|XX|GT|LT]");
        assert_eq!(command.group, "generic");
        let (command, words) = catalog.find(&["config", "get"]).unwrap();
        assert_eq!((&*command.name, words), ("CONFIG GET", 2));
    }

    #[test]
    fn a_synopsis_is_in_the_notation_of_the_documentation() {
        let catalog = catalog();
        let synopsis = |words: &[&str]| catalog.find(words).unwrap().0.synopsis();
        assert_eq!(synopsis(&["set"]), "key value [NX|XX] [GET] [EX seconds|KEEPTTL]");
        assert_eq!(synopsis(&["config", "get"]), "parameter [parameter ...]");
    }

    #[test]
    fn a_hint_shows_the_remaining_arguments() {
        let catalog = catalog();
        let hint = |line: &str| catalog.hint(line).unwrap_or_default();
        assert_eq!(hint("set "), "key value [NX|XX] [GET] [EX seconds|KEEPTTL]");
        assert_eq!(hint("set k "), "value [NX|XX] [GET] [EX seconds|KEEPTTL]");
        assert_eq!(hint("SET k v ex 10 "), "[NX|XX] [GET]");
        assert_eq!(hint("set k v xx get keepttl "), "");
        assert_eq!(hint("del a b "), "[key ...]");
        assert_eq!(hint("config get "), "parameter [parameter ...]");
        assert_eq!(hint("set"), "");
        assert_eq!(hint("nosuch "), "");
    }

    #[test]
    fn a_name_is_completed_word_by_word_in_its_case() {
        let catalog = catalog();
        assert_eq!(catalog.complete("c"), ["config"]);
        assert_eq!(catalog.complete("CONFIG "), ["CONFIG GET"]);
        assert_eq!(catalog.complete("config g"), ["config get"]);
        assert_eq!(catalog.complete("help @s"), ["help @server", "help @string"]);
        assert_eq!(catalog.complete("help s"), ["help set"]);
        assert!(catalog.complete("set k").is_empty());
    }
}
