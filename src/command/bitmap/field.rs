//! BITFIELD, BITFIELD_RO.

use super::{offset, to_change};
use crate::bits::{Field, Overflow};
use crate::command::{
    Categories, Command, CommandError, Cx, Flags, Group, KeyFlags, KeySpec, Result,
};
use crate::config::Settings;
use crate::number::parse_i64;
use crate::resp::{Args, Reply};

pub const COMMANDS: &[Command] = &[
    Command {
        name: "bitfield",
        arity: -2,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        acl: Categories::BITMAP,
        keys: &[KeySpec {
            notes: Some("This command allows both access and modification of the key"),
            ..KeySpec::one(
                1,
                KeyFlags::RW
                    .union(KeyFlags::ACCESS)
                    .union(KeyFlags::UPDATE)
                    .union(KeyFlags::VARIABLE_FLAGS),
            )
        }],
        variable_flags: Some(|args| {
            if only_reads(args.from(2)) {
                KeyFlags::RO | KeyFlags::ACCESS
            } else {
                KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE
            }
        }),
        group: Group::Bitmap,
        run: bitfield,
        ..Command::DEFAULT
    },
    Command {
        name: "bitfield_ro",
        arity: -2,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Categories::BITMAP,
        keys: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
        group: Group::Bitmap,
        run: bitfield_ro,
        ..Command::DEFAULT
    },
];

/// Whether the words are GET and OVERFLOW with their arguments, whatever these are.
fn only_reads(words: Args<'_>) -> bool {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let arguments = if word.eq_ignore_ascii_case(b"get") {
            2
        } else if word.eq_ignore_ascii_case(b"overflow") {
            1
        } else {
            return false;
        };
        at += 1 + arguments;
        if at > words.len() {
            return false;
        }
    }
    true
}

/// One operation on one field.
struct Operation {
    action: Action,
    field: Field,
    offset: usize,
}

enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

impl Operation {
    fn parse_all(words: Args<'_>, settings: &Settings) -> Result<Vec<Operation>> {
        let mut operations = Vec::new();
        let mut overflow = Overflow::default();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let left = words.len() - at - 1;
            if is(b"overflow") && left >= 1 {
                overflow = parse_overflow(words.at(at + 1))?;
                at += 2;
                continue;
            }
            let reads = is(b"get");
            if !(reads && left >= 2 || (is(b"set") || is(b"incrby")) && left >= 3) {
                return Err(CommandError::SYNTAX);
            }
            let field = Field::parse(words.at(at + 1)).ok_or(
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not \
                 supported but i64 is.",
            )?;
            let offset = match words.at(at + 2) {
                [b'#', index @ ..] => offset(index, settings, field.bits().into())?,
                text => offset(text, settings, 1)?,
            };
            let number = || parse_i64(words.at(at + 3)).ok_or(CommandError::NOT_INTEGER);
            let action = if reads {
                Action::Get
            } else if is(b"set") {
                Action::Set(number()?, overflow)
            } else {
                Action::Add(number()?, overflow)
            };
            operations.push(Operation { action, field, offset });
            at += if reads { 3 } else { 4 };
        }
        Ok(operations)
    }

    /// Bytes that a string must have for it.
    fn len(&self) -> usize {
        match self.action {
            Action::Get => 0,
            _ => (self.offset + self.field.bits() as usize).div_ceil(8),
        }
    }
}

fn parse_overflow(word: &[u8]) -> Result<Overflow> {
    if word.eq_ignore_ascii_case(b"wrap") {
        Ok(Overflow::Wrap)
    } else if word.eq_ignore_ascii_case(b"sat") {
        Ok(Overflow::Saturate)
    } else if word.eq_ignore_ascii_case(b"fail") {
        Ok(Overflow::Fail)
    } else {
        Err("ERR Invalid OVERFLOW type specified".into())
    }
}

fn bitfield(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let operations = Operation::parse_all(args.from(2), cx.settings)?;
    let len = operations.iter().map(Operation::len).max().unwrap_or(0);
    if len == 0 {
        return read(cx, &operations, out);
    }
    let key = cx.key();
    let (mut entry, grows) = to_change(cx, &key, len)?;
    let string = entry.entry_mut().string_mut(len).ok_or(CommandError::WRONG_TYPE)?;
    let mut changes = 0;
    out.array(operations.len());
    for Operation { action, field, offset } in operations {
        let old = field.read(string, offset);
        let new = match action {
            Action::Get => Some(old),
            Action::Set(number, overflow) => field.set(number, overflow),
            Action::Add(number, overflow) => field.add(old, number, overflow),
        };
        let Some(new) = new else {
            out.null();
            continue;
        };
        out.integer(if matches!(action, Action::Set(..)) { old } else { new });
        if !matches!(action, Action::Get) {
            field.write(string, offset, new);
            changes += usize::from(grows || old != new);
        }
    }
    cx.changed_by(changes, "setbit", &key);
    if changes == 0 && grows {
        // An operation that overflowed has made the string longer, which Valkey counts as no change.
        cx.journal_as(&key, args.iter());
    }
    Ok(())
}

fn bitfield_ro(cx: &mut Cx<'_>, args: Args<'_>, out: &mut Reply<'_>) -> Result {
    let operations = Operation::parse_all(args.from(2), cx.settings)?;
    if operations.iter().any(|operation| operation.len() > 0) {
        return Err("ERR BITFIELD_RO only supports the GET subcommand".into());
    }
    read(cx, &operations, out)
}

/// Replies with the fields' numbers.
fn read(cx: &mut Cx<'_>, operations: &[Operation], out: &mut Reply<'_>) -> Result {
    let mut digits = itoa::Buffer::new();
    let string = match cx.read(&cx.key()) {
        Some(entry) => entry.string(&mut digits)?,
        None => b"",
    };
    out.array(operations.len());
    for operation in operations {
        out.integer(operation.field.read(string, operation.offset));
    }
    Ok(())
}
