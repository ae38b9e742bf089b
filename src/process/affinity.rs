//! `server-cpulist`, `bio-cpulist`: the processors that a thread may run on.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::log;

/// Has the calling thread run on these processors alone: `0,2-5,8-14:2`. An empty list leaves it as it is;
/// a wrong one, too, and that is logged.
pub fn pin(list: &str) {
    if list.is_empty() {
        return;
    }
    let this = Pid::from_raw(0);
    let pinned = set(list).is_some_and(|processors| sched_setaffinity(this, &processors).is_ok());
    if !pinned {
        log::warning(format_args!("A thread can't be limited to the processors {list}"));
    }
}

/// The processors of a list; `None` if it is none.
fn set(list: &str) -> Option<CpuSet> {
    let mut processors = CpuSet::new();
    for part in list.split(',') {
        let (range, step) = part.split_once(':').unwrap_or((part, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let (first, last) = (number(first)?, number(last)?);
        let (first, last) = (first.min(last), first.max(last));
        for processor in (first..=last.min(CpuSet::count())).step_by(number(step)?.max(1)) {
            processors.set(processor).ok()?;
        }
    }
    Some(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_numbers_ranges_and_steps() {
        let named = |list: &str| -> Option<Vec<usize>> {
            let processors = set(list)?;
            Some((0..20).filter(|index| processors.is_set(*index) == Ok(true)).collect())
        };
        assert_eq!(named("3"), Some(vec![3]));
        assert_eq!(named("0,2-4"), Some(vec![0, 2, 3, 4]));
        assert_eq!(named("4-2"), Some(vec![2, 3, 4]));
        assert_eq!(named("1-9:3,19"), Some(vec![1, 4, 7, 19]));
        for wrong in ["x", "1-", "1,,2", "1-2:x", "-1"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }
}
