//! All that belongs to a state beside Lua's own memory, and that its native functions use.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::Arc;

use mlua::ffi::lua_State;

use super::{Raised, Stack};
use crate::lua::host::{Host, Interrupt};
use crate::lua::random::Sequence;
use crate::resp::Protocol;

/// Instructions between two questions to the host whether the script may go on.
const INSTRUCTIONS: i32 = 1000;

/// An allocation from which on it counts as long.
const LONG: usize = 64 * 1024;

/// Bytes of long allocations after which the hook is due, however few the instructions were.
const LONG_BYTES: usize = 16 << 20;

/// An error that ended a call.
#[derive(Default)]
pub struct Failure {
    /// The error, and where it was raised.
    pub text: Vec<u8>,
    /// Length of the error without the place.
    pub len: usize,
    /// The error is a command's, which has counted it already.
    pub is_counted: bool,
}

pub struct Shared {
    used: Cell<usize>,
    limit: Cell<usize>,
    long: Cell<usize>,
    /// Steps of native functions that may take long.
    steps: Cell<u32>,
    pub(super) main: Cell<*mut lua_State>,
    /// Where the C stack was when the outermost call began.
    pub(super) stack_start: Cell<usize>,
    pub(super) host: HostSlot,
    pub(super) panic: Cell<Option<Box<dyn Any + Send>>>,
    /// Why the running call has to end.
    stopped: Cell<Option<&'static str>>,
    /// The version of RESP in which the script wants its replies.
    pub protocol: Cell<Protocol>,
    /// A library is being loaded.
    pub is_loading: Cell<bool>,
    pub random: Arc<Sequence>,
    /// Settings of the collector, which are only remembered: the script may ask for them.
    pub collector: Cell<[i32; 2]>,
    pub failure: Scratch<Failure>,
    /// The host's refusal of a function, which ends the library's load.
    pub refusal: Scratch<Option<Vec<u8>>>,
    pub arguments: Scratch<Slices>,
    /// The texts of arguments that are numbers.
    pub numbers: Scratch<Vec<u8>>,
    /// A string that is being made.
    pub buffer: Scratch<Vec<u8>>,
}

impl Shared {
    pub fn new(limit: usize, random: Arc<Sequence>) -> Self {
        Shared {
            used: Cell::new(0),
            limit: Cell::new(limit),
            long: Cell::new(0),
            steps: Cell::new(0),
            main: Cell::new(ptr::null_mut()),
            stack_start: Cell::new(0),
            host: HostSlot::default(),
            panic: Cell::new(None),
            stopped: Cell::new(None),
            protocol: Cell::new(Protocol::Resp2),
            is_loading: Cell::new(false),
            random,
            collector: Cell::new([200, 200]),
            failure: Scratch::default(),
            refusal: Scratch::default(),
            arguments: Scratch::default(),
            numbers: Scratch::default(),
            buffer: Scratch::default(),
        }
    }

