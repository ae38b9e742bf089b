//! What a parameter is: its name, its type and bounds, and how it is read and written as text.

use std::borrow::Cow;

use super::Settings;
use crate::number::parse_i64;
use crate::words::quoted;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directive of the file or an option of the command line. `first` if no earlier one had this
    /// name: parameters that collect their directives then forget their default.
    Directive { first: bool },
    /// CONFIG SET, which replaces what was there.
    Command,
}

/// Why a value was refused: the text for the user.
pub type Refusal = Cow<'static, str>;

/// The form and bounds of a parameter's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    Integer {
        min: i128,
        max: i128,
    },
    /// Octal digits.
    Octal {
        max: u32,
    },
    /// Bytes, with an optional unit: `k`, `kb`, `m`, `mb`, `g`, `gb`.
    Memory {
        min: i128,
        max: i128,
    },
    Text,
    /// One of several words.
    Choice,
    /// Several words; CONFIG SET takes them in one argument.
    Words,
}

/// A type that a parameter can have.
pub trait Field: PartialEq {
    /// Takes the value from a directive's words.
    fn set(&mut self, words: &[Vec<u8>], kind: Kind, source: Source) -> Result<(), Refusal>;

    /// The value as CONFIG GET reports it.
    fn format(&self, kind: Kind) -> Vec<u8>;

    /// The directives that say this value in a configuration file, without the parameter's name.
    fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
        vec![match kind {
            Kind::Text => quoted(&self.format(kind)),
            _ => self.format(kind),
        }]
    }
}

/// May a parameter be changed while the server runs?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    Free,
    /// Only if `enable-protected-configs` allows it.
    Protected,
    Immutable,
}

/// Takes a field's value from a directive's words.
type Setter = fn(&mut Settings, &[Vec<u8>], Kind, Source) -> Result<(), Refusal>;

/// A condition on a value beyond its type.
type Check = fn(&Settings) -> Result<(), &'static str>;

/// One row of the parameter table.
pub struct Parameter {
    pub name: String,
    /// Another name for it, equally good.
    pub alias: Option<&'static str>,
    pub kind: Kind,
    pub mutability: Mutability,
    /// CONFIG GET shows it only if asked for by its exact name.
    pub hidden: bool,
    /// To set it to the value that it has is a change too: it names files, which are read again.
    pub volatile: bool,
    check: Option<Check>,
    clamp: Option<fn(&mut Settings)>,
    access: Access,
}

/// How a parameter's field is reached.
pub(super) struct Access {
    pub set: Setter,
    pub format: fn(&Settings, Kind) -> Vec<u8>,
    pub directives: fn(&Settings, Kind) -> Vec<Vec<u8>>,
    pub same: fn(&Settings, &Settings) -> bool,
}

impl Parameter {
    pub(super) fn new(field: &str, kind: Kind, access: Access) -> Self {
        Parameter {
            name: field.replace('_', "-"),
            alias: None,
            kind,
            mutability: Mutability::Free,
            hidden: false,
            volatile: false,
            check: None,
            clamp: None,
            access,
        }
    }

    pub(super) fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    pub(super) fn immutable(mut self) -> Self {
        self.mutability = Mutability::Immutable;
        self
    }

    pub(super) fn protected(mut self) -> Self {
        self.mutability = Mutability::Protected;
        self
    }

    pub(super) fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// A condition on the value beyond its type.
    pub(super) fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// Moves a value that is out of reason, but allowed, to the nearest reasonable one.
    pub(super) fn clamp(mut self, clamp: fn(&mut Settings)) -> Self {
        self.clamp = Some(clamp);
        self
    }

    /// Takes the value from a directive's words. After a refusal `settings` may hold half of it.
    pub fn set(
        &self,
        settings: &mut Settings,
        words: &[Vec<u8>],
        source: Source,
    ) -> Result<(), Refusal> {
        match words {
            // One word may hold them all: so does CONFIG SET say them.
            [word] if self.kind == Kind::Words => {
                let words: Vec<Vec<u8>> = word.split(|b| *b == b' ').map(<[u8]>::to_vec).collect();
                (self.access.set)(settings, &words, self.kind, source)?;
            }
            [_] => (self.access.set)(settings, words, self.kind, source)?,
            words if self.kind == Kind::Words => {
                (self.access.set)(settings, words, self.kind, source)?;
            }
            _ => return Err("wrong number of arguments".into()),
        }
        if let Some(clamp) = self.clamp {
            clamp(settings);
        }
        match self.check {
            Some(check) => check(settings).map_err(Refusal::Borrowed),
            None => Ok(()),
        }
    }

    /// Takes the value of a CONFIG SET.
    pub fn set_from_command(&self, settings: &mut Settings, value: &[u8]) -> Result<(), Refusal> {
        self.set(settings, &[value.to_vec()], Source::Command)
    }

    /// The value as CONFIG GET reports it.
    pub fn get(&self, settings: &Settings) -> Vec<u8> {
        (self.access.format)(settings, self.kind)
    }

