//! Replies as text, in the forms of redis-cli.

use super::words::quote;
use crate::tools::client::Value;

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people: types are shown, lists are numbered.
    Terminal,
    /// The bytes of the reply, for other programs.
    Raw,
    Csv,
    Json,
    /// JSON in ASCII alone.
    QuotedJson,
}

/// How replies are written.
#[derive(Clone, Debug)]
pub struct Format {
    pub style: Style,
    /// Stands between the elements of a raw reply.
    pub element_delimiter: Vec<u8>,
    /// Stands after a raw reply.
    pub reply_delimiter: Vec<u8>,
}

impl Format {
    /// A reply to a command, with its end of line.
    pub fn reply(&self, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        match self.style {
            Style::Terminal => terminal(value, "", &mut out),
            Style::Raw => {
                self.raw(value, &mut out);
                out.extend_from_slice(&self.reply_delimiter);
            }
            Style::Csv => {
                csv(value, &mut out);
                out.push(b'\n');
            }
            Style::Json => {
                json(value, &json_string, &mut out);
                out.push(b'\n');
            }
            Style::QuotedJson => {
                json(value, &quoted_json_string, &mut out);
                out.push(b'\n');
            }
        }
        out
    }

    /// A text for people: raw, and without an end of its own.
    pub fn text(&self, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        self.raw(value, &mut out);
        out
    }

    /// A push that answers no command.
    pub fn push(&self, value: &Value) -> Vec<u8> {
        match value.as_slice() {
            Some([kind, Value::Array(keys)])
                if self.style == Style::Terminal && kind.as_bytes() == Some(b"invalidate") =>
            {
                let mut out = b"-> invalidate: ".to_vec();
                for (index, key) in keys.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    out.push(b'\'');
                    out.extend_from_slice(key.as_bytes().unwrap_or_default());
                    out.push(b'\'');
                }
                out.push(b'\n');
                out
            }
            _ => self.reply(value),
        }
    }

    fn raw(&self, value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::Null => {}
            Value::Error(text) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            Value::Array(items) | Value::Set(items) | Value::Push(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(&self.element_delimiter);
                    }
                    self.raw(item, out);
                }
            }
            Value::Map(pairs) => {
                for (index, (key, value)) in pairs.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(&self.element_delimiter);
                    }
                    self.raw(key, out);
                    out.push(b' ');
                    self.raw(value, out);
                }
            }
            Value::Boolean(true) => out.extend_from_slice(b"(true)"),
            Value::Boolean(false) => out.extend_from_slice(b"(false)"),
            Value::Attributed(_, value) => self.raw(value, out),
            other => scalar(other, out),
        }
    }
}

/// The bytes of a value that has no elements.
fn scalar(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Integer(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
        }
        Value::Double(text) | Value::BigNumber(text) => out.extend_from_slice(text),
        other => out.extend_from_slice(other.as_bytes().unwrap_or_default()),
    }
}

/// `prefix` is the indentation of every line but the first.
fn terminal(value: &Value, prefix: &str, out: &mut Vec<u8>) {
    let tag = match value {
        Value::Array(items) => return list(items, b')', "(empty array)", prefix, out),
        Value::Push(items) => return list(items, b')', "(empty push)", prefix, out),
        Value::Set(items) => return list(items, b'~', "(empty set)", prefix, out),
        Value::Map(pairs) => return map(pairs, prefix, out),
        Value::Attributed(_, value) => return terminal(value, prefix, out),
        Value::Bulk(bytes) => {
            out.extend(quote(bytes));
            out.push(b'\n');
            return;
        }
        Value::Error(text) => {
            out.extend_from_slice(b"(error) ");
            out.extend_from_slice(text);
            out.push(b'\n');
            return;
        }
        Value::Null => "(nil)",
        Value::Boolean(true) => "(true)",
        Value::Boolean(false) => "(false)",
        Value::Integer(_) => "(integer) ",
        Value::Double(_) => "(double) ",
        Value::BigNumber(_) => "(big number) ",
        Value::Simple(_) | Value::Verbatim(..) => "",
    };
    out.extend_from_slice(tag.as_bytes());
    scalar(value, out);
    out.push(b'\n');
}

fn list(items: &[Value], mark: u8, empty: &str, prefix: &str, out: &mut Vec<u8>) {
    if items.is_empty() {
        out.extend_from_slice(empty.as_bytes());
        out.push(b'\n');
    }
    let (width, inner) = columns(items.len(), prefix);
    for (index, item) in items.iter().enumerate() {
        number(index, width, mark, prefix, out);
        terminal(item, &inner, out);
    }
}

