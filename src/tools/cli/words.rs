//! Words of a command line, and strings as they are shown: quotes and escapes.

/// Splits a line into words. `"…"` knows the escapes `\n \r \t \b \a \xHH` and takes any other
/// character after a backslash as it is; `'…'` knows `\'` alone. A quote ends its word: a space must
/// follow. `None` if a quote is not closed, or not followed so.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_space(*byte));
        let Some(start) = start else { return Some(words) };
        let (word, after) = word(&rest[start..])?;
        words.push(word);
        rest = after;
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\x0b' || byte == 0
}

fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let [byte, after @ ..] = rest {
        match byte {
            b'"' | b'\'' => {
                rest = if *byte == b'"' {
                    double(after, &mut word)
                } else {
                    single(after, &mut word)
                }?;
                return match rest {
                    [next, ..] if !is_space(*next) => None,
                    _ => Some((word, rest)),
                };
            }
            byte if is_space(*byte) => break,
            byte => word.push(*byte),
        }
        rest = after;
    }
    Some((word, rest))
}

/// Reads up to the closing double quote; returns the rest of the line.
fn double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'x', a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                let digit = |byte: &u8| (*byte as char).to_digit(16).unwrap_or(0) as u8;
                word.push(digit(a) * 16 + digit(b));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => b'\x08',
                    b'a' => b'\x07',
                    other => *other,
                });
                after
            }
            [b'"', after @ ..] => return Some(after),
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

fn single<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [b'\'', after @ ..] => return Some(after),
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

/// A string in double quotes, in ASCII alone; [`split`] reads it back.
pub fn quote(bytes: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(bytes.len() + 2);
    quoted.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'\t' => quoted.extend(b"\\t"),
            b'\x07' => quoted.extend(b"\\a"),
            b'\x08' => quoted.extend(b"\\b"),
            b' '..=b'~' => quoted.push(byte),
            _ => quoted.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
    }

    fn some(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn quotes_and_escapes_are_those_of_redis_cli() {
        assert_eq!(words(" set\ta  b "), some(&["set", "a", "b"]));
        assert_eq!(words(""), some(&[]));
        assert_eq!(words(r#"set 'a b' "c\x41\n\q""#), some(&["set", "a b", "cA\nq"]));
        assert_eq!(words(r#"'it\'s \n' '' """#), some(&["it's \\n", "", ""]));
        assert_eq!(words(r#"b"c" "\xZZ\a""#), some(&["bc", "xZZ\x07"]));
        for wrong in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#""a\"#] {
            assert_eq!(words(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn quoted_strings_are_read_back(bytes: Vec<u8>) {
            prop_assert_eq!(split(&quote(&bytes)), Some(vec![bytes]));
        }
    }
}
