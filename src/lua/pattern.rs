//! Lua's patterns, by a matcher that asks the host now and then whether it may go on.
//!
//! It goes through text and pattern in a loop, and keeps what it can still try otherwise as a pile of choices: no
//! pattern makes it call itself, and its memory is Lua's. A pattern that is malformed is an error only where the matcher comes to that
//! place, as in Lua.

use super::raw::{Pile, Raised, Stack};

/// Captures of a pattern: Lua has no more.
const CAPTURES: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// It has begun but not ended.
    Open,
    /// It is the position itself.
    Position,
    Closed(usize),
}

#[derive(Clone, Copy)]
struct Capture {
    start: usize,
    extent: Extent,
}

/// What is tried next where the rest of the pattern does not match.
#[derive(Clone, Copy)]
enum Choice {
    /// One repetition less, of those from `start` on.
    Fewer { start: usize, count: usize, least: usize, rest: usize },
    /// One repetition more of the class at `class`.
    More { at: usize, class: usize, end: usize },
    /// The rest without the optional character.
    Without { at: usize, rest: usize },
    /// The last capture had not begun.
    Begin,
    /// This capture had not ended.
    End { capture: usize },
}

pub struct Matcher<'a> {
    stack: Stack,
    text: &'a [u8],
    /// Ends before its first zero byte.
    pattern: &'a [u8],
    captures: [Capture; CAPTURES],
    level: usize,
    choices: Pile<Choice, 16>,
    steps: u32,
}

/// Whether the text is a pattern, not a plain one.
pub fn has_specials(pattern: &[u8]) -> bool {
    pattern.iter().take_while(|&&byte| byte != 0).any(|byte| b"^$*+?.([%-".contains(byte))
}

impl<'a> Matcher<'a> {
    /// A matcher, which takes a slot of the stack.
    pub fn new(stack: Stack, text: &'a [u8], pattern: &'a [u8]) -> Self {
        let end = memchr::memchr(0, pattern).unwrap_or(pattern.len());
        let none = Capture { start: 0, extent: Extent::Open };
        Matcher {
            stack,
            text,
            pattern: &pattern[..end],
            captures: [none; CAPTURES],
            level: 0,
            choices: Pile::new(stack),
            steps: 0,
        }
    }

    /// Removes a leading `^`; true if there was one.
    pub fn take_anchor(&mut self) -> bool {
        let rest = self.pattern.strip_prefix(b"^");
        self.pattern = rest.unwrap_or(self.pattern);
        rest.is_some()
    }

    /// The end of the match that begins at `start`.
    pub fn match_at(&mut self, start: usize) -> Result<Option<usize>, Raised> {
        self.level = 0;
        self.choices.clear();
        let (mut at, mut place) = (start, 0);
        loop {
            self.step()?;
            if place == self.pattern.len() {
                return Ok(Some(at));
            }
            let next = match self.advance(at, place)? {
                Some(next) => Some(next),
                None => self.retry(),
            };
            match next {
                Some(next) => (at, place) = next,
                None => return Ok(None),
            }
        }
    }

    fn step(&mut self) -> Result<(), Raised> {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(1 << 14) {
            self.stack.shared().interrupt_point(self.stack)
        } else {
            Ok(())
        }
    }

    /// Counts the characters that one repetition has gone over.
    fn charge(&mut self, characters: usize) -> Result<(), Raised> {
        let before = self.steps >> 14;
        self.steps = self.steps.wrapping_add((characters / 4).min(1 << 20) as u32);
        if self.steps >> 14 == before {
            Ok(())
        } else {
            self.stack.shared().interrupt_point(self.stack)
        }
    }