fn map(pairs: &[(Value, Value)], prefix: &str, out: &mut Vec<u8>) {
    if pairs.is_empty() {
        out.extend_from_slice(b"(empty hash)\n");
    }
    let (width, inner) = columns(pairs.len(), prefix);
    for (index, (key, value)) in pairs.iter().enumerate() {
        number(index, width, b'#', prefix, out);
        terminal(key, &inner, out);
        out.pop();
        out.extend_from_slice(b" => ");
        if takes_lines(value) {
            out.push(b'\n');
            out.extend_from_slice(inner.as_bytes());
        }
        terminal(value, &inner, out);
    }
}

/// The width of the numbers of `len` elements, and the indentation of their content.
fn columns(len: usize, prefix: &str) -> (usize, String) {
    let width = len.to_string().len();
    (width, format!("{prefix}{:1$}", "", width + 2))
}

fn number(index: usize, width: usize, mark: u8, prefix: &str, out: &mut Vec<u8>) {
    if index > 0 {
        out.extend_from_slice(prefix.as_bytes());
    }
    out.extend(format!("{:>width$}{} ", index + 1, mark as char).bytes());
}

/// Whether a value of a map begins on a line of its own.
fn takes_lines(value: &Value) -> bool {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => match &items[..] {
            [] => false,
            [item] => takes_lines(item),
            _ => true,
        },
        Value::Map(pairs) => match &pairs[..] {
            [] => false,
            [(_, value)] => takes_lines(value),
            _ => true,
        },
        Value::Attributed(_, value) => takes_lines(value),
        _ => false,
    }
}

fn csv(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"NULL"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Integer(_) | Value::Double(_) | Value::BigNumber(_) => scalar(value, out),
        Value::Simple(bytes) | Value::Bulk(bytes) | Value::Verbatim(_, bytes) => {
            out.extend(quote(bytes));
        }
        Value::Error(text) => {
            out.extend_from_slice(b"ERROR,");
            out.extend(quote(text));
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                csv(item, out);
            }
        }
        Value::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                csv(key, out);
                out.push(b',');
                csv(value, out);
            }
        }
        Value::Attributed(_, value) => csv(value, out),
    }
}

fn json(value: &Value, string: &dyn Fn(&[u8]) -> Vec<u8>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Integer(_) | Value::Double(_) | Value::BigNumber(_) => scalar(value, out),
        Value::Simple(bytes) | Value::Bulk(bytes) | Value::Verbatim(_, bytes) => {
            out.extend(string(bytes));
        }
        Value::Error(text) => {
            out.extend_from_slice(b"error:");
            out.extend(string(text));
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json(item, string, out);
            }
            out.push(b']');
        }
        Value::Map(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                // A name is a string, whatever the key is.
                let is_string = key.as_bytes().is_some() || matches!(key, Value::Error(_));
                if !is_string {
                    out.push(b'"');
                }
                json(key, string, out);
                if !is_string {
                    out.push(b'"');
                }
                out.push(b':');
                json(value, string, out);
            }
            out.push(b'}');
        }
        Value::Attributed(_, value) => json(value, string, out),
    }
}

/// A JSON string. Bytes that are no UTF-8 stay as they are, as with redis-cli.
fn json_string(bytes: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for chunk in bytes.utf8_chunks() {
        let text = serde_json::Value::from(chunk.valid()).to_string();
        quoted.extend_from_slice(&text.as_bytes()[1..text.len() - 1]);
        quoted.extend_from_slice(chunk.invalid());
    }
    quoted.push(b'"');
    quoted
}

