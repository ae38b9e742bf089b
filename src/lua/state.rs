//! A state of Lua, as the server uses it.

use std::sync::Arc;

use super::failure;
use super::host::{Function, Host};
use super::libraries::{self, Kept};
use super::random::Sequence;
use super::raw::{Core, Job, REGISTRY, Raised, Shared, Stack, Status, entry, runner};
use super::result::{self, Containers};
use crate::resp::{Args, Protocol, Reply};

/// Registry numbers of the first values that a state keeps; the names of [`result`] follow.
const HANDLER: i32 = 1;
const RUNNER: i32 = 2;

/// What a state is for: the globals differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Scripts: KEYS and ARGV are globals.
    Scripts,
    /// Libraries of functions: KEYS and ARGV are arguments.
    Functions,
}

/// An error that ended a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The error as it is replied, from its code on.
    pub text: Vec<u8>,
    /// It is the error of a command that the script has called, which is counted already.
    pub is_counted: bool,
}

/// Why a library was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It is no program of Lua; the compiler's message.
    Syntax(Vec<u8>),
    /// It raised this error, which is told without its place.
    Run(Vec<u8>),
    /// The host has refused one of its functions.
    Refused(Vec<u8>),
}

/// A state of Lua with its sandbox. It is used by one thread at a time.
pub struct State {
    core: Core,
    kept: Kept,
}

impl State {
    /// A state whose memory never exceeds `limit` bytes. States with the same `random` take their numbers from one sequence.
    /// None if memory runs out.
    pub fn new(kind: Kind, limit: usize, random: Arc<Sequence>) -> Option<State> {
        let mut core = Core::new(Shared::new(limit, random))?;
        if core.bare(entry!(keep_first)) != Status::Done {
            return None;
        }
        let mut open = Open { kind, kept: Kept::default() };
        let status = core.protected(&mut Nobody, RUNNER, HANDLER, &mut open);
        (status == Status::Done).then_some(State { core, kept: open.kept })
    }

    /// Bytes of Lua's memory.
    pub fn used_memory(&self) -> usize {
        self.core.shared().used()
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.core.shared().set_limit(limit);
    }

    /// Compiles a script. The error is the compiler's message.
    pub fn compile(&mut self, source: &[u8]) -> Result<Function, Vec<u8>> {
        let mut job = Compile { source, name: b"@user_script\0", outcome: None };
        let status = self.perform(&mut Nobody, &mut job);
        job.outcome.take().unwrap_or_else(|| Err(self.failure(status).text))
    }

    /// Runs a script, and writes what it returns.
    pub fn run(
        &mut self,
        host: &mut dyn Host,
        script: &Function,
        keys: Args<'_>,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), ScriptError> {
        let globals = Some(self.kept.globals);
        self.call(host, Call { function: script.0, keys, args, reply, globals, returned: None })
    }

    /// Calls a function that a library has registered, and writes what it returns.
    pub fn call_function(
        &mut self,
        host: &mut dyn Host,
        function: &Function,
        keys: Args<'_>,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), ScriptError> {
        self.call(
            host,
            Call { function: function.0, keys, args, reply, globals: None, returned: None },
        )
    }

    fn call(&mut self, host: &mut dyn Host, mut call: Call<'_, '_>) -> Result<(), ScriptError> {
        let mark = call.reply.mark();
        let status = self.perform(host, &mut call);
        if status == Status::Done {
            return call.returned.map_or(Ok(()), Err);
        }
        call.reply.truncate(mark);
        Err(self.failure(status))
    }

    /// Loads a library: it registers its functions at the host. Those that it has registered before it failed are the host's to forget.
    pub fn load(&mut self, host: &mut dyn Host, source: &[u8]) -> Result<(), LoadError> {
        let mut compile = Compile { source, name: b"@user_function\0", outcome: None };
        let status = self.perform(&mut Nobody, &mut compile);
        let chunk = compile.outcome.take().unwrap_or_else(|| Err(self.failure(status).text));
        let chunk = chunk.map_err(LoadError::Syntax)?;
        self.core.shared().is_loading.set(true);
        let mut load = Load { chunk: chunk.0, kept: self.kept };
        let status = self.perform(host, &mut load);
        self.core.shared().is_loading.set(false);
        self.restore_globals();
        self.forget(chunk);
        if status == Status::Done {
            return Ok(());
        }
        match self.core.shared().refusal.get().take() {
            Some(refusal) => Err(LoadError::Refused(refusal)),
            None => {
                let len = self.core.shared().failure.get().len;
                let mut text = self.failure(status).text;
                if status == Status::Error {
                    text.truncate(len);
                }
                Err(LoadError::Run(text))
            }
        }
    }

    /// Gives up a function, whose memory the collector takes back.
    pub fn forget(&mut self, function: Function) {
        self.core.stack().forget(function.0);
    }

    /// Collects all garbage. Lua halves its own buffers each time.
    pub fn collect(&mut self) {
        loop {
            let before = self.used_memory();
            self.core.stack().collect();
            if self.used_memory() >= before - before / 16 {
                break;
            }
        }
    }

