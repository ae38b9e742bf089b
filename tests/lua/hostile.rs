//! Scripts that try to leave the sandbox, or to take all memory, all time or all of the stack.

use std::sync::Arc;
use std::time::{Duration, Instant};

use verbena::lua::{Host, Interrupt, Kind, LogLevel, Registration, State};
use verbena::resp::Protocol;

use super::{LIMIT, Nobody, evaluate};

const KILLED: &str = "ERR Script killed by user with SCRIPT KILL.";

/// Ends the script after so long.
struct Deadline(Instant);

impl Deadline {
    fn after(time: Duration) -> Self {
        Deadline(Instant::now() + time)
    }
}

impl Host for Deadline {
    fn call(&mut self, _: &[&[u8]], _: Protocol) -> &[u8] {
        b"+OK\r\n"
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}

    fn set_replication(&mut self, _: u8) {}

    fn may_call(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn register(&mut self, _: Registration<'_>) -> Result<(), Vec<u8>> {
        Ok(())
    }

    fn note_error(&mut self, _: &[u8]) {}

    fn interrupt(&mut self) -> Interrupt {
        if Instant::now() < self.0 { Interrupt::Continue } else { Interrupt::Stop(KILLED) }
    }
}

fn state(limit: usize) -> State {
    State::new(Kind::Scripts, limit, Arc::default()).unwrap()
}

fn answer(state: &mut State, script: &str) -> String {
    let reply = evaluate(state, &mut Nobody, script.as_bytes(), Protocol::Resp2);
    reply.escape_ascii().to_string()
}

/// The state still works, and all that scripts share is as it was.
fn assert_whole(state: &mut State) {
    let check = "local o={} for _,n in ipairs({'string','table','math','os','redis','cjson','bit','struct','cmsgpack','coroutine'}) do
        local t=_G[n] local c=0 for k in pairs(t) do c=c+1 end o[#o+1]=n..c end
        return table.concat(o,' ')..' '..('x'):rep(3)..redis.call('get','x')";
    let known = answer(&mut self::state(LIMIT), check);
    assert!(known.contains("os1 "), "{known}");
    assert_eq!(answer(state, check), known);
}

#[test]
fn the_sandbox_cannot_be_left() {
    // Each one ends in an error, or answers that it has come to nothing.
    let attempts = [
        // Other functions' environments, files, other libraries.
        ("return getfenv(0)", "nonexistent global variable \\'getfenv\\'"),
        ("return setfenv(1,{})", "nonexistent global variable \\'setfenv\\'"),
        ("return io.open('/etc/passwd')", "nonexistent global variable \\'io\\'"),
        ("return os.execute('ls')", "attempt to call field \\'execute\\'"),
        ("return os.exit()", "attempt to call field \\'exit\\'"),
        ("return debug.getregistry()", "nonexistent global variable \\'debug\\'"),
        ("return require('os')", "nonexistent global variable \\'require\\'"),
        ("return package.loadlib", "nonexistent global variable \\'package\\'"),
        ("return dofile('/etc/passwd')", "nonexistent global variable \\'dofile\\'"),
        ("return loadfile('/etc/passwd')", "nonexistent global variable \\'loadfile\\'"),
        ("return newproxy(true)", "nonexistent global variable \\'newproxy\\'"),
        ("return _G.print", "nonexistent global variable \\'print\\'"),
        // Bytecode.
        ("return tostring(loadstring(string.dump(function() return 1 end)))", "nil"),
        (
            "return tostring(load(coroutine.wrap(function() coroutine.yield('\\27Lua') coroutine.yield('Q') end)))",
            "nil",
        ),
        (
            "local f=string.dump(function() return 1 end) local n=0 return tostring(load(function() n=n+1 return n<=#f and f:sub(n,n) or nil end))",
            "nil",
        ),
        // What scripts share is read-only, however it is reached.
        ("x=1", "readonly"),
        ("_G.x=1", "readonly"),
        ("rawset(_G,'x',1)", "readonly"),
        ("rawset(_G._G,'x',1)", "readonly"),
        ("setmetatable(_G,nil)", "readonly"),
        ("setmetatable(redis,{__index=function() return 1 end})", "readonly"),
        ("getmetatable(_G).__index=nil", "readonly"),
        ("getmetatable(_G).__newindex=nil", "readonly"),
        ("rawset(getmetatable(_G),'__index',_G)", "readonly"),
        ("getmetatable('').__index=function() return 1 end", "readonly"),
        ("rawset(getmetatable(''),'__index',{})", "readonly"),
        ("getmetatable('').__index.rep=nil", "readonly"),
        ("setmetatable(getmetatable(''),{})", "readonly"),
        ("(''):gsub('',function() string.rep=nil end)", "readonly"),
        ("table.insert(redis,1)", "readonly"),
        ("table.insert(_G,1,2)", "readonly"),
        ("redis.call=print_", "nonexistent"),
        ("server.call=nil", "readonly"),
        ("cjson.encode=nil", "readonly"),
        ("loadstring('string.x=1')()", "readonly"),
        ("loadstring('y=1')()", "readonly"),
        ("coroutine.wrap(function() z=1 end)()", "readonly"),
        ("for k,v in pairs(_G) do if type(v)=='table' then v.x=1 end end", "readonly"),
        ("table.foreach(_G,function(k,v) if type(v)=='table' then v.x=1 end end)", "readonly"),
        ("local k,v=next(_G,'redis') rawset(_G,'redis',1)", "readonly"),
        // The metatables of basic types.
        (
            "return tostring(getmetatable(1))..tostring(getmetatable(true))..tostring(getmetatable(print_ or nil))",
            "nonexistent",
        ),
        (
            "return tostring(getmetatable(1))..tostring(getmetatable(true))..tostring(getmetatable(nil))..tostring(getmetatable(tostring))",
            "nilnilnilnil",
        ),
        ("setmetatable('',{})", "table expected"),
        ("setmetatable(tostring,{})", "table expected"),
        ("return tostring(getmetatable(redis))", "nil"),
        ("return tostring(getmetatable(getmetatable(_G)))", "nil"),
        // Nothing hides behind a read-only table.
        ("return rawequal(_G._G,_G) and rawequal(rawget(_G,'_G'),_G) and 1 or 0", ":1"),
        ("return rawequal(getmetatable('').__index,string) and 1 or 0", ":1"),
        ("local n=0 for k,v in next,_G do if rawequal(v,_G) then n=n+1 end end return n", ":1"),
    ];
    let mut state = state(LIMIT);
    for (script, expected) in attempts {
        let reply = answer(&mut state, script);
        assert!(reply.contains(expected), "{script}\n{reply}");
    }
    assert_whole(&mut state);
}

#[test]
fn the_known_holes_of_other_servers_are_closed() {
    let attempts = [
        // 2022-24735, 2022-24736: unpack of ranges whose length overflows.
        ("return {unpack({},0,2147483647)}", "too many results"),
        ("return {unpack({},-2147483648,2147483647)}", "too many results"),
        ("return {unpack({},2147483646,2147483647)}", "*0"),
        ("return {unpack({1},1,-2147483648)}", "*0"),
        ("return {string.byte('x',-2147483648,2147483647)}", "120"),
        ("return ('x'):sub(-2147483648,2147483647)", "x"),
        ("return select(-2147483648,1)", "out of range"),
        ("return table.concat({},'x',2147483647,2147483647)", "invalid value"),
        // 2024-31449: the digits of tohex.
        ("return bit.tohex(65535,-2147483648)", "0000FFFF"),
        ("return bit.tohex(65535,2147483647)", "0000ffff"),
        // 2015-4335 and 2018-11218, 2018-11219: bytecode, cmsgpack and struct that read or write beyond their buffers.
        ("return struct.pack('I2147483648',1)", "overflow"),
        ("return struct.unpack('I33','x')", "larger than limit"),
        ("return struct.unpack('c0','x')", "previous size"),
        ("return struct.unpack('bc0','\\255')", "too short"),
        ("return struct.unpack('dc0',struct.pack('d',-1))", "too short"),
        ("return struct.unpack('dc0',struct.pack('d',2^63))", "too short"),
        ("return struct.unpack('c2147483647','x')", "too short"),
        ("return struct.unpack('i','abcd',2^62)", "too short"),
        ("return cmsgpack.unpack('\\219\\255\\255\\255\\255')", "Missing bytes"),
        ("return cmsgpack.unpack('\\221\\255\\255\\255\\255')", "Missing bytes"),
        ("return cmsgpack.unpack_one('x',2147483647)", "greater than input"),
        ("return cmsgpack.unpack(('\\145'):rep(100000))", "stack overflow"),
        ("return cmsgpack.unpack(('\\129\\1'):rep(100000))", "stack overflow"),
        // 2022-24834: cjson of long strings and deep values.
        ("return #cjson.encode(('\\1'):rep(1000000))", ":6000002"),
        ("return cjson.decode(('['):rep(100000))", "too many nested"),
        ("return cjson.decode(('{\"a\":'):rep(100000))", "too many nested"),
        (
            "cjson.encode_max_depth(2147483647) local t={} for i=1,100000 do t={t} end return cjson.encode(t)",
            "excessive nesting",
        ),
        (
            "cjson.decode_max_depth(2147483647) return cjson.decode(('['):rep(100000))",
            "too many nested",
        ),
        // 2025-49844: the name of a chunk that is collected while its source is read.
        (
            "local f=load(function() collectgarbage() return nil end,('@na'..'me'):rep(3)) collectgarbage() return tostring(f):sub(1,8)",
            "function",
        ),
        (
            "local n=0 local f=load(function() n=n+1 for i=1,100 do local s=('x'):rep(i) end collectgarbage() return ({'return ','n','oname'})[n] end,('x'):rep(50)) collectgarbage() local ok,e=pcall(f) return e",
            "nonexistent global variable \\'noname\\'",
        ),
        // 2024-46981: the collector that a script has stopped.
        (
            "collectgarbage('stop') collectgarbage('setpause',0) collectgarbage('setstepmul',0) return 1",
            ":1",
        ),
        // Depth.
        ("local function f() return coroutine.wrap(f)() end return f()", "C stack overflow"),
        (
            "local function f() return coroutine.resume(coroutine.create(f)) end return {f()}",
            "overflow",
        ),
        ("local function f() return ('x'):gsub('x',f) end return f()", "C stack overflow"),
        ("local function f() return pcall(f) end return f()", ":1"),
        (
            "local function f(n) return ('x'):gsub('.',function() return coroutine.wrap(function() return (pcall(f)) end)() end) end return f()",
            "x",
        ),
        (
            "local t=setmetatable({},{}) getmetatable(t).__index=function(_,k) return t[k..'x'] end return t.x",
            "stack overflow",
        ),
        (
            "local t={} for i=1,300 do t=setmetatable({},{__index=t}) end return t.x",
            "loop in gettable",
        ),
        ("return loadstring(('('):rep(100000))", "$-1"),
        ("local a,b=loadstring('return '..('{'):rep(100000)) return b", "syntax levels"),
        ("local a,b=loadstring('x='..('a.'):rep(100000)..'b') return tostring(a)", "function"),
        ("local a,b=loadstring('return '..('not '):rep(100000)..'1') return b", "syntax levels"),
        ("return #string.rep('x', 1e10)", "not enough memory"),
        ("return ('x'):rep(2147483647)", "not enough memory"),
        ("return string.format('%99999d',1)", "invalid format"),
        ("return string.find(('a'):rep(100000),('a?'):rep(100000))", ":1"),
        ("return #string.match(('('):rep(100000)..(')'):rep(100000),'%b()')", ":200000"),
    ];
    let mut state = state(64 << 20);
    for (script, expected) in attempts {
        let reply = answer(&mut state, script);
        assert!(reply.contains(expected), "{script}\n{}", &reply[..reply.len().min(500)]);
    }
    assert_whole(&mut state);
}

#[test]
fn memory_has_a_bound_and_comes_back() {
    let mut state = state(16 << 20);
    state.collect();
    let before = state.used_memory();
    let scripts = [
        "local t={} while true do t[#t+1]=('x'):rep(1000)..#t end",
        "local s='x' while true do s=s..s end",
        "local t={} for i=1,1e9 do t[i]=i end",
        "local t={} while true do t={t} end",
        "local t={} while true do t[#t+1]=function() return t end end",
        "local t={} while true do t[#t+1]=coroutine.create(function() end) end",
        "local t={} while true do t[#t+1]=cjson.decode('[[],[],[1,2,3]]') end",
        "return ('x'):rep(1e9)",
        "return ('x'):rep(1e6):gsub('x',('y'):rep(1000))",
        "local t={} for i=1,1000 do t[i]=('x'):rep(100000)..i end",
        "local t={} for i=1,1000 do t[i]='xxxxxxxxxx' end local s=table.concat(t) return table.concat({s,s,s},s:rep(1000))",
        "local t={} for i=1,1e5 do t[i]=i end while true do t[#t+1]=cmsgpack.pack(t)..#t end",
        "local s=('x'):rep(8e6) return cjson.encode({s,s})",
        "local s='return {'..('1,'):rep(2e6)..'}' return loadstring(s)",
        "local ok,e while true do ok,e=pcall(string.rep,'x',1e9) if not ok then error(e) end end",
    ];
    for script in scripts {
        let reply = answer(&mut state, script);
        assert!(
            reply.contains("not enough memory"),
            "{script}\n{}",
            &reply[..reply.len().min(300)]
        );
        assert!(state.used_memory() <= 16 << 20);
        state.collect();
        assert!(state.used_memory() < before + (64 << 10), "{script}: {}", state.used_memory());
    }
    // A script may catch the error, and go on with what is left.
    let reply = answer(
        &mut state,
        "local ok,e=pcall(string.rep,'x',1e8) return {tostring(ok),e,#('x'):rep(1000)}",
    );
    assert!(reply.contains("not enough memory") && reply.contains(":1000"), "{reply}");
    assert_whole(&mut state);
}

#[test]
fn many_scripts_leave_nothing_behind() {
    let mut state = state(LIMIT);
    let mut after_some = 0;
    for number in 0..20_000 {
        let script =
            format!("local t={{}} for i=1,10 do t[i]='{number}'..i end return #t+{number}");
        assert_eq!(answer(&mut state, &script), format!(":{}\\r\\n", number + 10));
        if number == 2000 {
            state.collect();
            after_some = state.used_memory();
        }
    }
    state.collect();
    assert!(state.used_memory() < after_some + 4096, "{} then {after_some}", state.used_memory());
}

#[test]
fn a_script_is_ended_whatever_it_catches() {
    let scripts = [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() while true do pcall(f) end end f()",
        "while true do xpcall(function() while true do end end,function() while true do end end) end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do pcall(coroutine.wrap(function() while true do pcall(function() while true do end end) end end)) end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local t=setmetatable({},{__index=function() while true do end end}) while true do pcall(function() return t.x end) end",
        "while true do loadstring('while true do end')() end",
        "while true do load(function() while true do end end) end",
        "while true do pcall(string.gsub,'x','x',function() while true do end end) end",
        "while true do pcall(table.sort,{1,2,3},function() while true do end end) end",
        "repeat until false",
        "for i=1,1e300 do end",
        "local function f() return f() end f()",
        "while true do redis.call('get','x') end",
        "while true do redis.pcall('get','x') end",
        // Time that is spent in native functions.
        "return string.find(('a'):rep(50),('a?'):rep(50)..('a'):rep(50)..'b')",
        "return string.find(('a'):rep(1e5),('.-'):rep(9)..'b')",
        "return string.find(('a'):rep(1e6),'.-b')",
        "return string.match(('a'):rep(1e5),'^(a*)(a*)(a*)(a*)b')",
        "return string.gsub(('a'):rep(1e5),'(a*)(a*)(a*)b','')",
        "for w in string.gmatch(('('):rep(1e6),'%b()') do end",
        "local s=('x'):rep(5e7) while true do local a=s:upper() end",
        "local s=('x'):rep(3e7) while true do local a=s..'y' end",
        "local t={} for i=1,1e6 do t[i]=i end while true do table.insert(t,1,0) table.remove(t,1) end",
        "local t={} for i=1,1e6 do t[i]='x' end while true do table.concat(t) end",
        "local t={} for i=1,1e6 do t[i]='x' end while true do cjson.encode(t) end",
        "local t={} for i=1,1e5 do t[i]='x' end while true do cmsgpack.unpack(cmsgpack.pack(t)) end",
        "local t={} for i=1,1e6 do t[i]='x' end while true do collectgarbage() end",
        "local t={} for i=1,1e6 do t[i]='x' end while true do table.maxn(t) end",
        "local t={} for i=1,2e5 do t[i]=i%2 end while true do table.sort(t,rawequal) table.sort(t) end",
        "local t={} t.t=t while true do pcall(cjson.encode,t) end",
        "local t={} for i=1,7000 do t[i]=1 end while true do local a={unpack(t)} end",
    ];
    let mut state = state(LIMIT);
    for script in scripts {
        let start = Instant::now();
        let mut host = Deadline::after(Duration::from_millis(30));
        let reply = evaluate(&mut state, &mut host, script.as_bytes(), Protocol::Resp2);
        let reply = reply.escape_ascii().to_string();
        assert!(reply.contains(KILLED), "{script}\n{}", &reply[..reply.len().min(300)]);
        // A build without optimization takes its time for some millions of elements.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{script}: {took:?}");
    }
    assert_whole(&mut state);
}

#[test]
fn a_panic_of_the_host_comes_through() {
    struct Panics;
    impl Host for Panics {
        fn call(&mut self, _: &[&[u8]], _: Protocol) -> &[u8] {
            panic!("host");
        }
        fn log(&mut self, _: LogLevel, _: &[u8]) {}
        fn set_replication(&mut self, _: u8) {}
        fn may_call(&mut self, _: &[&[u8]]) -> Option<bool> {
            None
        }
        fn register(&mut self, _: Registration<'_>) -> Result<(), Vec<u8>> {
            Ok(())
        }
        fn note_error(&mut self, _: &[u8]) {}

        fn interrupt(&mut self) -> Interrupt {
            Interrupt::Continue
        }
    }
    let mut state = state(LIMIT);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        evaluate(&mut state, &mut Panics, b"pcall(redis.call,'get') return 1", Protocol::Resp2)
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"host"));
    assert_whole(&mut state);
}