    /// Matches the item at `place`: where text and pattern go on; none if it does not match.
    fn advance(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Raised> {
        let pattern = self.pattern;
        match (pattern[place], pattern.get(place + 1)) {
            (b'(', Some(b')')) => self.begin(at, place + 2, Extent::Position),
            (b'(', _) => self.begin(at, place + 1, Extent::Open),
            (b')', _) => self.end(at, place + 1),
            (b'$', None) => Ok((at == self.text.len()).then_some((at, place + 1))),
            (b'%', Some(b'b')) => self.balanced(at, place + 2),
            (b'%', Some(b'f')) => self.frontier(at, place + 2),
            (b'%', Some(digit)) if digit.is_ascii_digit() => self.again(at, *digit, place + 2),
            _ => self.single(at, place),
        }
    }

    /// Takes the last choice; none if there are no more.
    fn retry(&mut self) -> Option<(usize, usize)> {
        while let Some(choice) = self.choices.pop() {
            match choice {
                Choice::Fewer { start, count, least, rest } if count > least => {
                    let count = count - 1;
                    if count > least {
                        self.choices.push(Choice::Fewer { start, count, least, rest });
                    }
                    return Some((start + count, rest));
                }
                Choice::Fewer { .. } => {}
                Choice::More { at, class, end } => {
                    if at < self.text.len() && self.is_in(self.text[at], class, end) {
                        self.choices.push(Choice::More { at: at + 1, class, end });
                        return Some((at + 1, end + 1));
                    }
                }
                Choice::Without { at, rest } => return Some((at, rest)),
                Choice::Begin => self.level -= 1,
                Choice::End { capture } => self.captures[capture].extent = Extent::Open,
            }
        }
        None
    }

    fn begin(
        &mut self,
        at: usize,
        rest: usize,
        extent: Extent,
    ) -> Result<Option<(usize, usize)>, Raised> {
        if self.level == CAPTURES {
            return self.stack.error(b"too many captures");
        }
        self.captures[self.level] = Capture { start: at, extent };
        self.level += 1;
        self.choices.push(Choice::Begin);
        Ok(Some((at, rest)))
    }

    fn end(&mut self, at: usize, rest: usize) -> Result<Option<(usize, usize)>, Raised> {
        let open =
            self.captures[..self.level].iter().rposition(|capture| capture.extent == Extent::Open);
        let Some(capture) = open else { return self.stack.error(b"invalid pattern capture") };
        self.captures[capture].extent = Extent::Closed(at - self.captures[capture].start);
        self.choices.push(Choice::End { capture });
        Ok(Some((at, rest)))
    }

    /// `%bxy`: from an x to the y that closes it.
    fn balanced(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Raised> {
        let Some(&[open, close]) = self.pattern.get(place..place + 2) else {
            return self.stack.error(b"unbalanced pattern");
        };
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1usize;
        for (i, &byte) in self.text.iter().enumerate().skip(at + 1) {
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    self.charge(i - at)?;
                    return Ok(Some((i + 1, place + 2)));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        self.charge(self.text.len() - at)?;
        Ok(None)
    }

    /// `%f[set]`: between a character outside of the set and one inside. The text's ends count as zero bytes.
    fn frontier(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Raised> {
        if self.pattern.get(place) != Some(&b'[') {
            return self.stack.error(b"missing '[' after '%f' in pattern");
        }
        let end = self.class_end(place)?;
        let before = at.checked_sub(1).map_or(0, |before| self.text[before]);
        let after = self.text.get(at).copied().unwrap_or(0);
        let is_frontier = !self.is_in(before, place, end) && self.is_in(after, place, end);
        Ok(is_frontier.then_some((at, end)))
    }

    /// `%1`: the text of a capture once more.
    fn again(
        &mut self,
        at: usize,
        digit: u8,
        rest: usize,
    ) -> Result<Option<(usize, usize)>, Raised> {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let capture = self.captures[..self.level].get(index).copied();
        let len = match capture {
            None | Some(Capture { extent: Extent::Open, .. }) => {
                return self.stack.error(b"invalid capture index");
            }
            Some(Capture { extent: Extent::Position, .. }) => return Ok(None),
            Some(Capture { extent: Extent::Closed(len), start }) => &self.text[start..start + len],
        };
        self.charge(len.len())?;
        Ok(self.text[at..].starts_with(len).then_some((at + len.len(), rest)))
    }

    /// A class of characters, with what tells how often.
    fn single(&mut self, at: usize, place: usize) -> Result<Option<(usize, usize)>, Raised> {
        let end = self.class_end(place)?;
        let is_match = at < self.text.len() && self.is_in(self.text[at], place, end);
        match self.pattern.get(end) {
            Some(b'?') => {
                if is_match {
                    self.choices.push(Choice::Without { at, rest: end + 1 });
                }
                Ok(Some((at + usize::from(is_match), end + 1)))
            }
            Some(b'*') => self.most(at, place, end, 0).map(Some),
            Some(b'+') if is_match => self.most(at, place, end, 1).map(Some),
            Some(b'+') => Ok(None),
            Some(b'-') => {
                self.choices.push(Choice::More { at, class: place, end });
                Ok(Some((at, end + 1)))
            }
            _ => Ok(is_match.then_some((at + 1, end))),
        }
    }

    /// As many repetitions as there are, but at least so many.
    fn most(
        &mut self,
        at: usize,
        place: usize,
        end: usize,
        least: usize,
    ) -> Result<(usize, usize), Raised> {
        let text = &self.text[at..];
        let count =
            text.iter().position(|&byte| !self.is_in(byte, place, end)).unwrap_or(text.len());
        self.charge(count)?;
        if count > least {
            self.choices.push(Choice::Fewer { start: at, count, least, rest: end + 1 });
        }
        Ok((at + count, end + 1))
    }

    /// Where the class that begins at `place` ends.
    fn class_end(&self, place: usize) -> Result<usize, Raised> {
        match self.pattern[place] {
            b'%' if place + 1 == self.pattern.len() => {
                self.stack.error(b"malformed pattern (ends with '%')")
            }
            b'%' => Ok(place + 2),
            b'[' => {
                // A bracket that comes first is a member.
                let mut at = place + 1 + usize::from(self.pattern.get(place + 1) == Some(&b'^'));
                loop {
                    match self.pattern.get(at) {
                        None => return self.stack.error(b"malformed pattern (missing ']')"),
                        Some(b'%') if at + 1 < self.pattern.len() => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.pattern.get(at) == Some(&b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(place + 1),
        }
    }

    /// Whether the class from `place` to `end` has this character.
    fn is_in(&self, byte: u8, place: usize, end: usize) -> bool {
        match self.pattern[place] {
            b'.' => true,
            b'%' => is_of_kind(byte, self.pattern[place + 1]),
            b'[' => {
                let set = &self.pattern[place + 1..end - 1];
                match set.strip_prefix(b"^") {
                    Some(set) => !is_in_set(byte, set),
                    None => is_in_set(byte, set),
                }
            }
            literal => literal == byte,
        }
    }

    /// Pushes a capture, or the whole match in place of the first where there are none.
    pub fn push_capture(&self, index: usize, start: usize, end: usize) -> Result<(), Raised> {
        let stack = self.stack;
        let Some(capture) = self.captures[..self.level].get(index) else {
            if index > 0 {
                return stack.error(b"invalid capture index");
            }
            stack.push_bytes(&self.text[start..end]);
            return Ok(());
        };
        match capture.extent {
            Extent::Open => return stack.error(b"unfinished capture"),
            Extent::Position => stack.push_number((capture.start + 1) as f64),
            Extent::Closed(len) => stack.push_bytes(&self.text[capture.start..capture.start + len]),
        }
        Ok(())
    }

    /// Pushes all captures, or the whole match where there are none and `whole` is true, and answers how many values.
    pub fn push_captures(&self, start: usize, end: usize, whole: bool) -> Result<i32, Raised> {
        let count = if self.level == 0 && whole { 1 } else { self.level };
        if !self.stack.reserve(count as i32 + 4) {
            return self.stack.error(b"stack overflow (too many captures)");
        }
        (0..count).try_for_each(|index| self.push_capture(index, start, end))?;
        Ok(count as i32)
    }
}

/// Whether the members of a set have this character: single ones, ranges, and kinds.
fn is_in_set(byte: u8, mut set: &[u8]) -> bool {
    loop {
        set = match *set {
            [] => return false,
            [b'%', kind, ref rest @ ..] => {
                if is_of_kind(byte, kind) {
                    return true;
                }
                rest
            }
            [low, b'-', high, ref rest @ ..] => {
                if (low..=high).contains(&byte) {
                    return true;
                }
                rest
            }
            [member, ref rest @ ..] => {
                if member == byte {
                    return true;
                }
                rest
            }
        }
    }
}

/// Whether a character is of the kind that a letter after `%` names; a capital names all others.
fn is_of_kind(byte: u8, kind: u8) -> bool {
    let is = match kind.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return kind == byte,
    };
    is != kind.is_ascii_uppercase()
}