    fn perform(&mut self, host: &mut dyn Host, job: &mut dyn Job) -> Status {
        let stack = self.core.stack();
        self.core.shared().begin(stack);
        let status = self.core.protected(host, RUNNER, HANDLER, job);
        self.core.shared().end();
        if status == Status::Memory {
            self.collect();
        }
        status
    }

    /// After a load, calls see all globals again.
    fn restore_globals(&mut self) {
        let stack = self.core.stack();
        stack.raw_get_at(REGISTRY, self.kept.proxy);
        stack.raw_get_at(REGISTRY, self.kept.calling);
        stack.set_metatable(-2);
        stack.pop(1);
    }

    fn failure(&mut self, status: Status) -> ScriptError {
        let noted = self.core.shared().failure.get();
        let text = match status {
            Status::Memory => b"ERR not enough memory".to_vec(),
            Status::Handler => b"ERR error in error handling".to_vec(),
            _ => std::mem::take(&mut noted.text),
        };
        ScriptError { text, is_counted: noted.is_counted }
    }
}

/// Keeps the functions that every later call needs. The first numbers of the registry are theirs.
fn keep_first(stack: Stack) -> Result<i32, Raised> {
    stack.push_native(entry!(failure::note), 0);
    stack.raw_set_at(REGISTRY, HANDLER);
    stack.push_native(runner(), 0);
    stack.raw_set_at(REGISTRY, RUNNER);
    result::keep_names(stack);
    Ok(0)
}

struct Open {
    kind: Kind,
    kept: Kept,
}

impl Job for Open {
    fn run(&mut self, stack: Stack) -> Result<(), Raised> {
        self.kept = libraries::open(stack, self.kind);
        Ok(())
    }
}

struct Compile<'a> {
    source: &'a [u8],
    /// Ends with a zero byte.
    name: &'static [u8],
    outcome: Option<Result<Function, Vec<u8>>>,
}

impl Job for Compile<'_> {
    fn run(&mut self, stack: Stack) -> Result<(), Raised> {
        self.outcome = Some(match stack.load(self.source, self.name) {
            Status::Done => Ok(Function(stack.keep())),
            _ => Err(stack.bytes(-1).unwrap_or_default().to_vec()),
        });
        Ok(())
    }
}

struct Call<'a, 'r> {
    function: i32,
    keys: Args<'a>,
    args: Args<'a>,
    reply: &'a mut Reply<'r>,
    /// Where KEYS and ARGV are set; without it they are arguments.
    globals: Option<i32>,
    /// The error that it has returned.
    returned: Option<ScriptError>,
}

impl Job for Call<'_, '_> {
    fn run(&mut self, stack: Stack) -> Result<(), Raised> {
        let mut containers = Containers::new(stack);
        stack.raw_get_at(REGISTRY, self.function);
        let mut arguments = 2;
        if let Some(globals) = self.globals {
            stack.raw_get_at(REGISTRY, globals);
            push_array(stack, self.keys);
            stack.raw_set_field(-2, "KEYS");
            push_array(stack, self.args);
            stack.raw_set_field(-2, "ARGV");
            stack.pop(1);
            arguments = 0;
        } else {
            push_array(stack, self.keys);
            push_array(stack, self.args);
        }
        stack.call(arguments, 1);
        self.returned = result::error(stack);
        if self.returned.is_some() {
            return Ok(());
        }
        result::write(stack, &mut containers, self.reply, stack.shared().protocol.get())
    }
}

fn push_array(stack: Stack, elements: Args<'_>) {
    stack.new_table(elements.len(), 0);
    for (element, position) in elements.iter().zip(1..) {
        stack.push_bytes(element);
        stack.raw_set_at(-2, position);
    }
}

struct Load {
    chunk: i32,
    kept: Kept,
}

impl Job for Load {
    fn run(&mut self, stack: Stack) -> Result<(), Raised> {
        stack.raw_get_at(REGISTRY, self.kept.proxy);
        stack.raw_get_at(REGISTRY, self.kept.loading);
        stack.set_metatable(-2);
        stack.pop(1);
        stack.raw_get_at(REGISTRY, self.chunk);
        stack.call(0, 0);
        Ok(())
    }
}

/// The host where none is asked for anything.
struct Nobody;

impl Host for Nobody {
    fn call(&mut self, _: &[&[u8]], _: Protocol) -> &[u8] {
        b"-ERR no command can be called here\r\n"
    }

    fn log(&mut self, _: super::host::LogLevel, _: &[u8]) {}

    fn set_replication(&mut self, _: u8) {}

    fn may_call(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn note_error(&mut self, _: &[u8]) {}

    fn register(&mut self, _: super::host::Registration<'_>) -> Result<(), Vec<u8>> {
        Err(b"ERR no function can be registered here".to_vec())
    }

    fn interrupt(&mut self) -> super::host::Interrupt {
        super::host::Interrupt::Continue
    }
}
