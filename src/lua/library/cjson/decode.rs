//! `cjson.decode`

use super::super::super::raw::{Pile, Raised, Stack, Text, parse_number};
use super::{Settings, settings};

/// A part of the document. Its first character is at `at`.
#[derive(Clone, Copy)]
struct Token {
    kind: Kind,
    at: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// The text stands in the decoder.
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

impl Kind {
    /// The name in messages.
    fn name(self) -> &'static str {
        match self {
            Kind::ObjectBegin => "T_OBJ_BEGIN",
            Kind::ObjectEnd => "T_OBJ_END",
            Kind::ArrayBegin => "T_ARR_BEGIN",
            Kind::ArrayEnd => "T_ARR_END",
            Kind::String => "T_STRING",
            Kind::Number(_) => "T_NUMBER",
            Kind::Boolean(_) => "T_BOOLEAN",
            Kind::Null => "T_NULL",
            Kind::Colon => "T_COLON",
            Kind::Comma => "T_COMMA",
            Kind::End => "T_END",
            Kind::Wrong(message) => message,
        }
    }
}

/// A table that is being filled. It stands on Lua's stack; above an object is the key of its next value.
#[derive(Clone, Copy)]
enum Level {
    Array { len: i32 },
    Object,
}

struct Decoder<'a> {
    stack: Stack,
    settings: Settings,
    document: &'a [u8],
    at: usize,
    /// The last string, without its escapes.
    string: Text,
    levels: Pile<Level, 32>,
}

/// `cjson.decode(text)`
pub fn decode(stack: Stack) -> Result<i32, Raised> {
    if stack.top() != 1 {
        stack.argument_error(1, c"expected 1 argument");
    }
    let document = stack.check_bytes(1);
    if let [first, second, ..] = document
        && (*first == 0 || *second == 0)
    {
        return stack.error(b"JSON parser does not support UTF-16 or UTF-32");
    }
    let mut decoder = Decoder {
        stack,
        settings: settings(stack),
        document,
        at: 0,
        string: Text::new(stack),
        levels: Pile::new(stack),
    };
    decoder.run()?;
    Ok(1)
}

