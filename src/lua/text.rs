//! Functions of the `string` library whose time Lua's own do not bound: those that match patterns.

use super::pattern::{Matcher, has_specials};
use super::raw::{Raised, Stack, Text, Type, entry, upvalue};

/// The offset that an argument names: from the end, if it is negative.
fn offset(stack: Stack, argument: i32, len: usize) -> usize {
    if stack.is_none_or_nil(argument) {
        return 0;
    }
    let position = stack.check_number(argument) as i64;
    let from_start = if position < 0 { position.saturating_add(len as i64 + 1) } else { position };
    usize::try_from(from_start.saturating_sub(1)).unwrap_or(0).min(len)
}

/// `string.find(text, pattern [, init [, plain]])`
pub fn find(stack: Stack) -> Result<i32, Raised> {
    search(stack, true)
}

/// `string.match(text, pattern [, init])`
pub fn match_pattern(stack: Stack) -> Result<i32, Raised> {
    search(stack, false)
}

fn search(stack: Stack, is_find: bool) -> Result<i32, Raised> {
    let (text, pattern) = (stack.check_bytes(1), stack.check_bytes(2));
    let start = offset(stack, 3, text.len());
    if is_find && (stack.boolean(4) || !has_specials(pattern)) {
        return Ok(push_range(
            stack,
            memchr::memmem::find(&text[start..], pattern),
            start,
            pattern.len(),
        ));
    }
    let mut matcher = Matcher::new(stack, text, pattern);
    let is_anchored = matcher.take_anchor();
    for start in start..=text.len() {
        if let Some(end) = matcher.match_at(start)? {
            if !is_find {
                return matcher.push_captures(start, end, true);
            }
            stack.push_number((start + 1) as f64);
            stack.push_number(end as f64);
            return Ok(matcher.push_captures(start, end, false)? + 2);
        }
        if is_anchored {
            break;
        }
    }
    stack.push_nil();
    Ok(1)
}

fn push_range(stack: Stack, found: Option<usize>, start: usize, len: usize) -> i32 {
    let Some(at) = found else {
        stack.push_nil();
        return 1;
    };
    stack.push_number((start + at + 1) as f64);
    stack.push_number((start + at + len) as f64);
    2
}

/// `string.gmatch(text, pattern)`: a function that answers the next match each time.
pub fn gmatch(stack: Stack) -> Result<i32, Raised> {
    stack.check_bytes(1);
    stack.check_bytes(2);
    stack.set_top(2);
    stack.push_number(0.0);
    stack.push_native(entry!(next_match), 3);
    Ok(1)
}

/// The upvalues are the text, the pattern, and where the search goes on.
fn next_match(stack: Stack) -> Result<i32, Raised> {
    let text = stack.bytes(upvalue(1)).unwrap_or_default();
    let pattern = stack.bytes(upvalue(2)).unwrap_or_default();
    let from = stack.number(upvalue(3)) as usize;
    let mut matcher = Matcher::new(stack, text, pattern);
    for start in from..=text.len() {
        if let Some(end) = matcher.match_at(start)? {
            // After an empty match, the next one begins further on.
            stack.push_number((end + usize::from(end == start)) as f64);
            stack.replace(upvalue(3));
            return matcher.push_captures(start, end, true);
        }
    }
    Ok(0)
}

/// `string.gsub(text, pattern, replacement [, most])`
pub fn gsub(stack: Stack) -> Result<i32, Raised> {
    let (text, pattern) = (stack.check_bytes(1), stack.check_bytes(2));
    let kind = stack.kind(3);
    if !matches!(kind, Type::Number | Type::String | Type::Table | Type::Function) {
        stack.argument_error(3, c"string/function/table expected");
    }
    let most = if stack.is_none_or_nil(4) { i64::MAX } else { stack.check_number(4) as i64 };
    if kind == Type::Number {
        stack.text(3);
    }
    stack.set_top(3);
    let mut made = Text::new(stack);
    let mut matcher = Matcher::new(stack, text, pattern);
    let is_anchored = matcher.take_anchor();
    let (mut at, mut count) = (0, 0);
    while count < most {
        let end = matcher.match_at(at)?;
        if let Some(end) = end {
            count += 1;
            replace(stack, &matcher, &mut made, (at, end))?;
        }
        match end {
            Some(end) if end > at => at = end,
            _ if at < text.len() => {
                made.push(text[at]);
                at += 1;
            }
            _ => break,
        }
        if is_anchored {
            break;
        }
    }
    made.extend(&text[at..]);
    made.push_string();
    stack.push_number(count as f64);
    Ok(2)
}

/// Appends what takes the place of a match: argument 3 says what.
fn replace(
    stack: Stack,
    matcher: &Matcher<'_>,
    made: &mut Text,
    (start, end): (usize, usize),
) -> Result<(), Raised> {
    let original = &stack.bytes(1).unwrap_or_default()[start..end];
    match stack.kind(3) {
        Type::Function => {
            stack.push_value(3);
            let count = matcher.push_captures(start, end, true)?;
            stack.call(count, 1);
        }
        Type::Table => {
            matcher.push_capture(0, start, end)?;
            stack.get(3);
        }
        _ => return expand(stack, matcher, made, (start, end)),
    }
    if !stack.boolean(-1) {
        made.extend(original);
    } else if stack.is_string(-1) {
        made.extend(stack.text(-1));
    } else {
        let kind = stack.type_name(-1);
        stack.push_position(1);
        stack.push_bytes(b"invalid replacement value (a ");
        stack.push_bytes(kind.as_bytes());
        stack.push_bytes(b")");
        stack.concat(4);
        return Err(Raised);
    }
    stack.pop(1);
    Ok(())
}

/// Appends the replacement, with the captures in place of `%1` and so on.
fn expand(
    stack: Stack,
    matcher: &Matcher<'_>,
    made: &mut Text,
    (start, end): (usize, usize),
) -> Result<(), Raised> {
    let mut rest = stack.bytes(3).unwrap_or_default();
    while let Some(percent) = memchr::memchr(b'%', rest) {
        made.extend(&rest[..percent]);
        // After a percent sign at the end, Lua reads its string's final zero byte.
        let escaped = rest.get(percent + 1).copied().unwrap_or(0);
        rest = rest.get(percent + 2..).unwrap_or_default();
        match escaped {
            b'0' => made.extend(&stack.bytes(1).unwrap_or_default()[start..end]),
            b'1'..=b'9' => {
                matcher.push_capture(usize::from(escaped - b'1'), start, end)?;
                made.extend(stack.text(-1));
                stack.pop(1);
            }
            _ => made.push(escaped),
        }
    }
    made.extend(rest);
    Ok(())
}
