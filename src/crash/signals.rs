//! The handlers of deadly signals, and of SIGALRM, which has the calls of all threads written to the log.
//!
//! `unsafe` is the installation of handlers and of the stacks that they run on, and reading what the system
//! hands to one.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, c_void, siginfo_t, ucontext_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

use super::raw::line;
use super::{ENABLED, first, raw, reporter, stacks, write};

const DEADLY: [Signal; 5] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT];

/// Asks a thread for its calls.
const ASK: Signal = Signal::SIGUSR2;

/// Bytes of the stack that a deadly signal's handler runs on: one that overflowed has no room.
const STACK: usize = 128 << 10;

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// Installs all handlers, and gives the calling thread a stack for them.
pub fn install() -> io::Result<()> {
    give_stack();
    DEADLY.into_iter().try_for_each(|signal| handle(signal, on_failure, SaFlags::SA_ONSTACK))?;
    handle(Signal::SIGALRM, on_alarm, SaFlags::SA_RESTART)?;
    handle(ASK, on_ask, SaFlags::SA_RESTART)
}

fn handle(signal: Signal, handler: Handler, flags: SaFlags) -> io::Result<()> {
    let handler = SigHandler::SigAction(handler);
    let action = SigAction::new(handler, flags | SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handlers of this module use no memory, no locks and nothing that they could interrupt the
    // change of.
    unsafe { sigaction(signal, &action)? };
    Ok(())
}

/// Gives the calling thread a stack that its handlers run on, for as long as the thread lives.
pub fn give_stack() {
    let memory = Box::leak(vec![0u8; STACK].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK };
    // SAFETY: the memory is never freed, and nothing else uses it.
    unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
}

/// Ends the process by a signal, as if there were no handler for it.
fn end_by(signal: Signal) -> ! {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of this process.
    let _ = unsafe { sigaction(signal, &default) };
    let mut one = SigSet::empty();
    one.add(signal);
    let _ = one.thread_unblock();
    let _ = raise(signal);
    // Only a signal that the system does not deliver leads here.
    std::process::abort()
}

pub fn abort() -> ! {
    end_by(Signal::SIGABRT)
}

pub fn raise_segfault() -> ! {
    let _ = raise(Signal::SIGSEGV);
    end_by(Signal::SIGSEGV)
}

/// Has a thread tell its calls, in the place that is there for them.
pub fn ask_for_calls(thread: i32) {
    let process = std::process::id() as libc::pid_t;
    // SAFETY: a signal is sent within this process, which has a handler for it. A thread that has ended in the
    // meantime is an error, which leaves its place empty.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, ASK as c_int) };
}

extern "C" fn on_ask(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    if let Some(stack) = stacks::wanted() {
        stack.collect(Interrupted::new(context).map(|at| at.instruction));
    }
}

extern "C" fn on_alarm(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    write(format_args!("\nReceived SIGALRM\n"));
    stacks::own(Interrupted::new(context).map(|at| at.instruction));
    reporter::report_stacks();
}

extern "C" fn on_failure(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Ok(signal) = Signal::try_from(signal) else { return };
    if !ENABLED.load(Ordering::Relaxed) {
        end_by(signal);
    }
    if first() {
        FAILED_THREAD.store(stacks::thread(), Ordering::Release);
        raw::heading();
        // SAFETY: the system hands the handler what it knows of the signal.
        if let Some(info) = unsafe { info.as_ref() } {
            describe(signal, info);
        }
        let interrupted = Interrupted::new(context);
        if let Some(interrupted) = &interrupted {
            interrupted.write();
        }
        reporter::report(stacks::own(interrupted.map(|at| at.instruction)));
        raw::ending();
    } else if FAILED_THREAD.load(Ordering::Acquire) != stacks::thread() {
        // The report of the first failure ends the process.
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    }
    end_by(signal)
}

/// The thread that reports a signal.
static FAILED_THREAD: AtomicI32 = AtomicI32::new(0);

fn describe(signal: Signal, info: &siginfo_t) {
    /// The least code of a signal that the processor or the kernel has raised.
    const BY_KERNEL: c_int = 1;
    let (number, code) = (signal as c_int, info.si_code);
    let version = env!("CARGO_PKG_VERSION");
    line(format_args!("verbena {version} crashed by signal: {number}, si_code: {code}"));
    if code >= BY_KERNEL {
        // SAFETY: signals of the kernel of these kinds have an address.
        line(format_args!("Accessing address: {:?}", unsafe { info.si_addr() }));
    } else {
        // SAFETY: signals of processes have a sender.
        let (process, user) = unsafe { (info.si_pid(), info.si_uid()) };
        line(format_args!("Killed by PID: {process}, UID: {user}"));
    }
}

/// The state of the thread that a signal has interrupted.
struct Interrupted<'a> {
    instruction: usize,
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused, reason = "only these registers have names here")
    )]
    context: &'a ucontext_t,
}

impl Interrupted<'_> {
    fn new<'a>(context: *mut c_void) -> Option<Interrupted<'a>> {
        // SAFETY: the system hands a handler the context of its thread, which lives as long as the handler runs.
        let context = unsafe { context.cast::<ucontext_t>().as_ref()? };
        let instruction = instruction(context)?;
        Some(Interrupted { instruction, context })
    }

    fn write(&self) {
        line(format_args!("Crashed running the instruction at: 0x{:x}", self.instruction));
        write(format_args!("\n------ REGISTERS ------\n"));
        #[cfg(target_arch = "x86_64")]
        for (index, name) in REGISTERS.iter().enumerate() {
            let end = if index % 2 == 0 { " " } else { "\n" };
            write(format_args!("{name}:{:016x}{end}", self.context.uc_mcontext.gregs[index]));
        }
        write(format_args!("\n"));
    }
}

/// The registers in the order of the context.
#[cfg(target_arch = "x86_64")]
const REGISTERS: [&str; 18] = [
    "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15", "RDI", "RSI", "RBP", "RBX", "RDX",
    "RAX", "RCX", "RSP", "RIP", "EFL",
];

#[cfg(target_arch = "x86_64")]
fn instruction(context: &ucontext_t) -> Option<usize> {
    Some(context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize)
}

#[cfg(target_arch = "aarch64")]
fn instruction(context: &ucontext_t) -> Option<usize> {
    Some(context.uc_mcontext.pc as usize)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction(_: &ucontext_t) -> Option<usize> {
    None
}
