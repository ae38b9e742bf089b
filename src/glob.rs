//! Glob patterns: KEYS, SCAN MATCH, CONFIG GET, PSUBSCRIBE and ACL rules.
//!
//! `*` is any run of bytes, `?` any one byte, `[a-z]` one byte of a class, `[^a-z]` one byte of none
//! of it, `\x` the byte `x` itself. A malformed pattern still has a meaning, the one that Valkey
//! gives it:
//!
//! - the empty text matches the empty pattern alone, not even `*` (KEYS and SCAN take a bare `*` for
//!   no pattern at all);
//! - a class that does not end reaches to the pattern's end;
//! - `[]` is no byte, `[^]` is any byte;
//! - a range's ends may be in either order, and any byte but an escaped one may be an end, `]` too;
//! - a backslash at the end is a backslash;
//! - with more than a thousand runs of `*`, the one at the end aside, it matches nothing.

use crate::random;

/// Runs of `*` with something after them that a matching pattern may have.
const MAX_STARS: usize = 1000;

/// Whether all of `text` matches `pattern`.
#[inline]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run::<false>(pattern, text)
}

/// As [`matches`], but ASCII letters match regardless of their case, except those that are escaped in a
/// class.
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    run::<true>(pattern, text)
}

/// Matches random patterns with random texts: a test of the process's own, which ends if it has no fault.
pub fn try_at_random() {
    const ROUNDS: usize = 100_000;
    let bytes = |most: u64, letters: &[u8]| -> Vec<u8> {
        let letter = || letters[random::below(letters.len() as u64) as usize];
        (0..random::below(most)).map(|_| letter()).collect()
    };
    for _ in 0..ROUNDS {
        let (text, pattern) = (bytes(32, b"abc[-"), bytes(32, b"*?[]^-\\abc"));
        std::hint::black_box(matches(&pattern, &text));
        std::hint::black_box(matches_ignoring_case(&pattern, &text));
    }
}

/// The one text that `pattern` matches, if it has nothing special in it.
pub fn literal(pattern: &[u8]) -> Option<&[u8]> {
    (literal_prefix(pattern).len() == pattern.len()).then_some(pattern)
}

/// The prefix of every matching text: the pattern up to its first special byte.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let special = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..special.unwrap_or(pattern.len())]
}

/// Everything but `*` consumes exactly one byte, so it is enough to let the last `*` that was passed
/// take one byte more after each failure: the time is at most the product of the two lengths.
fn run<const IGNORE_CASE: bool>(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Where the pattern goes on after the last `*`, and where in the text that was tried last.
    let (mut star, mut stars) = (None, 0);
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            match pattern.get(p) {
                None => return true,
                Some(b'*') => continue,
                Some(_) if stars == MAX_STARS => return false,
                Some(_) => stars += 1,
            }
            star = Some((p, t));
            continue;
        }
        let next = match text.get(t) {
            Some(&byte) => one::<IGNORE_CASE>(pattern, p, byte),
            None => return p == pattern.len(),
        };
        match (next, star) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((after, tried))) => {
                (p, t) = (after, tried + 1);
                star = Some((p, t));
            }
            (None, None) => return false,
        }
    }
}

/// Matches one byte with the element at `p`, which is no `*`: returns where the pattern goes on, or
/// `None`.
#[inline]
fn one<const IGNORE_CASE: bool>(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    let same = |a: u8, b: u8| if IGNORE_CASE { a.eq_ignore_ascii_case(&b) } else { a == b };
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => {
            let (matched, end) = class::<IGNORE_CASE>(pattern, p + 1, byte);
            matched.then_some(end)
        }
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte).then_some(p + 2),
        literal => same(literal, byte).then_some(p + 1),
    }
}

