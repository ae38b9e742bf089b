//! Functions of the `table` library, and `unpack`, whose time or memory Lua's own do not bound.

use super::raw::{Raised, Stack, Text, Type};
use super::sandbox;

/// An integer argument; `default` if there is none.
fn integer(stack: Stack, argument: i32, default: i64) -> i64 {
    if stack.is_none_or_nil(argument) {
        default
    } else {
        stack.check_number(argument) as i64 as i32 as i64
    }
}

/// `unpack(table [, first [, last]])`
pub fn unpack(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    let first = integer(stack, 2, 1);
    let last = integer(stack, 3, stack.length(1) as i64);
    if first > last {
        return Ok(0);
    }
    let count = i32::try_from(last - first + 1).unwrap_or(i32::MAX);
    // A frame's slots are far fewer than this.
    if count > 1 << 20 || !stack.reserve(count) {
        return stack.error(b"too many results to unpack");
    }
    for position in first..=last {
        stack.raw_get_at(1, position as i32);
    }
    Ok(count)
}

/// `table.insert(table, [position,] value)`
pub fn insert(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    let end = stack.length(1) as i64 + 1;
    let position = match stack.top() {
        2 => end,
        3 => integer(stack, 2, 0),
        _ => return stack.error(b"wrong number of arguments to 'insert'"),
    };
    sandbox::check_writable(stack, 1)?;
    // Elements from the position on move up by one. There are none below the first.
    let mut at = end.max(position);
    stack.shared().charge(stack, (at - position.max(0)) as usize)?;
    while at > position && at >= 1 {
        stack.raw_get_at(1, (at - 1) as i32);
        stack.raw_set_at(1, at as i32);
        at -= 1;
    }
    stack.raw_set_at(1, position as i32);
    Ok(0)
}

/// `table.remove(table [, position])`
pub fn remove(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    let end = stack.length(1) as i64;
    let position = integer(stack, 2, end);
    if !(1..=end).contains(&position) {
        return Ok(0);
    }
    stack.shared().charge(stack, (end - position) as usize)?;
    stack.raw_get_at(1, position as i32);
    for at in position..end {
        stack.raw_get_at(1, at as i32 + 1);
        stack.raw_set_at(1, at as i32);
    }
    stack.push_nil();
    stack.raw_set_at(1, end as i32);
    Ok(1)
}

/// `table.maxn(table)`
pub fn maxn(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    stack.set_top(1);
    let mut most = 0.0f64;
    stack.push_nil();
    while stack.next(1) {
        stack.pop(1);
        if stack.kind(-1) == Type::Number {
            most = most.max(stack.number(-1));
        }
        stack.shared().interrupt_often(stack)?;
    }
    stack.push_number(most);
    Ok(1)
}

/// `table.concat(table [, separator [, first [, last]]])`
pub fn concat(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    let separator = if stack.is_none_or_nil(2) { b"" } else { stack.check_bytes(2) };
    let first = integer(stack, 3, 1);
    let last = integer(stack, 4, stack.length(1) as i64);
    let mut made = Text::new(stack);
    for position in first..=last {
        stack.shared().interrupt_often(stack)?;
        stack.raw_get_at(1, position as i32);
        if !stack.is_string(-1) {
            let kind = stack.type_name(-1);
            stack.push_position(1);
            stack.push_bytes(b"invalid value (");
            stack.push_bytes(kind.as_bytes());
            stack.push_bytes(b") at index ");
            stack.push_number(position as f64);
            stack.push_bytes(b" in table for 'concat'");
            stack.concat(6);
            return Err(Raised);
        }
        made.extend(stack.text(-1));
        if position < last {
            made.extend(separator);
        }
        stack.pop(1);
    }
    made.push_string();
    Ok(1)
}

/// `table.foreach(table, function)`; its upvalue is Lua's own.
pub fn foreach(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    stack.check_function(2);
    sandbox::look_inside(stack, 1);
    sandbox::forward(stack)
}

/// `table.sort(table [, less])`: quicksort by the median of three, as Lua has it, so that the order of equal elements is the same.
pub fn sort(stack: Stack) -> Result<i32, Raised> {
    stack.check_table(1);
    let has_less = !stack.is_none_or_nil(2);
    if has_less {
        stack.check_function(2);
    }
    stack.set_top(2);
    let sort = Sort { stack, has_less };
    sort.range(1, stack.length(1) as i32)?;
    Ok(0)
}

struct Sort {
    stack: Stack,
    has_less: bool,
}

impl Sort {
    /// Sorts the elements from `low` to `high`.
    fn range(&self, mut low: i32, mut high: i32) -> Result<(), Raised> {
        while low < high {
            self.order(low, high)?;
            if high - low == 1 {
                return Ok(());
            }
            let middle = low + (high - low) / 2;
            if !self.order(low, middle)? {
                self.order(middle, high)?;
            }
            if high - low == 2 {
                return Ok(());
            }
            let pivot = self.partition(low, middle, high)?;
            // The shorter part first: the depth is the logarithm of the length.
            if pivot - low < high - pivot {
                self.range(low, pivot - 1)?;
                low = pivot + 1;
            } else {
                self.range(pivot + 1, high)?;
                high = pivot - 1;
            }
        }
        Ok(())
    }

    /// Swaps two elements if the second one is less; true if it was.
    fn order(&self, first: i32, second: i32) -> Result<bool, Raised> {
        self.stack.raw_get_at(1, second);
        self.stack.raw_get_at(1, first);
        let is_less = self.less(-2, -1)?;
        if is_less {
            self.put(second, first);
        } else {
            self.stack.pop(2);
        }
        Ok(is_less)
    }

    /// Pops two values into these places, the top one into the first.
    fn put(&self, top: i32, below: i32) {
        self.stack.raw_set_at(1, top);
        self.stack.raw_set_at(1, below);
    }

    /// Moves what is less than the element in the middle before it: answers where that one is then. Ends and middle are in order.
    fn partition(&self, low: i32, middle: i32, high: i32) -> Result<i32, Raised> {
        let stack = self.stack;
        stack.raw_get_at(1, middle);
        stack.push_value(-1);
        stack.raw_get_at(1, high - 1);
        self.put(middle, high - 1);
        let (mut from, mut to) = (low, high - 1);
        // The pivot stays on the stack, below the two elements that are swapped.
        loop {
            loop {
                from += 1;
                stack.raw_get_at(1, from);
                if !self.less(-1, -2)? {
                    break;
                }
                if from > high {
                    return stack.error(b"invalid order function for sorting");
                }
                stack.pop(1);
            }
            loop {
                to -= 1;
                stack.raw_get_at(1, to);
                if !self.less(-3, -1)? {
                    break;
                }
                if to < low {
                    return stack.error(b"invalid order function for sorting");
                }
                stack.pop(1);
            }
            if to < from {
                stack.pop(3);
                break;
            }
            self.put(from, to);
        }
        stack.raw_get_at(1, high - 1);
        stack.raw_get_at(1, from);
        self.put(high - 1, from);
        Ok(from)
    }

    fn less(&self, a: i32, b: i32) -> Result<bool, Raised> {
        let stack = self.stack;
        stack.shared().interrupt_often(stack)?;
        if !self.has_less {
            return Ok(stack.less_than(a, b));
        }
        stack.push_value(2);
        stack.push_value(a - 1);
        stack.push_value(b - 2);
        stack.call(2, 1);
        let is_less = stack.boolean(-1);
        stack.pop(1);
        Ok(is_less)
    }
}
