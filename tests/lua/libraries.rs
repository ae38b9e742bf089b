//! Libraries of functions beside Valkey: loads, and calls of what they have registered.

use std::sync::Arc;

use verbena::lua::{Kind, LoadError, State};
use verbena::resp::{OwnedArgs, Protocol, Reply};

use super::{LIMIT, Remote, comparable};
use crate::common::Server;

/// Bodies of libraries. Those that load register a function `f`, which is called with a key and an argument, twice.
const BODIES: &[&str] = &[
    "redis.register_function('f',function(keys,args) return {keys,args} end)",
    "server.register_function('f',function(keys,args) return #keys+#args end)",
    "local n=0 redis.register_function('f',function() n=n+1 return n end)",
    "redis.register_function('f',function() x=1 end)",
    "redis.register_function('f',function() return x end)",
    "redis.register_function('f',function() return KEYS end)",
    "redis.register_function('f',function() return redis.call('get') end)",
    "redis.register_function('f',function(keys) redis.call('set',keys[1],'v') return redis.call('get',keys[1]) end)",
    "redis.register_function('f',function() error('x') end)",
    "redis.register_function('f',function() error({err='FOO x'}) end)",
    "redis.register_function('f',function() redis.call=1 end)",
    "redis.register_function('f',function() return redis.register_function('g',function() end) end)",
    "redis.register_function('f',function() return loadstring('return _G')() end)",
    "redis.register_function('f',function() redis.setresp(3) return {double=3.5} end)",
    "redis.register_function('f',function() return _G._G==_G and 1 or 2 end)",
    "redis.register_function('f',function() local o={} for k,v in pairs(redis) do o[#o+1]=k end table.sort(o) return o end)",
    "redis.register_function('f',function() local o={} for k,v in pairs(_G) do o[#o+1]=k end table.sort(o) return o end)",
    "redis.register_function('f',redis.log)",
    "redis.register_function('f',function() return tostring(redis==server) end)",
    "local a={redis.LOG_DEBUG,redis.REDIS_VERSION,redis.REDIS_VERSION_NUM,redis.SERVER_NAME,redis.VALKEY_VERSION_NUM} redis.register_function('f',function() return a end)",
    "redis.register_function('f',function() local t={} t[1]=t return #t end)",
    "redis.register_function('f',coroutine)",
    "redis.call('get','a')",
    "redis.foo=1",
    "x=1",
    "return x",
    "string.foo=1",
    "redis.setresp(3)",
    "redis.sha1hex('a')",
    "local a=redis[1]",
    "local a=redis[{}]",
    "local a=redis.REPL_ALL",
    "error('x')",
    "return (",
    "redis.register_function()",
    "redis.register_function('f')",
    "redis.register_function('f','b')",
    "redis.register_function({},function() end)",
    "redis.register_function('f',function() end,{})",
    "redis.register_function{}",
    "redis.register_function{function_name='f'}",
    "redis.register_function{callback=function() end}",
    "redis.register_function{function_name='f',callback=function() return 5 end}",
    "redis.register_function{FUNCTION_NAME='f',CALLBACK=function() return 5 end}",
    "redis.register_function{function_name={},callback=function() end}",
    "redis.register_function{function_name='f',callback=1}",
    "redis.register_function{function_name='f',callback=function() end,foo=1}",
    "redis.register_function{function_name='f',callback=function() end,[1]=1}",
    "redis.register_function{function_name='f',callback=function() end,[true]=1}",
    "redis.register_function{function_name='f',callback=function() end,description={}}",
    "redis.register_function{function_name='f',callback=function() end,description='d'}",
    "redis.register_function{function_name='f',callback=function() end,description=1}",
    "redis.register_function{function_name='f',callback=function() end,flags='x'}",
    "redis.register_function{function_name='f',callback=function() end,flags={'x'}}",
    "redis.register_function{function_name='f',callback=function() end,flags={1}}",
    "redis.register_function{function_name='f',callback=function() end,flags={'raw-arguments'}}",
    "redis.register_function{function_name='f',callback=function() end,flags={'no-writes','no-writes','allow-oom','allow-stale','no-cluster','allow-cross-slot-keys'}}",
];

#[test]
fn libraries_load_and_run_as_at_valkey() {
    let oracle = Server::oracle(&[]);
    let mut host = Remote::new(&oracle);
    let mut client = oracle.connect();
    let mut state = State::new(Kind::Functions, LIMIT, Arc::default()).unwrap();
    let mut args = OwnedArgs::default();
    let words = args.push_words([&b"key"[..], b"argument"]);
    let args = args.args(words);
    for body in BODIES {
        let theirs = client.raw(&[
            b"FUNCTION",
            &b"LOAD"[..],
            b"REPLACE",
            format!("#!lua name=l\n{body}").as_bytes(),
        ]);
        // The first line is not Lua's: it is empty here, so that lines are counted alike.
        let loaded = state.load(&mut host, format!("\n{body}").as_bytes());
        let ours = match loaded {
            Ok(()) => b"$1\r\nl\r\n".to_vec(),
            Err(LoadError::Syntax(text)) => {
                [b"-ERR Error compiling function: ", &text[..], b"\r\n"].concat()
            }
            Err(LoadError::Run(text)) => {
                [b"-ERR Error registering functions: ", &text[..], b"\r\n"].concat()
            }
            Err(LoadError::Refused(text)) => [b"-", &text[..], b"\r\n"].concat(),
        };
        assert_eq!(comparable(&ours), comparable(&theirs), "{body}");
        let Some((_, function)) = host.functions.pop() else { continue };
        for _ in 0..2 {
            let theirs = client.raw(&["FCALL", "f", "1", "key", "argument"]);
            let mut space = vec![0; 4096];
            let mut reply = Reply::new(&mut space, Protocol::Resp2);
            let (keys, rest) = (args.until(1), args.from(1));
            if let Err(error) = state.call_function(&mut host, &function, keys, rest, &mut reply) {
                reply.error(error.text);
            }
            let written = reply.written();
            assert_eq!(comparable(&space[..written]), comparable(&theirs), "{body}");
        }
        state.forget(function);
    }
}
