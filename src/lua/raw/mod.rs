//! The C interface of Lua: the only part of the Lua modules with `unsafe`.
//!
//! A [`Stack`] is a Lua thread seen from a function that Lua has called. Three rules make its methods safe to use,
//! and hold for every function of the type [`Native`]:
//!
//! - Lua raises errors by `longjmp`, also when memory runs out, so any method whose text says *raises* may leave the
//!   frames of Rust between it and the protected call. No value with a destructor is alive in a frame that
//!   calls such a method: buffers that grow live in [`Shared`], which no error frees. An error of the library's own is returned as
//!   [`Raised`] with its value on the stack, and raised only by [`enter`], whose frame owns nothing.
//! - An index names a slot that exists, and a byte slice is used only while the string stands on the stack.
//! - A slot is free before a value is pushed: Lua gives each native function 20; more are asked for with
//!   [`Stack::reserve`].
//!
//! A panic in a native function is held in [`Shared`] and resumed when the outermost call has returned: Lua's own frames cannot
//! be unwound.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

pub use mlua::ffi::lua_CFunction as Entry;
use mlua::ffi::{self, lua_State};

pub use core::{Core, Job, runner};
pub use pile::{Pile, Text};
pub use shared::Shared;

mod core;
mod pile;
mod shared;

/// Bytes of the C stack that a call of a state may use. Lua's own recursion, without native functions in between, takes some 200 KiB more.
const C_STACK: usize = 768 * 1024;

pub const REGISTRY: i32 = ffi::LUA_REGISTRYINDEX;
pub const GLOBALS: i32 = ffi::LUA_GLOBALSINDEX;
pub const MULTIPLE: i32 = ffi::LUA_MULTRET;

/// The slot of a native function's upvalue, from 1.
pub const fn upvalue(index: i32) -> i32 {
    ffi::lua_upvalueindex(index)
}

/// An error whose value stands on top of the stack.
#[derive(Debug)]
pub struct Raised;

/// A function that Lua calls: its arguments are the slots from 1; it answers how many values on top of the stack are its results.
pub type Native = fn(Stack) -> Result<i32, Raised>;

/// The entry by which Lua calls a [`Native`].
macro_rules! entry {
    ($native:expr) => {{
        unsafe extern "C-unwind" fn entry(lua: *mut mlua::ffi::lua_State) -> std::ffi::c_int {
            // SAFETY: Lua calls this with a live thread of its own, and with free slots.
            unsafe { $crate::lua::raw::enter(lua, $native) }
        }
        entry as $crate::lua::raw::Entry
    }};
}
pub(in crate::lua) use entry;

/// Runs a native function and raises its error, if it has one.
///
/// # Safety
/// Lua itself calls, with a live thread.
#[inline]
pub unsafe fn enter(lua: *mut lua_State, native: Native) -> c_int {
    let stack = Stack { lua };
    // Every recursion that may grow without bound passes here: Lua's own counter is one for each coroutine.
    let here = (&raw const stack) as usize;
    if stack.shared().stack_start.get().saturating_sub(here) > C_STACK {
        let _ = stack.error::<()>(b"C stack overflow");
        raise(lua)
    }
    match catch_unwind(AssertUnwindSafe(|| native(stack))) {
        Ok(Ok(results)) => results,
        Ok(Err(Raised)) => raise(lua),
        Err(panic) => {
            let shared = stack.shared();
            shared.panic.set(Some(panic));
            shared.stop("internal error");
            stack.push_nil();
            raise(lua)
        }
    }
}

