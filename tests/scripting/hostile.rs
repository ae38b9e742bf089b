//! Scripts that mean harm: the server answers all along, and its memory comes back.

use crate::common::{Client, Server};

fn used_memory(client: &mut Client) -> u64 {
    let text = client.run("INFO memory").text();
    let line = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().parse().unwrap()
}

/// Ways out of the sandbox: each is an error, or gives nothing.
const ESCAPES: &[&str] = &[
    "return loadstring(string.dump(function() end))()",
    "return load('x')",
    "dofile('/etc/passwd')",
    "loadfile('/etc/passwd')()",
    "return require('os')",
    "return io.open('/etc/passwd')",
    "os.execute('true')",
    "return os.getenv('HOME')",
    "return debug.getregistry()",
    "return package.loaded",
    "redis.call = nil",
    "server.call = nil",
    "string.rep = nil",
    "rawset(redis, 'call', 1)",
    "rawset(string, 'rep', 1)",
    "setmetatable(redis, {})",
    "setmetatable(_G, {})",
    "getmetatable('').__index = nil",
    "getmetatable('').__index.rep = nil",
    "getmetatable(_G).__index = nil",
    "_G.x = 1",
    "x = 1",
    "rawset(_G, 'x', 1)",
    "setfenv(0, {})",
    "local f = getfenv(0) f.x = 1",
    "table.insert(redis, 1)",
    "cjson.decode = nil",
    "newproxy(true)",
];

#[test]
fn there_is_no_way_out_of_the_sandbox() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for escape in ESCAPES {
        let reply = client.command(&["EVAL", escape, "0"]);
        assert!(matches!(reply, crate::common::Value::Error(_)), "{escape}: {reply:?}");
        // Whatever it did, the next script finds everything in its place.
        let check = "assert(type(redis.call) == 'function' and type(server.call) == 'function') \
                     assert(string.rep('a', 2) == 'aa' and ('x'):rep(2) == 'xx') \
                     assert(cjson.decode('[1]')[1] == 1) \
                     return pcall(function() return x end)";
        let reply = client.command(&["EVAL", check, "0"]);
        assert!(matches!(reply, crate::common::Value::Null), "{escape}: {reply:?}");
    }
}

/// More memory than a script may have: it ends, and gives all of it back.
#[test]
fn a_script_without_end_of_memory_ends() {
    // The states of Lua have no more than half of the machine's memory: too much for a test, so this bounds the whole.
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.command(&["EVAL", "return 1", "0"]);
    let before = used_memory(&mut client);
    let bombs = [
        "local t = {} for i = 1, 2000000 do t[i] = {} end return #t",
        "local s = 'x' for i = 1, 27 do s = s .. s end return #s",
        "local t = {} for i = 1, 100 do t[i] = string.rep('x', 1000000) .. i end return #table.concat(t)",
        "return #cjson.encode({string.rep('x', 50000000)})",
    ];
    for bomb in bombs {
        assert!(client.command(&["EVAL", bomb, "0"]).integer() > 0, "{bomb}");
    }
    client.run("SCRIPT FLUSH SYNC");
    let after = used_memory(&mut client);
    assert!(after < before + (8 << 20), "{before} before, {after} after");
}

#[test]
fn deep_and_huge_values_are_errors_or_replies() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let scripts = [
        "local function f() return f() + 1 end return f()",
        "return cjson.encode((function() local t = {} for i = 1, 100000 do t = {t} end return t end)())",
        "return cjson.decode(string.rep('[', 100000))",
        "return cmsgpack.pack((function() local t = {} for i = 1, 100000 do t = {t} end return t end)())",
        "return cmsgpack.unpack(string.rep('\\145', 100000))",
        "return unpack({}, 0, 100000000)",
        "return {unpack({}, 1, 10000000)}",
        "return string.rep('x', 1e18)",
        "return ('x'):rep(-1)",
        "return string.format('%99999999d', 1)",
        "return struct.pack('I2147483647', 1)",
        "return struct.unpack('c2147483647', 'x')",
        "return bit.tohex(65535, -2147483648)",
        "return redis.call(unpack((function() local t = {} for i = 1, 100000 do t[i] = 'x' end return t end)()))",
        "return string.find(string.rep('(', 1000), string.rep('(', 1000))",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
        "return tostring(setmetatable({}, {__tostring = function() return 1 end}))",
        "return coroutine.wrap(function() return coroutine.wrap(function() error('x') end)() end)()",
    ];
    for script in scripts {
        client.send(&["EVAL", script, "0"]);
        let reply = client.read_raw();
        assert!(!reply.is_empty());
        assert!(client.run("PING").is("PONG"), "{script}");
    }
}

#[test]
fn a_hundred_thousand_scripts_take_the_memory_of_five_hundred() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.command(&["EVAL", "return 1", "0"]);
    let before = used_memory(&mut client);
    for batch in 0..100 {
        (0..1000)
            .for_each(|n| client.send(&["EVAL", &format!("return {}", batch * 1000 + n), "0"]));
        (0..1000).for_each(|n| assert_eq!(client.read().integer(), batch * 1000 + n));
    }
    let after = used_memory(&mut client);
    assert!(after < before + (4 << 20), "{before} before, {after} after");
}