/// The quoted form of the string, as a JSON string. (redis-cli leaves a quotation mark inside it
/// without a second backslash, which no JSON parser accepts.)
fn quoted_json_string(bytes: &[u8]) -> Vec<u8> {
    let quoted = quote(bytes);
    json_string(&quoted[1..quoted.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::client::Decoder;

    fn value(encoded: &str) -> Value {
        Decoder::default().decode(encoded.as_bytes()).unwrap().value.unwrap()
    }

    fn text(style: Style, encoded: &str) -> String {
        let format =
            Format { style, element_delimiter: b"\n".to_vec(), reply_delimiter: b"\n".to_vec() };
        String::from_utf8(format.reply(&value(encoded))).unwrap()
    }

    /// A reply, and its terminal, raw, CSV and JSON forms as redis-cli 7.0.15 writes them (without
    /// the last line break).
    const CASES: &[(&str, &str, &str, &str, &str)] = &[
        ("+OK\r\n", "OK", "OK", "\"OK\"", "\"OK\""),
        (
            "-ERR \"x\"\r\n",
            "(error) ERR \"x\"",
            "ERR \"x\"\n",
            "ERROR,\"ERR \\\"x\\\"\"",
            "error:\"ERR \\\"x\\\"\"",
        ),
        (":-1\r\n", "(integer) -1", "-1", "-1", "-1"),
        (
            "$5\r\na\"\n\x01\x0c\r\n",
            "\"a\\\"\\n\\x01\\x0c\"",
            "a\"\n\x01\x0c",
            "\"a\\\"\\n\\x01\\x0c\"",
            "\"a\\\"\\n\\u0001\\f\"",
        ),
        ("$-1\r\n", "(nil)", "", "NULL", "null"),
        ("#t\r\n", "(true)", "(true)", "true", "true"),
        (",1.5\r\n", "(double) 1.5", "1.5", "1.5", "1.5"),
        ("=7\r\ntxt:a\nb\r\n", "a\nb", "a\nb", "\"a\\nb\"", "\"a\\nb\""),
        ("*0\r\n", "(empty array)", "", "", "[]"),
        ("~0\r\n", "(empty set)", "", "", "[]"),
        ("%0\r\n", "(empty hash)", "", "", "{}"),
        (
            "*3\r\n*0\r\n%0\r\n:1\r\n",
            "1) (empty array)\n2) (empty hash)\n3) (integer) 1",
            "\n\n1",
            ",,1",
            "[[],{},1]",
        ),
        (
            "%2\r\n*1\r\n:1\r\n*2\r\n:1\r\n:2\r\n$1\r\na\r\n%1\r\n+x\r\n~2\r\n+y\r\n+z\r\n",
            "1# 1) (integer) 1 => \n   1) (integer) 1\n   2) (integer) 2\n2# \"a\" => \n   1# x => \n      1~ y\n      2~ z",
            "1 1\n2\na x y\nz",
            "1,1,2,\"a\",\"x\",\"y\",\"z\"",
            "{\"[1]\":[1,2],\"a\":{\"x\":[\"y\",\"z\"]}}",
        ),
        (
            "%1\r\n:1\r\n%1\r\n:2\r\n:3\r\n",
            "1# (integer) 1 => 1# (integer) 2 => (integer) 3",
            "1 2 3",
            "1,2,3",
            "{\"1\":{\"2\":3}}",
        ),
        (
            "%1\r\n:1\r\n*1\r\n*1\r\n:6\r\n",
            "1# (integer) 1 => 1) 1) (integer) 6",
            "1 6",
            "1,6",
            "{\"1\":[[6]]}",
        ),
        (
            "%2\r\n#f\r\n,2.5\r\n_\r\n$-1\r\n",
            "1# (false) => (double) 2.5\n2# (nil) => (nil)",
            "(false) 2.5\n ",
            "false,2.5,NULL,NULL",
            "{\"false\":2.5,\"null\":null}",
        ),
        (
            "*2\r\n-ERR a\r\n$-1\r\n",
            "1) (error) ERR a\n2) (nil)",
            "ERR a\n\n",
            "ERROR,\"ERR a\",NULL",
            "[error:\"ERR a\",null]",
        ),
    ];

    #[test]
    fn each_type_has_its_form_in_each_style() {
        for (encoded, terminal, raw, csv, json) in CASES {
            assert_eq!(text(Style::Terminal, encoded), format!("{terminal}\n"), "{encoded:?}");
            assert_eq!(text(Style::Raw, encoded), format!("{raw}\n"), "{encoded:?}");
            assert_eq!(text(Style::Csv, encoded), format!("{csv}\n"), "{encoded:?}");
            assert_eq!(text(Style::Json, encoded), format!("{json}\n"), "{encoded:?}");
        }
    }

    #[test]
    fn long_lists_are_aligned() {
        let encoded = format!("*10\r\n{}*2\r\n:1\r\n*1\r\n:2\r\n", ":0\r\n".repeat(9));
        let text = text(Style::Terminal, &encoded);
        assert!(text.starts_with(" 1) (integer) 0\n 2) "), "{text}");
        assert!(text.ends_with("10) 1) (integer) 1\n    2) 1) (integer) 2\n"), "{text}");
    }

    #[test]
    fn types_unknown_to_redis_cli_have_a_form_too() {
        assert_eq!(text(Style::Terminal, "(123\r\n"), "(big number) 123\n");
        assert_eq!(text(Style::Json, "(123\r\n"), "123\n");
        assert_eq!(text(Style::Terminal, "|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n"), "\"v\"\n");
    }

    #[test]
    fn quoted_json_is_ascii_and_json() {
        let format =
            Format { style: Style::QuotedJson, element_delimiter: vec![], reply_delimiter: vec![] };
        let out = format.reply(&Value::Bulk(b"\xff\"\\a\n".to_vec()));
        assert_eq!(out, b"\"\\\\xff\\\\\\\"\\\\\\\\a\\\\n\"\n");
        let parsed: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(parsed, "\\xff\\\"\\\\a\\n");
    }

    #[test]
    fn an_invalidation_is_one_line() {
        let format =
            Format { style: Style::Terminal, element_delimiter: vec![], reply_delimiter: vec![] };
        let push = value(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
        assert_eq!(format.push(&push), b"-> invalidate: 'a'\n");
        let push = value(">1\r\n+other\r\n");
        assert_eq!(format.push(&push), b"1) other\n");
    }
}
