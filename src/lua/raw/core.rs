//! A state of Lua: its memory, its protected calls.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::{c_int, c_void};
use std::ptr;

use mlua::ffi::{self, lua_State};

use crate::lua::host::Host;

use super::{Entry, REGISTRY, Raised, Shared, Stack, Status, entry, status};

/// Work in a state, inside a protected call.
pub trait Job {
    fn run(&mut self, stack: Stack) -> Result<(), Raised>;
}

/// A state of Lua. Its thread is used only through [`Core::with`].
pub struct Core {
    lua: *mut lua_State,
    shared: Box<Shared>,
}

// SAFETY: the state and what it points to are its own, and nothing of it is bound to the thread that made it.
unsafe impl Send for Core {}

impl Core {
    /// A state without libraries; none if memory runs out.
    pub fn new(shared: Shared) -> Option<Core> {
        let mut shared = Box::new(shared);
        let context = (&raw mut *shared).cast();
        // SAFETY: `allocate` keeps Lua's contract, and `shared` outlives the state.
        let lua = unsafe { ffi::lua_newstate(allocate, context) };
        if lua.is_null() {
            return None;
        }
        shared.main.set(lua);
        // SAFETY: the state is live.
        unsafe { ffi::lua_atpanic(lua, unprotected) };
        Some(Core { lua, shared })
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Does the job in a protected call. An error is given to `handler`, unless memory ran out. Both are functions that the state keeps.
    pub fn protected(
        &mut self,
        host: &mut dyn Host,
        runner: i32,
        handler: i32,
        mut job: &mut dyn Job,
    ) -> Status {
        let stack = Stack { lua: self.lua };
        self.shared.stack_start.set((&raw const stack) as usize);
        let status = self.shared.host.lend(host, || {
            // Nothing here allocates: a new state has enough slots.
            stack.raw_get_at(REGISTRY, handler);
            stack.raw_get_at(REGISTRY, runner);
            stack.push_address((&raw mut job).cast());
            let status = stack.protected_call(1, 0, 1);
            stack.set_top(0);
            status
        });
        if let Some(panic) = self.shared.panic.take() {
            std::panic::resume_unwind(panic);
        }
        status
    }

    /// Calls a function in a protected call, before there is a handler.
    pub fn bare(&mut self, native: Entry) -> Status {
        self.shared.stack_start.set((&raw const native) as usize);
        // SAFETY: the state is live; `lua_cpcall` protects all that it does.
        let status = status(unsafe { ffi::lua_cpcall(self.lua, native, ptr::null_mut()) });
        Stack { lua: self.lua }.set_top(0);
        status
    }

    /// The main thread, for what neither allocates nor raises.
    pub fn stack(&mut self) -> Stack {
        Stack { lua: self.lua }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: the state is live, and no call of it is running.
        unsafe { ffi::lua_close(self.lua) }
    }
}

/// The function that [`Core::protected`] calls, for the state to keep.
pub fn runner() -> Entry {
    fn run(stack: Stack) -> Result<i32, Raised> {
        // SAFETY: only `Core::protected` calls this function, which no script can reach, with the address of its job.
        let job = unsafe { &mut *stack.address(1).cast_mut().cast::<&mut dyn Job>() };
        stack.set_top(0);
        job.run(stack).map(|()| 0)
    }
    entry!(run)
}

/// An error outside of any protected call cannot be answered.
unsafe extern "C-unwind" fn unprotected(_: *mut lua_State) -> c_int {
    std::process::abort()
}

/// The alignment of all that Lua keeps: doubles and pointers.
const ALIGNMENT: usize = 8;

/// Bytes of one block: more are refused.
const MOST: usize = 1 << 46;

/// The allocator of a state: the process's own, counted and limited.
unsafe extern "C" fn allocate(
    context: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: `Core::new` has given the state its `Shared`.
    let shared = unsafe { &*(context as *const Shared) };
    let old = if block.is_null() { 0 } else { old };
    // SAFETY: the alignment is a power of two, and no size is above `MOST`.
    let layout = |bytes| unsafe { Layout::from_size_align_unchecked(bytes, ALIGNMENT) };
    if new == 0 {
        if old > 0 {
            // SAFETY: Lua frees its own blocks once, and tells their size.
            unsafe { dealloc(block.cast(), layout(old)) };
        }
        shared.freed(old);
        return ptr::null_mut();
    }
    if new > MOST || new > old && !shared.may_allocate(new - old) {
        return ptr::null_mut();
    }
    // SAFETY: the block, if there is one, is Lua's own, of the old size; the new size is not 0.
    let moved = unsafe {
        match old {
            0 => alloc(layout(new)),
            _ => realloc(block.cast(), layout(old), new),
        }
    };
    if moved.is_null() {
        return ptr::null_mut();
    }
    if shared.allocated(old, new) {
        // Long strings are made in few instructions: the hook is due at the next one.
        Stack { lua: shared.main.get() }.set_hook(1);
    }
    moved.cast()
}
