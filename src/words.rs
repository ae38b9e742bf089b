//! Lines of words, which may be quoted: as configuration files and the selectors of users have them.

/// Splits a line into words. Parts in quotes belong to the word that they touch; between double
/// quotes `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and `\` before anything else are escapes, between
/// single ones only `\'`. `None` if a quote is not closed.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some((&byte, after)) = rest.split_first() {
            if byte.is_ascii_whitespace() || byte == 0 {
                break;
            }
            rest = match byte {
                b'"' => double_quoted(after, &mut word)?,
                b'\'' => single_quoted(after, &mut word)?,
                _ => {
                    word.push(byte);
                    after
                }
            };
        }
        if rest.first() == Some(&0) {
            words.push(word);
            return Some(words);
        }
        words.push(word);
    }
}

/// Appends what stands before the closing quote; returns what follows it.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match *rest {
            [b'"', ref after @ ..] => return Some(after),
            [b'\\', b'x', high, low, ref after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |b: u8| (b as char).to_digit(16).unwrap_or_default() as u8;
                word.push(digit(high) << 4 | digit(low));
                after
            }
            [b'\\', escaped, ref after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                after
            }
            [byte, ref after @ ..] => {
                word.push(byte);
                after
            }
            [] => return None,
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match *rest {
            [b'\'', ref after @ ..] => return Some(after),
            [b'\\', b'\'', ref after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, ref after @ ..] => {
                word.push(byte);
                after
            }
            [] => return None,
        };
    }
}

/// The text as one word of a line, between double quotes.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let mut word = vec![b'"'];
    for &byte in text {
        match byte {
            b'"' | b'\\' => word.extend([b'\\', byte]),
            b'\n' => word.extend(b"\\n"),
            b'\r' => word.extend(b"\\r"),
            b'\t' => word.extend(b"\\t"),
            b' '..=b'~' => word.push(byte),
            _ => word.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    word.push(b'"');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_quoted() {
        let words = |line: &str| -> Option<Vec<String>> {
            let words = split(line.as_bytes())?;
            Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
        };
        assert_eq!(words("a  b\tc").unwrap(), ["a", "b", "c"]);
        assert_eq!(
            words(r#"x "a b" 'c "d"' "\x41\n\"""#).unwrap(),
            ["x", "a b", "c \"d\"", "A\n\""]
        );
        assert_eq!(words("hz '1'1 \"\"").unwrap(), ["hz", "11", ""]);
        assert_eq!(words("x \"a"), None);
        assert_eq!(words("x 'a"), None);
        assert_eq!(words("").unwrap(), [""; 0]);
    }

    #[test]
    fn quoted_words_are_read_back() {
        for text in [&b"plain"[..], b"", b"a b", b"\"\\\x00\xff\n", b"#no comment"] {
            let mut line = b"x ".to_vec();
            line.extend(quoted(text));
            let words = split(&line).unwrap();
            assert_eq!(words[1..], [text.to_vec()]);
        }
    }
}