/// Raises the value on top of the stack.
fn raise(lua: *mut lua_State) -> ! {
    // SAFETY: the thread is live and has a value on top; the callers' frames own nothing.
    unsafe { ffi::lua_error(lua) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

/// How a protected call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Done,
    Error,
    Syntax,
    Memory,
    Handler,
}

/// Where a function of the call stack stands.
pub struct Frame {
    pub source: *const c_char,
    pub is_native: bool,
    pub line: i32,
}

impl Frame {
    /// The name of the chunk, beginning with `@` or `=`.
    pub fn source(&self) -> &[u8] {
        // SAFETY: the name belongs to a function that stands in the call stack, and ends with a zero byte.
        unsafe { CStr::from_ptr(self.source) }.to_bytes()
    }
}

/// A thread of Lua, in a function that it has called.
#[derive(Clone, Copy)]
pub struct Stack {
    lua: *mut lua_State,
}

// Each block below calls Lua with a live thread and under the rules of the module's text.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Stack {
    pub fn shared<'a>(self) -> &'a Shared {
        let mut shared = ptr::null_mut();
        // The allocator's context is the state's `Shared`, which outlives the state.
        unsafe {
            ffi::lua_getallocf(self.lua, &mut shared);
            &*(shared as *const Shared)
        }
    }

    pub fn top(self) -> i32 {
        unsafe { ffi::lua_gettop(self.lua) }
    }

    pub fn set_top(self, top: i32) {
        unsafe { ffi::lua_settop(self.lua, top) }
    }

    pub fn pop(self, count: i32) {
        self.set_top(-count - 1);
    }

    pub fn insert(self, index: i32) {
        unsafe { ffi::lua_insert(self.lua, index) }
    }

    pub fn remove(self, index: i32) {
        unsafe { ffi::lua_remove(self.lua, index) }
    }

    pub fn replace(self, index: i32) {
        unsafe { ffi::lua_replace(self.lua, index) }
    }

    /// Makes `slots` slots free; false if that is more than a frame may have. Raises where memory runs out.
    #[must_use]
    pub fn reserve(self, slots: i32) -> bool {
        unsafe { ffi::lua_checkstack(self.lua, slots) != 0 }
    }

    pub fn kind(self, index: i32) -> Type {
        match unsafe { ffi::lua_type(self.lua, index) } {
            ffi::LUA_TNIL => Type::Nil,
            ffi::LUA_TBOOLEAN => Type::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Type::LightUserdata,
            ffi::LUA_TNUMBER => Type::Number,
            ffi::LUA_TSTRING => Type::String,
            ffi::LUA_TTABLE => Type::Table,
            ffi::LUA_TFUNCTION => Type::Function,
            ffi::LUA_TUSERDATA => Type::Userdata,
            ffi::LUA_TTHREAD => Type::Thread,
            _ => Type::None,
        }
    }

    pub fn is_none_or_nil(self, index: i32) -> bool {
        matches!(self.kind(index), Type::None | Type::Nil)
    }

    /// The name of a value's type.
    pub fn type_name(self, index: i32) -> &'static str {
        match self.kind(index) {
            Type::None => "no value",
            Type::Nil => "nil",
            Type::Boolean => "boolean",
            Type::LightUserdata | Type::Userdata => "userdata",
            Type::Number => "number",
            Type::String => "string",
            Type::Table => "table",
            Type::Function => "function",
            Type::Thread => "thread",
        }
    }

    pub fn is_native(self, index: i32) -> bool {
        unsafe { ffi::lua_iscfunction(self.lua, index) != 0 }
    }

    /// The bytes of a string; none if the value is of another type.
    pub fn bytes<'a>(self, index: i32) -> Option<&'a [u8]> {
        (self.kind(index) == Type::String).then(|| self.text(index))
    }

    /// The bytes of a string or of a number, which becomes a string in its slot. Raises where memory runs out.
    pub fn text<'a>(self, index: i32) -> &'a [u8] {
        let mut len = 0;
        let text = unsafe { ffi::lua_tolstring(self.lua, index, &mut len) };
        if text.is_null() {
            return &[];
        }
        unsafe { std::slice::from_raw_parts(text.cast(), len) }
    }

    /// A number, or a string that is one; 0 for anything else.
    pub fn number(self, index: i32) -> f64 {
        unsafe { ffi::lua_tonumber(self.lua, index) }
    }

    pub fn is_number(self, index: i32) -> bool {
        unsafe { ffi::lua_isnumber(self.lua, index) != 0 }
    }

    pub fn is_string(self, index: i32) -> bool {
        unsafe { ffi::lua_isstring(self.lua, index) != 0 }
    }

    pub fn boolean(self, index: i32) -> bool {
        unsafe { ffi::lua_toboolean(self.lua, index) != 0 }
    }

    /// Pushes a value that a native function keeps as its upvalue. Raises where memory runs out.
    pub fn push_cell<T: Copy>(self, value: T) {
        let cell = self.new_block(size_of::<Cell<T>>()).cast::<Cell<T>>();
        unsafe { cell.write(Cell::new(value)) };
    }

    /// The value that [`push_cell`](Self::push_cell) has made: `index` is the upvalue that it became, and `T` its type.
    pub fn cell<'a, T: Copy>(self, index: i32) -> &'a Cell<T> {
        unsafe { &*self.address(index).cast::<Cell<T>>() }
    }

    /// The address by which a table, function or thread is told apart from others.
    pub fn identity(self, index: i32) -> usize {
        unsafe { ffi::lua_topointer(self.lua, index) as usize }
    }

    /// Compares as `<` does. Raises.
    pub fn less_than(self, a: i32, b: i32) -> bool {
        unsafe { ffi::lua_lessthan(self.lua, a, b) != 0 }
    }

    /// The length of a string, or a border of a table's array.
    pub fn length(self, index: i32) -> usize {
        unsafe { ffi::lua_objlen(self.lua, index) }
    }

    pub fn push_nil(self) {
        unsafe { ffi::lua_pushnil(self.lua) }
    }

    pub fn push_boolean(self, value: bool) {
        unsafe { ffi::lua_pushboolean(self.lua, value.into()) }
    }

    pub fn push_number(self, number: f64) {
        unsafe { ffi::lua_pushnumber(self.lua, number) }
    }

    /// Raises where memory runs out.
    pub fn push_bytes(self, bytes: &[u8]) {
        unsafe { ffi::lua_pushlstring_(self.lua, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub fn push_address(self, address: *const c_void) {
        unsafe { ffi::lua_pushlightuserdata(self.lua, address.cast_mut()) }
    }

    pub fn address(self, index: i32) -> *const c_void {
        unsafe { ffi::lua_touserdata(self.lua, index) }
    }

    pub fn push_value(self, index: i32) {
        unsafe { ffi::lua_pushvalue(self.lua, index) }
    }

    /// A function with the `upvalues` values on top. Raises where memory runs out.
    pub fn push_native(self, native: Entry, upvalues: i32) {
        unsafe { ffi::lua_pushcclosure(self.lua, native, upvalues) }
    }

    /// Raises where memory runs out.
    pub fn new_table(self, array: usize, fields: usize) {
        let bound = |count: usize| count.min(1 << 26) as c_int;
        unsafe { ffi::lua_createtable(self.lua, bound(array), bound(fields)) }
    }

    /// A block of memory that holds nothing, as a value without a metatable. Raises where memory runs out.
    pub fn new_block(self, bytes: usize) -> *mut c_void {
        unsafe { ffi::lua_newuserdata(self.lua, bytes) }
    }

    /// Replaces the key on top by its value.
    pub fn raw_get(self, table: i32) {
        unsafe { ffi::lua_rawget_(self.lua, table) }
    }

    pub fn raw_get_at(self, table: i32, position: i32) {
        unsafe { ffi::lua_rawgeti_(self.lua, table, position) }
    }

    /// Pushes a field. Raises where memory runs out.
    pub fn raw_field(self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name.as_bytes());
        self.raw_get(table);
    }

    /// Pops a value and its key, which is below it. Raises where memory runs out or the key is none.
    pub fn raw_set(self, table: i32) {
        unsafe { ffi::lua_rawset(self.lua, table) }
    }

    /// Raises where memory runs out.
    pub fn raw_set_at(self, table: i32, position: i32) {
        unsafe { ffi::lua_rawseti_(self.lua, table, position) }
    }

    /// Pops a value into a field. Raises where memory runs out.
    pub fn raw_set_field(self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name.as_bytes());
        self.insert(-2);
        self.raw_set(table);
    }

    /// Replaces the key on top by its value, with metamethods. Raises.
    pub fn get(self, table: i32) {
        unsafe { ffi::lua_gettable_(self.lua, table) }
    }

    /// Replaces the key on top by the next one and its value; false, and no key, at the end. Raises for a key that is not there.
    pub fn next(self, table: i32) -> bool {
        unsafe { ffi::lua_next(self.lua, table) != 0 }
    }

    /// Pushes a value's metatable, if it has one.
    pub fn metatable(self, index: i32) -> bool {
        unsafe { ffi::lua_getmetatable(self.lua, index) != 0 }
    }

    /// Pops a metatable, or nil, for the value.
    pub fn set_metatable(self, index: i32) {
        unsafe { ffi::lua_setmetatable(self.lua, index) };
    }

    /// Calls the function below its arguments. Raises.
    pub fn call(self, arguments: i32, results: i32) {
        unsafe { ffi::lua_call(self.lua, arguments, results) }
    }

    /// Calls the function below its arguments; `handler` is the slot of a function that is given the error, or 0.
    pub fn protected_call(self, arguments: i32, results: i32, handler: i32) -> Status {
        status(unsafe { ffi::lua_pcall(self.lua, arguments, results, handler) })
    }

    /// Compiles source text, never bytecode, and pushes the function, or a message.
    /// `name` ends with a zero byte and stands on the stack. Raises where memory runs out.
    pub fn load(self, source: &[u8], name: &[u8]) -> Status {
        struct Source<'a> {
            rest: &'a [u8],
            /// Goes first: Lua takes text that begins with an escape for bytecode.
            space: bool,
        }
        unsafe extern "C-unwind" fn read(
            _: *mut lua_State,
            source: *mut c_void,
            len: *mut usize,
        ) -> *const c_char {
            // SAFETY: `load` below has handed over its own `Source`.
            let source = unsafe { &mut *source.cast::<Source>() };
            let next = if std::mem::take(&mut source.space) {
                b" "
            } else {
                std::mem::take(&mut source.rest)
            };
            // SAFETY: Lua has given the place for the length.
            unsafe { *len = next.len() };
            next.as_ptr().cast()
        }
        debug_assert_eq!(name.last(), Some(&0));
        let mut source = Source { rest: source, space: source.first() == Some(&0x1b) };
        let source = (&raw mut source).cast();
        status(unsafe { ffi::lua_load(self.lua, read, source, name.as_ptr().cast()) })
    }

    /// As [`load`](Self::load), of the pieces that the function in one slot answers; each stands in another slot while it is
    /// compiled. What the function raises is pushed in place of a message.
    pub fn load_pieces(self, function: i32, piece: i32, name: &[u8]) -> Status {
        struct Pieces {
            function: i32,
            piece: i32,
            is_first: bool,
        }
        unsafe extern "C-unwind" fn read(
            lua: *mut lua_State,
            pieces: *mut c_void,
            len: *mut usize,
        ) -> *const c_char {
            // SAFETY: `load_pieces` below has handed over its own `Pieces`; Lua has given the place for the length.
            let (pieces, len) = unsafe { (&mut *pieces.cast::<Pieces>(), &mut *len) };
            let stack = Stack { lua };
            *len = 0;
            if !stack.reserve(4) {
                return ptr::null();
            }
            stack.push_value(pieces.function);
            stack.call(0, 1);
            if stack.kind(-1) == Type::Nil {
                return ptr::null();
            }
            if !stack.is_string(-1) {
                let _ = stack.error::<()>(b"reader function must return a string");
                raise(lua);
            }
            if std::mem::take(&mut pieces.is_first) && stack.text(-1).first() == Some(&0x1b) {
                stack.push_bytes(b" ");
                stack.insert(-2);
                stack.concat(2);
            }
            let text = stack.text(-1);
            stack.replace(pieces.piece);
            *len = text.len();
            text.as_ptr().cast()
        }
        debug_assert_eq!(name.last(), Some(&0));
        let mut pieces = Pieces { function, piece, is_first: true };
        let pieces = (&raw mut pieces).cast();
        status(unsafe { ffi::lua_load(self.lua, read, pieces, name.as_ptr().cast()) })
    }

    /// Pops a value and keeps it under a number of the registry. Raises where memory runs out.
    pub fn keep(self) -> i32 {
        unsafe { ffi::luaL_ref(self.lua, REGISTRY) }
    }

    pub fn forget(self, reference: i32) {
        unsafe { ffi::luaL_unref(self.lua, REGISTRY, reference) }
    }

    /// Pushes where the function `level` calls up stands, such as `user_script:1: `. Raises where memory runs out.
    pub fn push_position(self, level: i32) {
        unsafe { ffi::luaL_where(self.lua, level) }
    }

    /// Joins the `count` values on top. Raises.
    pub fn concat(self, count: i32) {
        unsafe { ffi::lua_concat(self.lua, count) }
    }

    /// The function `level` calls up; 0 is the running one.
    pub fn frame(self, level: i32) -> Option<Frame> {
        let mut record = unsafe { std::mem::zeroed::<ffi::lua_Debug>() };
        if unsafe { ffi::lua_getstack(self.lua, level, &mut record) } == 0 {
            return None;
        }
        unsafe { ffi::lua_getinfo(self.lua, c"Sl".as_ptr(), &mut record) };
        let is_native = unsafe { CStr::from_ptr(record.what) } == c"C";
        Some(Frame { source: record.source, is_native, line: record.currentline })
    }

    /// An error with the place of the script that called the running function.
    pub fn error<T>(self, message: &[u8]) -> Result<T, Raised> {
        self.push_position(1);
        self.push_bytes(message);
        self.concat(2);
        Err(Raised)
    }

    /// Raises that an argument is wrong, as Lua's own libraries say it.
    pub fn argument_error(self, argument: i32, message: &CStr) -> ! {
        unsafe { ffi::luaL_argerror(self.lua, argument, message.as_ptr()) };
        unreachable!("the error is raised")
    }

    /// A string argument; a number is one too. Raises.
    pub fn check_bytes<'a>(self, argument: i32) -> &'a [u8] {
        let mut len = 0;
        let text = unsafe { ffi::luaL_checklstring(self.lua, argument, &mut len) };
        unsafe { std::slice::from_raw_parts(text.cast(), len) }
    }

    /// A number argument. Raises.
    pub fn check_number(self, argument: i32) -> f64 {
        unsafe { ffi::luaL_checknumber(self.lua, argument) }
    }

    /// A table argument. Raises.
    pub fn check_table(self, argument: i32) {
        unsafe { ffi::luaL_checktype(self.lua, argument, ffi::LUA_TTABLE) }
    }

    /// A function argument. Raises.
    pub fn check_function(self, argument: i32) {
        unsafe { ffi::luaL_checktype(self.lua, argument, ffi::LUA_TFUNCTION) }
    }

    /// An argument that is not missing. Raises.
    pub fn check_any(self, argument: i32) {
        unsafe { ffi::luaL_checkany(self.lua, argument) }
    }

    /// One of the names, which end with null, as its index. Raises.
    pub fn check_option(self, argument: i32, default: &CStr, names: &[*const c_char]) -> usize {
        debug_assert!(names.last().is_some_and(|name| name.is_null()));
        unsafe {
            ffi::luaL_checkoption(self.lua, argument, default.as_ptr(), names.as_ptr()) as usize
        }
    }

    /// Pushes a field of a value's metatable, if it has one. Raises where memory runs out.
    pub fn metafield(self, index: i32, name: &CStr) -> bool {
        unsafe { ffi::luaL_getmetafield_(self.lua, index, name.as_ptr()) != 0 }
    }

    /// Collects all garbage.
    pub fn collect(self) {
        unsafe { ffi::lua_gc(self.lua, ffi::LUA_GCCOLLECT, 0) };
    }

    /// A step of the collector; true if it ended a cycle.
    pub fn collect_step(self, kibibytes: i32) -> bool {
        unsafe { ffi::lua_gc(self.lua, ffi::LUA_GCSTEP, kibibytes) != 0 }
    }

    /// Calls [`Shared::interrupted`] after each `count` instructions of this thread.
    pub fn set_hook(self, count: i32) {
        unsafe { ffi::lua_sethook(self.lua, Some(hook), ffi::LUA_MASKCOUNT, count) };
    }

    pub fn absolute(self, index: i32) -> i32 {
        if index < 0 && index > REGISTRY { self.top() + index + 1 } else { index }
    }
}