/// Matches one byte with the class whose content begins at `p`; also returns where the class ends.
fn class<const IGNORE_CASE: bool>(pattern: &[u8], mut p: usize, byte: u8) -> (bool, usize) {
    let fold = |b: u8| if IGNORE_CASE { b.to_ascii_lowercase() } else { b };
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match pattern[p..] {
            [] => return (found != negated, p),
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                p += 2;
            }
            [b']', ..] => return (found != negated, p + 1),
            [first, b'-', last, ..] => {
                // The ends are put in order before their case is folded: `[Z-a]` is then empty.
                let (first, last) = (fold(first.min(last)), fold(first.max(last)));
                found |= (first..=last).contains(&fold(byte));
                p += 3;
            }
            [literal, ..] => {
                found |= fold(literal) == fold(byte);
                p += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for text in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn each_kind_of_pattern_matches_as_documented() {
        check("", &[""], &["a"]);
        check("abc", &["abc"], &["ab", "abcd", "abx", ""]);
        check("*", &["a", "abc"], &[]);
        check("a*", &["a", "ab", "abc"], &["", "ba"]);
        check("*c", &["c", "abc"], &["", "cd"]);
        check("a*b*c", &["abc", "axxbxxc", "abbc", "abcbc"], &["ac", "acb", "abcd"]);
        check("**a**", &["a", "xax"], &["", "x"]);
        check("h?llo", &["hello", "hxllo"], &["hllo", "heello"]);
        check("*?*", &["a", "abc"], &[""]);
        check("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]);
        check("h[^e]llo", &["hallo", "hbllo"], &["hello", "hllo"]);
        check("h[a-c]llo", &["hallo", "hbllo", "hcllo"], &["hdllo", "h-llo"]);
        check("[0-9a-f]", &["0", "9", "a", "f"], &["g", "-", ":"]);
        check("a\\*b", &["a*b"], &["ab", "axb", "a\\*b"]);
        check("\\[a]", &["[a]"], &["a"]);
        check("*\\?", &["?", "a?"], &["a"]);
    }

    /// Each of these was observed on Valkey 9.1.
    #[test]
    fn malformed_patterns_match_as_in_valkey() {
        check("*", &[], &[""]);
        check("**", &["a"], &[""]);
        check("\\", &["\\"], &["a", ""]);
        check("[", &[], &["[", "a", ""]);
        check("[a", &["a"], &["[", "["]);
        check("[]", &[], &["a", "]", ""]);
        check("[]a]", &[], &["a", "]", "a]"]);
        check("[^", &["a", "["], &[""]);
        check("[^]", &["a", "^"], &["", "aa"]);
        check("[^a", &["b", "^", "["], &["a"]);
        check("[a-", &["a", "-"], &["b"]);
        check("[-a]", &["a", "-"], &["b"]);
        check("[a-]", &["^", "a", "]", "_"], &["-", "b", "\\"]);
        check("[z-a]", &["a", "m", "z"], &["-", "A"]);
        check("[\\]]", &["]"], &["\\"]);
        check("[\\", &["\\"], &["a"]);
        check("[a\\", &["\\", "a"], &["b"]);
        check("[\\a-\\b]", &["-", "a", "b"], &["\\", "c"]);
    }

    #[test]
    fn case_is_ignored_on_request() {
        for (pattern, text, expected) in [
            ("PoRt", "port", true),
            ("\\PORT", "port", true),
            ("[P]ort", "port", true),
            ("[O-q]ort", "port", true),
            ("[A-Z]ort", "port", true),
            ("[A-z]ort", "port", true),
            ("[Z-a]ort", "port", false),
            ("[\\P]ort", "port", false),
            ("[\\p]ort", "port", true),
            ("[^P]ort", "port", false),
            ("po*T", "PORT", true),
        ] {
            let ignoring_case = matches_ignoring_case(pattern.as_bytes(), text.as_bytes());
            assert_eq!(ignoring_case, expected, "{pattern} {text}");
        }
        assert!(!matches(b"PORT", b"port"));
    }

    #[test]
    fn the_time_is_at_most_quadratic() {
        let text = vec![b'a'; 10_000];
        let pattern = [b"*a".repeat(50), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &text));
    }

    /// Observed on Valkey 9.1.
    #[test]
    fn more_than_a_thousand_stars_match_nothing() {
        let text = vec![b'a'; 3000];
        for (part, most, end) in [
            ("*a", 1000, ""),
            ("*a", 1000, "*"),
            ("a*", 1001, ""),
            ("a*", 1000, "a"),
            ("**a", 1000, ""),
            ("[a]*", 1000, "a"),
            ("*?", 1000, ""),
        ] {
            let pattern = |count| [part.repeat(count).as_bytes(), end.as_bytes()].concat();
            assert!(matches(&pattern(most), &text), "{part} {end}");
            assert!(!matches(&pattern(most + 1), &text), "{part} {end}");
        }
        assert!(matches(&[b"*".repeat(2000), b"a".to_vec()].concat(), &text));
    }

    #[test]
    fn a_literal_prefix_ends_at_the_first_special_byte() {
        for (pattern, prefix) in
            [("abc", "abc"), ("{a}*", "{a}"), ("a\\b", "a"), ("a?", "a"), ("[a]", ""), ("a]", "a]")]
        {
            assert_eq!(literal_prefix(pattern.as_bytes()), prefix.as_bytes());
        }
        assert_eq!((literal(b"abc"), literal(b"ab*")), (Some(&b"abc"[..]), None));
    }

    /// A model: a pattern's elements, read one by one and matched by trying everything.
    enum Element {
        Any,
        One(Vec<bool>),
    }

    fn read(mut pattern: &[u8]) -> Vec<Element> {
        let only = |bytes: &[u8]| (0..=255).map(|b| bytes.contains(&b)).collect::<Vec<_>>();
        let mut elements = Vec::new();
        while let [first, rest @ ..] = pattern {
            pattern = rest;
            elements.push(match (first, rest) {
                (b'*', _) => Element::Any,
                (b'?', _) => Element::One(vec![true; 256]),
                (b'\\', [escaped, rest @ ..]) => {
                    pattern = rest;
                    Element::One(only(&[*escaped]))
                }
                (b'[', _) => {
                    let negated = pattern.first() == Some(&b'^');
                    if negated {
                        pattern = &pattern[1..];
                    }
                    let mut set = vec![false; 256];
                    loop {
                        let (add, rest) = match pattern {
                            [] => break,
                            [b'\\', x, rest @ ..] => (*x..=*x, rest),
                            [b']', rest @ ..] => {
                                pattern = rest;
                                break;
                            }
                            [x, b'-', y, rest @ ..] => (*x.min(y)..=*x.max(y), rest),
                            [x, rest @ ..] => (*x..=*x, rest),
                        };
                        add.for_each(|b| set[usize::from(b)] = true);
                        pattern = rest;
                    }
                    Element::One(set.iter().map(|&member| member != negated).collect())
                }
                (literal, _) => Element::One(only(&[*literal])),
            });
        }
        elements
    }

    fn expected(pattern: &[u8], text: &[u8]) -> bool {
        if text.is_empty() { pattern.is_empty() } else { try_everything(&read(pattern), text) }
    }

    fn try_everything(elements: &[Element], text: &[u8]) -> bool {
        match (elements, text) {
            ([], text) => text.is_empty(),
            ([Element::Any, rest @ ..], text) => {
                (0..=text.len()).any(|skip| try_everything(rest, &text[skip..]))
            }
            ([Element::One(set), rest @ ..], [byte, text @ ..]) => {
                set[usize::from(*byte)] && try_everything(rest, text)
            }
            ([Element::One(_), ..], []) => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_exhaustive_search(
            pattern in r"[abc*?\[\]\\^-]{0,10}",
            text in r"[abc\]\\^-]{0,8}",
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), expected(pattern, text));
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern: Vec<u8>, text: Vec<u8>) {
            prop_assert_eq!(matches(&pattern, &text), expected(&pattern, &text));
            matches_ignoring_case(&pattern, &text);
        }
    }
}
