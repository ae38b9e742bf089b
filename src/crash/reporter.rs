//! The thread that does what a signal's handler may not: it finds names and reads the server's state.

use std::fmt::Write as _;
use std::io::{PipeWriter, Read};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use super::stacks::{self, Stack};
use super::{signals, write};

/// Where the sections after the stacks come from: each with its heading.
pub type Sources = Vec<(&'static str, Box<dyn Fn() -> String + Send>)>;

/// How long each part of a report may take, in steps.
const PATIENCE: usize = 5000;

/// How long other threads are waited for to tell their calls, in steps.
const THREADS_PATIENCE: usize = 500;

const STEP: Duration = Duration::from_millis(1);

/// The pipe by which the thread is woken.
static DOORBELL: OnceLock<PipeWriter> = OnceLock::new();

/// The thread that has failed, or that asks for the calls of all.
static ASKING: AtomicI32 = AtomicI32::new(0);

/// Parts that the report of a failure has, and those that are written.
static PARTS: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicUsize = AtomicUsize::new(0);

/// Somebody writes the calls of the thread that has failed: this thread, or that one itself.
static CLAIMED: AtomicBool = AtomicBool::new(false);

/// Something has failed: the whole report is wanted.
const FAILURE: u8 = b'f';

/// Only the calls of all threads are wanted.
const STACKS: u8 = b's';

/// Starts the thread, which sleeps until it is asked for something.
pub fn start(sources: Sources) -> std::io::Result<()> {
    let (mut reader, writer) = std::io::pipe()?;
    // The server is started once in a process.
    DOORBELL.get_or_init(|| writer);
    PARTS.store(1 + sources.len(), Ordering::Release);
    std::thread::Builder::new().name("crash_report".into()).spawn(move || {
        let mut wanted = [0];
        while reader.read_exact(&mut wanted).is_ok() {
            let stacks = stacks_of_all();
            if wanted[0] == STACKS {
                write(format_args!("{stacks}"));
                continue;
            }
            if !CLAIMED.swap(true, Ordering::AcqRel) {
                write(format_args!("{stacks}"));
            }
            DONE.fetch_add(1, Ordering::AcqRel);
            for (heading, source) in &sources {
                write(format_args!("\n------ {heading} ------\n{}", source()));
                DONE.fetch_add(1, Ordering::AcqRel);
            }
        }
    })?;
    Ok(())
}

fn ring(wanted: u8) -> bool {
    ASKING.store(stacks::thread(), Ordering::Release);
    DOORBELL.get().is_some_and(|bell| rustix::io::write(bell, &[wanted]) == Ok(1))
}

/// Has a failure of the calling thread, whose calls are `stack`, reported, and waits until that is done.
/// Works in a signal's handler.
pub fn report(stack: Option<&'static Stack>) {
    let (mut done, mut waited) = (0, 0);
    let rang = ring(FAILURE);
    while rang && waited < PATIENCE {
        let now = DONE.load(Ordering::Acquire);
        if now == PARTS.load(Ordering::Acquire) {
            return;
        }
        waited = if now > done { 0 } else { waited + 1 };
        done = now;
        std::thread::sleep(STEP);
    }
    if !CLAIMED.swap(true, Ordering::AcqRel) {
        write_addresses(stack);
    }
    write(format_args!(
        "\n(The rest of the report needs what the thread holds that has failed.)\n"
    ));
}

/// Has the calls of all threads written to the log. Works in a signal's handler.
pub fn report_stacks() {
    // Without the thread there is nobody to do it.
    let _ = ring(STACKS);
}

/// The addresses alone.
fn write_addresses(stack: Option<&'static Stack>) {
    write(format_args!("\n------ STACK TRACE ------\n"));
    for address in stack.into_iter().flat_map(Stack::frames) {
        write(format_args!("[0x{address:x}]\n"));
    }
    write(format_args!("\n------ STACK TRACE DONE ------\n"));
}

/// The calls of all threads, those of the asking one at the end.
fn stacks_of_all() -> String {
    let (asking, own) = (ASKING.load(Ordering::Acquire), stacks::thread());
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    let asked: Vec<&Stack> = threads
        .filter(|thread| ![asking, own].contains(thread))
        .filter_map(|thread| stacks::place(thread).inspect(|_| signals::ask_for_calls(thread)))
        .collect();
    let mut waited = 0;
    while waited < THREADS_PATIENCE && !asked.iter().all(|stack| stack.is_complete()) {
        std::thread::sleep(STEP);
        waited += 1;
    }
    let asking = stacks::of(asking);
    let expected = asked.len() + usize::from(asking.is_some());
    let told: Vec<&Stack> =
        asked.into_iter().chain(asking).filter(|stack| stack.is_complete()).collect();
    let mut text = String::from("\n------ STACK TRACE ------\n");
    for stack in &told {
        let _ = writeln!(text, "\n{} {}", stack.thread(), name(stack.thread()));
        stack.frames().for_each(|address| describe(address, &mut text));
    }
    let _ = writeln!(text, "\n{}/{expected} expected stacktraces.", told.len());
    text.push_str("\n------ STACK TRACE DONE ------\n");
    stacks::clear();
    text
}

/// A thread's name.
fn name(thread: i32) -> String {
    let path = Path::new("/proc/self/task").join(thread.to_string()).join("comm");
    std::fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

/// Adds the line of one call: its function, where that is in the sources, and its address.
fn describe(address: usize, text: &mut String) {
    let mut known = false;
    backtrace::resolve(address as *mut _, |symbol| {
        known = true;
        match symbol.name() {
            Some(name) => {
                let _ = write!(text, "{name:#}");
            }
            None => text.push('?'),
        }
        if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
            let _ = write!(text, " at {}:{line}", file.display());
        }
        let _ = writeln!(text, " [0x{address:x}]");
    });
    if !known {
        let _ = writeln!(text, "[0x{address:x}]");
    }
}