impl Decoder<'_> {
    fn run(&mut self) -> Result<(), Raised> {
        let mut token = self.next_token();
        loop {
            // A value that is complete ends the containers that end after it.
            if self.value(token)? && self.is_end()? {
                return Ok(());
            }
            token = self.next_token();
            match self.levels.pop() {
                Some(Level::Object) => {
                    self.levels.push(Level::Object);
                    token = self.key(token)?;
                }
                Some(level) => self.levels.push(level),
                None => {}
            }
        }
    }

    /// Pushes a value; false if it is a container that is open.
    fn value(&mut self, token: Token) -> Result<bool, Raised> {
        let stack = self.stack;
        match token.kind {
            Kind::String => self.string.push_string(),
            Kind::Number(number) => stack.push_number(number),
            Kind::Boolean(value) => stack.push_boolean(value),
            Kind::Null => stack.push_address(std::ptr::null()),
            Kind::ObjectBegin => return self.open(Level::Object),
            Kind::ArrayBegin => return self.open(Level::Array { len: 0 }),
            _ => return self.unexpected("value", token),
        }
        Ok(true)
    }

    /// Opens a container; true if it is empty.
    fn open(&mut self, level: Level) -> Result<bool, Raised> {
        let depth = self.levels.len() + 1;
        if depth as i64 > i64::from(self.settings.decode_depth) || !self.stack.reserve(6) {
            return self.too_deep(depth);
        }
        self.stack.new_table(0, 0);
        let before = self.at;
        let first = self.next_token();
        if matches!(
            (level, first.kind),
            (Level::Object, Kind::ObjectEnd) | (Level::Array { .. }, Kind::ArrayEnd)
        ) {
            return Ok(true);
        }
        self.at = before;
        self.levels.push(level);
        Ok(false)
    }

    /// Puts the value on top where it belongs, and ends containers; true at the end of the document.
    fn is_end(&mut self) -> Result<bool, Raised> {
        loop {
            let Some(level) = self.levels.pop() else {
                let token = self.next_token();
                if matches!(token.kind, Kind::End) {
                    return Ok(true);
                }
                return self.unexpected("the end", token);
            };
            let (level, end, expected) = match level {
                Level::Array { len } => {
                    self.stack.raw_set_at(-2, len + 1);
                    (Level::Array { len: len + 1 }, Kind::ArrayEnd, "comma or array end")
                }
                Level::Object => {
                    self.stack.raw_set(-3);
                    (Level::Object, Kind::ObjectEnd, "comma or object end")
                }
            };
            self.stack.shared().interrupt_often(self.stack)?;
            let token = self.next_token();
            if matches!(token.kind, Kind::Comma) {
                self.levels.push(level);
                return Ok(false);
            }
            if std::mem::discriminant(&token.kind) != std::mem::discriminant(&end) {
                return self.unexpected(expected, token);
            }
        }
    }

    /// Pushes the key that `token` is; answers the first token of its value.
    fn key(&mut self, token: Token) -> Result<Token, Raised> {
        if !matches!(token.kind, Kind::String) {
            return self.unexpected("object key string", token);
        }
        self.string.push_string();
        let colon = self.next_token();
        if !matches!(colon.kind, Kind::Colon) {
            return self.unexpected("colon", colon);
        }
        Ok(self.next_token())
    }

    fn unexpected<T>(&self, expected: &str, found: Token) -> Result<T, Raised> {
        let stack = self.stack;
        // Deep values may have filled the frame.
        stack.set_top(0);
        stack.push_position(1);
        stack.push_bytes(b"Expected ");
        stack.push_bytes(expected.as_bytes());
        stack.push_bytes(b" but found ");
        stack.push_bytes(found.kind.name().as_bytes());
        stack.push_bytes(b" at character ");
        stack.push_number((found.at + 1) as f64);
        stack.concat(7);
        Err(Raised)
    }

    fn too_deep<T>(&self, depth: usize) -> Result<T, Raised> {
        let stack = self.stack;
        // Deep values may have filled the frame.
        stack.set_top(0);
        stack.push_position(1);
        stack.push_bytes(b"Found too many nested data structures (");
        stack.push_number(depth as f64);
        stack.push_bytes(b") at character ");
        stack.push_number(self.at as f64);
        stack.concat(5);
        Err(Raised)
    }

    fn next_token(&mut self) -> Token {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.document.get(self.at) {
            self.at += 1;
        }
        let at = self.at;
        // A zero byte where a token could begin ends the document.
        let Some(&first) = self.document.get(at).filter(|&&first| first != 0) else {
            return Token { kind: Kind::End, at };
        };
        let single = |kind| Some((kind, 1));
        let plain = match first {
            b'{' => single(Kind::ObjectBegin),
            b'}' => single(Kind::ObjectEnd),
            b'[' => single(Kind::ArrayBegin),
            b']' => single(Kind::ArrayEnd),
            b':' => single(Kind::Colon),
            b',' => single(Kind::Comma),
            b'"' => return self.string_token(),
            b'-' | b'0'..=b'9' => {
                if !self.settings.decode_invalid && self.is_invalid_number() {
                    single(Kind::Wrong("invalid number"))
                } else {
                    Some(self.number())
                }
            }
            _ => self.word(),
        };
        let (kind, len) = plain.unwrap_or((Kind::Wrong("invalid token"), 0));
        self.at += len;
        Token { kind, at }
    }

    fn word(&self) -> Option<(Kind, usize)> {
        let rest = &self.document[self.at..];
        let words: [(&[u8], Kind); 3] = [
            (b"true", Kind::Boolean(true)),
            (b"false", Kind::Boolean(false)),
            (b"null", Kind::Null),
        ];
        let word = words.into_iter().find(|(word, _)| rest.starts_with(word));
        match word {
            Some((word, kind)) => Some((kind, word.len())),
            None if self.settings.decode_invalid && self.is_invalid_number() => Some(self.number()),
            None => None,
        }
    }

    fn number(&self) -> (Kind, usize) {
        match parse_number(&self.document[self.at..]) {
            (_, 0) => (Kind::Wrong("invalid number"), 0),
            (number, len) => (Kind::Number(number), len),
        }
    }

    /// Whether a number begins here that JSON does not have: with a plus sign, hexadecimal, with zeros in front, infinite, or none.
    fn is_invalid_number(&self) -> bool {
        let rest = &self.document[self.at..];
        if rest.first() == Some(&b'+') {
            return true;
        }
        let digits = rest.strip_prefix(b"-").unwrap_or(rest);
        match digits {
            [b'0', second, ..] => second.is_ascii_digit() || second.eq_ignore_ascii_case(&b'x'),
            [b'0'..=b'9', ..] => false,
            [first, second, third, ..] => {
                let word = [*first, *second, *third].map(|byte| byte.to_ascii_lowercase());
                matches!(&word, b"inf" | b"nan")
            }
            _ => false,
        }
    }

    /// A string, without its quotes and escapes.
    fn string_token(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        self.string.clear();
        loop {
            let rest = &self.document[self.at..];
            let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0));
            let plain = special.unwrap_or(rest.len());
            self.string.extend(&rest[..plain]);
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    return Token { kind: Kind::String, at: start };
                }
                Some(b'\\') => {
                    if let Err(wrong) = self.escape() {
                        return wrong;
                    }
                }
                _ => return self.wrong("unexpected end of string", self.at),
            }
        }
    }

    fn wrong(&self, message: &'static str, at: usize) -> Token {
        Token { kind: Kind::Wrong(message), at }
    }

    fn escape(&mut self) -> Result<(), Token> {
        let backslash = self.at;
        let escaped = self.document.get(backslash + 1).copied().unwrap_or(0);
        let byte = match escaped {
            b'"' | b'\\' | b'/' => escaped,
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            b'u' => {
                let Some((character, len)) = self.unicode(backslash) else {
                    return Err(self.wrong("invalid unicode escape code", backslash));
                };
                let mut text = [0; 4];
                self.string.extend(character.encode_utf8(&mut text).as_bytes());
                self.at += len;
                return Ok(());
            }
            _ => return Err(self.wrong("invalid escape code", backslash)),
        };
        self.string.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The character that the escape at `at` is, and the length of the escape: two escapes make one character beyond the first plane.
    fn unicode(&self, at: usize) -> Option<(char, usize)> {
        let unit = |at: usize| {
            let digits = self.document.get(at..at + 6)?;
            let digits = digits.strip_prefix(b"\\u")?;
            digits
                .iter()
                .try_fold(0, |unit, &digit| Some(unit << 4 | (digit as char).to_digit(16)?))
        };
        let first = unit(at)?;
        if !(0xD800..0xE000).contains(&first) {
            return Some((char::from_u32(first)?, 6));
        }
        let second = unit(at + 6).filter(|second| (0xDC00..0xE000).contains(second))?;
        let high = first.checked_sub(0xD800).filter(|high| *high < 0x400)?;
        Some((char::from_u32(0x10000 + (high << 10 | (second - 0xDC00)))?, 12))
    }
}