fn status(code: c_int) -> Status {
    match code {
        ffi::LUA_OK => Status::Done,
        ffi::LUA_ERRSYNTAX => Status::Syntax,
        ffi::LUA_ERRMEM => Status::Memory,
        ffi::LUA_ERRERR => Status::Handler,
        _ => Status::Error,
    }
}

/// The number that a text begins with, as C's `strtod` reads it, and its length. The text is the end of a string of Lua's, which a zero byte
/// follows.
pub fn parse_number(text: &[u8]) -> (f64, usize) {
    let mut end = ptr::null_mut();
    // SAFETY: reading stops at the zero byte after the text.
    let number = unsafe { libc::strtod(text.as_ptr().cast(), &mut end) };
    (number, (end as usize).saturating_sub(text.as_ptr() as usize))
}

/// Writes a number as C's `%.*g` does, and answers the text.
pub fn format_general(number: f64, precision: i32, text: &mut [u8; 40]) -> &[u8] {
    // SAFETY: the length of the space is given, and the arguments are those that the format names.
    let len = unsafe {
        libc::snprintf(text.as_mut_ptr().cast(), text.len(), c"%.*g".as_ptr(), precision, number)
    };
    &text[..(len.max(0) as usize).min(text.len() - 1)]
}

/// Called between two instructions.
unsafe extern "C-unwind" fn hook(lua: *mut lua_State, _: *mut ffi::lua_Debug) {
    /// The hook as a native function: without results.
    fn interrupted(stack: Stack) -> Result<i32, Raised> {
        stack.shared().after_hook(stack);
        stack.shared().interrupt_point(stack).map(|()| 0)
    }
    // SAFETY: Lua calls hooks with a live thread and the free slots of a native function.
    unsafe { enter(lua, interrupted) };
}