    /// The directives that say the value in a configuration file, without the name.
    pub fn directives(&self, settings: &Settings) -> Vec<Vec<u8>> {
        (self.access.directives)(settings, self.kind)
    }

    /// True if both settings have the same value of it.
    pub fn same(&self, a: &Settings, b: &Settings) -> bool {
        (self.access.same)(a, b)
    }
}

/// An integer with bounds.
pub(super) const fn int(min: i128, max: i128) -> Kind {
    Kind::Integer { min, max }
}

/// Bytes with bounds.
pub(super) const fn memory(min: i128, max: i128) -> Kind {
    Kind::Memory { min, max }
}

fn bounded(value: i128, min: i128, max: i128) -> Result<i128, Refusal> {
    if value < min || value > max {
        return Err(format!("argument must be between {min} and {max} inclusive").into());
    }
    Ok(value)
}

/// Reads a number of bytes: decimal digits, then a unit in any case, or none.
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let unit = match text[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number: u64 = match std::str::from_utf8(&text[..digits]).ok()? {
        // Nothing is 0, for Valkey too.
        "" => 0,
        digits => digits.parse().ok()?,
    };
    number.checked_mul(unit)
}

/// A number of bytes with the greatest binary unit that divides it.
pub fn format_memory(bytes: u64) -> String {
    let units = [(1u64 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match units.iter().find(|(unit, _)| bytes != 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

fn parse_number(word: &[u8], kind: Kind) -> Result<i128, Refusal> {
    match kind {
        Kind::Integer { min, max } => {
            let value = parse_i64(word).ok_or("argument couldn't be parsed into an integer")?;
            bounded(value.into(), min, max)
        }
        Kind::Octal { max } => {
            let text = std::str::from_utf8(word).unwrap_or_default();
            let value = i64::from_str_radix(text, 8)
                .map_err(|_| "argument couldn't be parsed as an octal number")?;
            if value < 0 || value > max.into() {
                return Err(format!("argument must be between 0 and {max:o} inclusive").into());
            }
            Ok(value.into())
        }
        Kind::Memory { min, max } => {
            let negative = word.strip_prefix(b"-").filter(|_| min < 0);
            let value = parse_memory(negative.unwrap_or(word));
            let value = i128::from(value.ok_or("argument must be a memory value")?);
            bounded(if negative.is_some() { -value } else { value }, min, max)
        }
        _ => unreachable!("the table gives numbers a kind of number"),
    }
}

macro_rules! number_fields {
    ($($type:ty)*) => {$(
        impl Field for $type {
            fn set(&mut self, words: &[Vec<u8>], kind: Kind, _: Source) -> Result<(), Refusal> {
                *self = parse_number(&words[0], kind)? as $type;
                Ok(())
            }

            fn format(&self, kind: Kind) -> Vec<u8> {
                match kind {
                    Kind::Octal { .. } => format!("{self:o}").into(),
                    _ => self.to_string().into(),
                }
            }

            fn directives(&self, kind: Kind) -> Vec<Vec<u8>> {
                vec![match (kind, u64::try_from(*self)) {
                    (Kind::Memory { .. }, Ok(bytes)) => format_memory(bytes).into(),
                    _ => self.format(kind),
                }]
            }
        }
    )*};
}

number_fields!(u16 u32 u64 usize i32 i64);

impl Field for bool {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        *self = match words[0].to_ascii_lowercase().as_slice() {
            b"yes" => true,
            b"no" => false,
            _ => return Err("argument must be 'yes' or 'no'".into()),
        };
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        if *self { b"yes".into() } else { b"no".into() }
    }
}

impl Field for String {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        *self = utf8(&words[0])?.to_owned();
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

/// Any bytes: passwords.
impl Field for Vec<u8> {
    fn set(&mut self, words: &[Vec<u8>], _: Kind, _: Source) -> Result<(), Refusal> {
        self.clone_from(&words[0]);
        Ok(())
    }

    fn format(&self, _: Kind) -> Vec<u8> {
        self.clone()
    }
}

/// The word as text.
pub(super) fn utf8(word: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(word).map_err(|_| "argument must be UTF-8 text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_decimal_and_binary_units() {
        for (text, bytes) in [
            ("", 0),
            ("1", 1),
            ("01", 1),
            ("1B", 1),
            ("1k", 1000),
            ("1kb", 1024),
            ("3MB", 3 << 20),
            ("2g", 2_000_000_000),
            ("8589934592gb", 1 << 63),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_memory(text.as_bytes()), Some(bytes), "{text}");
        }
        for text in ["-1", "+1", " 1", "1 ", "1.5mb", "1t", "0x10", "17179869184gb"] {
            assert_eq!(parse_memory(text.as_bytes()), None, "{text}");
        }
        assert_eq!(format_memory(64 << 20), "64mb");
        assert_eq!(format_memory(1025), "1025");
        assert_eq!(format_memory(0), "0");
    }
}
