//! A few keys with numbers, and the commands on them, as a sequential object.

use crate::checker::Object;
use crate::common::Value;

/// In slots of their own, but for two that share one.
pub const KEYS: [&str; 4] = ["a", "b", "{c}1", "{c}2"];

/// The numbers at the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keyspace([Option<i64>; KEYS.len()]);

/// One command; keys are indices.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    Get(usize),
    Set(usize, i64),
    GetSet(usize, i64),
    Increase(usize, i64),
    Delete(usize),
    Rename(usize, usize),
    /// MSET of one number at two keys.
    SetBoth(usize, usize, i64),
    /// MGET of all.
    GetAll,
    Flush,
}

/// A reply, in the form in which replies are compared millions of times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply {
    Ok,
    /// An integer.
    Number(i64),
    /// The number at a key.
    Content(Option<i64>),
    /// The numbers at all keys.
    All([Option<i64>; KEYS.len()]),
    /// RENAME of no key.
    NoSuchKey,
}

impl From<&Value> for Reply {
    fn from(value: &Value) -> Reply {
        let content = |value: &Value| match value {
            Value::Null => None,
            text => Some(text.text().parse().expect("a number")),
        };
        match value {
            Value::Simple(text) if text == "OK" => Reply::Ok,
            Value::Integer(number) => Reply::Number(*number),
            Value::Null | Value::Bulk(_) => Reply::Content(content(value)),
            Value::Array(elements) => {
                Reply::All(std::array::from_fn(|key| content(&elements[key])))
            }
            Value::Error(text) if text == "ERR no such key" => Reply::NoSuchKey,
            other => panic!("{other} where no command gets it"),
        }
    }
}

/// What a client has done at once, and what it was told.
#[derive(Clone, Debug)]
pub enum Operation {
    Single(Command, Reply),
    /// The commands between MULTI and EXEC.
    Transaction(Vec<(Command, Reply)>),
    /// A transaction under WATCH of a key that was this number when it was read.
    Watched {
        key: usize,
        number: Option<i64>,
        commands: Vec<(Command, Reply)>,
    },
}

impl Command {
    pub fn words(self) -> String {
        match self {
            Command::Get(key) => format!("GET {}", KEYS[key]),
            Command::Set(key, number) => format!("SET {} {number}", KEYS[key]),
            Command::GetSet(key, number) => format!("GETSET {} {number}", KEYS[key]),
            Command::Increase(key, by) => format!("INCRBY {} {by}", KEYS[key]),
            Command::Delete(key) => format!("DEL {}", KEYS[key]),
            Command::Rename(from, to) => format!("RENAME {} {}", KEYS[from], KEYS[to]),
            Command::SetBoth(a, b, number) => {
                format!("MSET {} {number} {} {number}", KEYS[a], KEYS[b])
            }
            Command::GetAll => format!("MGET {}", KEYS.join(" ")),
            Command::Flush => "FLUSHDB".into(),
        }
    }
}

impl Keyspace {
    /// Executes the command; its reply.
    pub fn execute(&mut self, command: Command) -> Reply {
        let numbers = &mut self.0;
        match command {
            Command::Get(key) => Reply::Content(numbers[key]),
            Command::Set(key, number) => {
                numbers[key] = Some(number);
                Reply::Ok
            }
            Command::GetSet(key, number) => Reply::Content(numbers[key].replace(number)),
            Command::Increase(key, by) => {
                let sum = numbers[key].unwrap_or_default() + by;
                numbers[key] = Some(sum);
                Reply::Number(sum)
            }
            Command::Delete(key) => Reply::Number(i64::from(numbers[key].take().is_some())),
            Command::Rename(from, to) => match numbers[from].take() {
                Some(number) => {
                    numbers[to] = Some(number);
                    Reply::Ok
                }
                None => Reply::NoSuchKey,
            },
            Command::SetBoth(a, b, number) => {
                numbers[a] = Some(number);
                numbers[b] = Some(number);
                Reply::Ok
            }
            Command::GetAll => Reply::All(*numbers),
            Command::Flush => {
                *numbers = Default::default();
                Reply::Ok
            }
        }
    }

    fn after_all(&self, commands: &[(Command, Reply)]) -> Option<Keyspace> {
        let mut after = *self;
        commands.iter().all(|(command, reply)| after.execute(*command) == *reply).then_some(after)
    }
}

impl Object for Keyspace {
    type Operation = Operation;

    fn after(&self, operation: &Operation) -> Option<Keyspace> {
        match operation {
            Operation::Single(command, reply) => self.after_all(&[(*command, *reply)]),
            Operation::Transaction(commands) => self.after_all(commands),
            Operation::Watched { key, number, commands } => {
                if self.0[*key] == *number {
                    self.after_all(commands)
                } else {
                    None
                }
            }
        }
    }
}