    /// Bytes of Lua's memory.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    pub fn limit(&self) -> usize {
        self.limit.get()
    }

    pub(super) fn may_allocate(&self, bytes: usize) -> bool {
        self.used.get().saturating_add(bytes) <= self.limit.get()
    }

    /// Counts an allocation; true if the hook is due.
    pub(super) fn allocated(&self, old: usize, new: usize) -> bool {
        self.used.set((self.used.get() + new).saturating_sub(old));
        if new < old + LONG {
            return false;
        }
        self.long.set(self.long.get() + new - old);
        self.long.get() >= LONG_BYTES
    }

    pub(super) fn freed(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }

    /// Before a call: what the last one has set is forgotten.
    pub fn begin(&self, stack: Stack) {
        self.stopped.set(None);
        self.long.set(0);
        self.protocol.set(Protocol::Resp2);
        let failure = self.failure.get();
        failure.text.clear();
        failure.is_counted = false;
        *self.refusal.get() = None;
        stack.set_hook(INSTRUCTIONS);
    }

    /// Memory of a long reply or string is given back after the call.
    pub fn end(&self) {
        for buffer in [self.numbers.get(), self.buffer.get(), &mut self.failure.get().text] {
            if buffer.capacity() > LONG {
                *buffer = Vec::new();
            }
        }
    }

    /// Ends the running call: whatever catches the error, it is raised again.
    pub fn stop(&self, text: &'static str) {
        self.stopped.set(Some(text));
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    pub fn host(&self) -> Option<&mut dyn Host> {
        self.host.get()
    }

    pub(super) fn after_hook(&self, stack: Stack) {
        self.long.set(0);
        stack.set_hook(if self.is_stopped() { 1 } else { INSTRUCTIONS });
    }

    /// Counts steps that are made without asking; asks the host after many.
    pub fn charge(&self, stack: Stack, steps: usize) -> Result<(), Raised> {
        let before = self.steps.get() >> 16;
        self.steps.set(self.steps.get().wrapping_add(steps.min(1 << 24) as u32));
        if self.steps.get() >> 16 == before { Ok(()) } else { self.interrupt_point(stack) }
    }

    /// [`interrupt_point`](Self::interrupt_point), the 4096th time that this is called.
    pub fn interrupt_often(&self, stack: Stack) -> Result<(), Raised> {
        self.steps.set(self.steps.get().wrapping_add(1));
        if self.steps.get().is_multiple_of(4096) { self.interrupt_point(stack) } else { Ok(()) }
    }

    /// Asks the host whether the script may go on. Long native functions call this as the hook does.
    pub fn interrupt_point(&self, stack: Stack) -> Result<(), Raised> {
        let answer = match (self.stopped.get(), self.host()) {
            (Some(text), _) => Interrupt::Stop(text),
            (None, Some(host)) => host.interrupt(),
            (None, None) => Interrupt::Continue,
        };
        let Interrupt::Stop(text) = answer else { return Ok(()) };
        self.stop(text);
        stack.set_hook(1);
        stack.new_table(0, 1);
        stack.push_bytes(text.as_bytes());
        stack.raw_set_field(-2, "err");
        Err(Raised)
    }
}

/// A value that native functions use while Lua may leave their frames at any call: it is owned by the state.
#[derive(Default)]
pub struct Scratch<T>(UnsafeCell<T>);

impl<T> Scratch<T> {
    /// The value. The functions that use it do not call each other, and none calls a function of the script while it has it.
    #[allow(clippy::mut_from_ref)]
    pub fn get(&self) -> &mut T {
        // SAFETY: a state is used by one thread at a time, and only one function has the value, as the text above says.
        unsafe { &mut *self.0.get() }
    }
}

/// The current host, whose lifetime only the running call knows.
#[derive(Default)]
pub struct HostSlot(Cell<Option<*mut (dyn Host + 'static)>>);

impl HostSlot {
    /// Lends the host to the calls that `run` makes.
    pub(super) fn lend<R>(&self, host: &mut dyn Host, run: impl FnOnce() -> R) -> R {
        struct Returned<'a>(&'a HostSlot);
        impl Drop for Returned<'_> {
            fn drop(&mut self) {
                self.0.0.set(None);
            }
        }
        let host: *mut (dyn Host + '_) = host;
        // SAFETY: only the lifetime changes; the pointer is taken back before the loan ends.
        let host: *mut (dyn Host + 'static) = unsafe { std::mem::transmute(host) };
        self.0.set(Some(host));
        let _returned = Returned(self);
        run()
    }

    /// The host of the running call. It is not asked for again while it is in use.
    #[allow(clippy::mut_from_ref)]
    pub fn get(&self) -> Option<&mut dyn Host> {
        // SAFETY: `lend` has it borrowed for the whole call, and a host never calls into the state.
        self.0.get().map(|host| unsafe { &mut *host })
    }
}

/// Byte slices whose lifetime only the running call knows, in a vector that keeps its memory.
#[derive(Default)]
pub struct Slices(Vec<&'static [u8]>);

impl Slices {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn push(&mut self, bytes: &[u8]) {
        // SAFETY: only the lifetime changes; `get` says for how long the slices are used.
        self.0.push(unsafe { std::mem::transmute::<&[u8], &'static [u8]>(bytes) });
    }

    /// The slices. They are used only while the strings that were pushed stand on Lua's stack.
    pub fn get(&self) -> &[&[u8]] {
        &self.0
    }
}
