//! Replies beside the real Valkey's. What scripts compute is compared in tests/lua.rs.

use crate::common::{Server, assert_same_replies};

const LIBRARY: &str = "#!lua name=lib\n\
     redis.register_function('put', function(k, a) return redis.call('set', k[1], a[1]) end)\n\
     redis.register_function{function_name='get', flags={'no-writes'}, \
     callback=function(k) return redis.call('get', k[1]) end}";

/// Words between bars.
const COMMANDS: &[&str] = &[
    "EVAL|return {KEYS[1], ARGV[1], #KEYS, #ARGV}|1|a|b|c",
    "EVAL|return 1|-1",
    "EVAL|return 1|2|a",
    "EVAL|return 1|x",
    "EVAL|return 1",
    "EVAL||0",
    "EVAL|return (|0",
    "EVAL|return redis.call('nope')|0",
    "EVAL|return redis.call('get')|0",
    "EVAL|return redis.call('subscribe', 'a')|0",
    "EVAL|return redis.call('multi')|0",
    "EVAL|return redis.call('eval', 'return 1', 0)|0",
    "EVAL|return redis.call('script', 'flush')|0",
    "EVAL|return redis.call('function', 'list')|0",
    "EVAL|return redis.call('lpop', 'a', 'b')|0",
    "EVAL|return redis.pcall('lpop', 'a', 'b')|0",
    "EVAL|return redis.error_reply('MINE of my own')|0",
    "EVAL|return {redis.error_reply('MINE inside')}|0",
    "EVAL|error({err='MINE raised'})|0",
    "EVAL|return redis.call('blpop', 'none', 0)|0",
    "EVAL|return redis.call('xread', 'block', 0, 'streams', 'none', '$')|0",
    "EVAL|return redis.call('ping')|0",
    "EVAL|return redis.call('publish', 'c', 'm')|0",
    "EVAL|redis.call('select', 3) return redis.call('set', 'third', 'x')|0",
    "GET|third",
    "SELECT|3",
    "GET|third",
    "SELECT|0",
    "EVAL_RO|return redis.call('set', 'a', 'b')|0",
    "EVAL_RO|return redis.call('get', 'a')|0",
    "EVAL|#!lua\nreturn redis.call('set', KEYS[1], 1)|1|a",
    "EVAL|#!lua flags=no-writes\nreturn redis.call('set', 'a', 'b')|0",
    "EVAL|#!lua flags=no-writes,allow-stale\nreturn redis.call('get', 'a')|0",
    "EVAL_RO|#!lua\nreturn 1|0",
    "EVAL_RO|#!lua flags=no-writes\nreturn 1|0",
    "EVAL|#!lua flags=bad\nreturn 1|0",
    "EVAL|#!js\nreturn 1|0",
    "EVAL|#!lua foo=1\nreturn 1|0",
    "EVAL|#!lua|0",
    "EVAL|return redis.acl_check_cmd('set', 'a', 'b')|0",
    "EVAL|return redis.acl_check_cmd('nope')|0",
    "EVAL|redis.log(redis.LOG_NOTICE, 'hello') return 1|0",
    "EVALSHA|abc|0",
    "EVALSHA|e0e1f9fabfc9d4800c877a703b823ac0578ff8db|0",
    "SCRIPT|LOAD|return 1",
    "EVALSHA|E0E1F9fabfc9d4800c877a703b823ac0578ff8db|0",
    "EVALSHA_RO|e0e1f9fabfc9d4800c877a703b823ac0578ff8db|0",
    "SCRIPT|EXISTS|e0e1f9fabfc9d4800c877a703b823ac0578ff8db|x|E0E1F9FABFC9D4800C877A703B823AC0578FF8DB",
    "SCRIPT|SHOW|e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    "SCRIPT|SHOW|x",
    "SCRIPT|LOAD|return (",
    "SCRIPT|FLUSH|NOW",
    "SCRIPT|FLUSH|SYNC|SYNC",
    "SCRIPT|FLUSH|ASYNC",
    "SCRIPT|EXISTS|e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
    "SCRIPT|KILL",
    "SCRIPT|HELP",
    "SCRIPT|NOPE",
    "SCRIPT",
    "FUNCTION|KILL",
    "FUNCTION|STATS",
    "FUNCTION|HELP",
    "FUNCTION|LOAD|x",
    "FUNCTION|LOAD|#!lua name=empty\n",
    "FUNCTION|LOAD|#!lua\nreturn 1",
    "FUNCTION|LOAD|#!js name=a\n",
    "FUNCTION|LOAD|#!lua name=a-b\n",
    "FUNCTION|LOAD|#!lua name=a name=b\n",
    "FUNCTION|LOAD|#!lua name=a foo=b\n",
    "FUNCTION|LOAD|#!lua name=a\nredis.call('get', 'x')",
    "FUNCTION|LOAD|#!lua name=a\nnot lua",
    "FUNCTION|LOAD|#!lua name=a\nredis.register_function('a b', function() end)",
    "FUNCTION|LOAD|NOW|#!lua name=a\n",
    "FUNCTION|LOAD|#!lua name=a\nredis.register_function('x', function() end) redis.register_function('x', function() end)",
    "FCALL|none|0",
    "FUNCTION|LIST",
    "MODULE|LIST",
    "COMMAND|GETKEYS|EVAL|x|2|a|b|c",
    "COMMAND|GETKEYS|EVAL|x|0",
    "COMMAND|GETKEYS|EVAL|x|3|a",
    "COMMAND|INFO|EVAL|EVAL_RO|EVALSHA|EVALSHA_RO|FCALL|FCALL_RO",
    "COMMAND|INFO|SCRIPT|LOAD",
];

#[test]
fn scripts_are_called_kept_and_refused_as_by_valkey() {
    let (ours, theirs) = (Server::start(&[]), Server::oracle(&[]));
    for protocol in ["HELLO|2", "HELLO|3"] {
        let commands =
            [protocol, "FLUSHALL", "SCRIPT|FLUSH"].into_iter().chain(COMMANDS.iter().copied());
        assert_same_replies(&ours, &theirs, commands);
    }
    let [ours, theirs] = [ours, theirs].map(|server| {
        let mut client = server.connect();
        let stats = client.run("INFO commandstats errorstats").text();
        let counts = |line: &str| {
            let (name, fields) = line.split_once(':').unwrap();
            let fields: Vec<_> =
                fields.split(',').filter(|field| !field.starts_with("usec")).collect();
            format!("{name}:{}", fields.join(","))
        };
        let lines = stats.lines().filter(|line| line.contains(':')).map(counts);
        let mut lines: Vec<_> = lines
            .filter(|line| !line.contains("cmdstat_info") && !line.contains("cmdstat_config"))
            .collect();
        lines.sort();
        lines
    });
    assert_eq!(ours, theirs);
}

#[test]
fn libraries_are_loaded_called_replaced_dumped_and_restored_as_by_valkey() {
    let (ours, theirs) = (Server::start(&[]), Server::oracle(&[]));
    let load = format!("FUNCTION|LOAD|{LIBRARY}");
    let other = "FUNCTION|LOAD|#!lua name=other\nredis.register_function('get', function() end)";
    let replaces = "FUNCTION|LOAD|REPLACE|#!lua name=lib\nlocal n = 0 \
                    redis.register_function('count', function() n = n + 1 return n end)";
    assert_same_replies(
        &ours,
        &theirs,
        [
            &load,
            &load,
            other,
            "FCALL|put|1|a|b",
            "FCALL|get|1|a",
            "FCALL_RO|get|1|a",
            "FCALL_RO|put|1|a|c",
            "FCALL|put|2|a",
            "FCALL|put|-1|a",
            "FCALL|put|x",
            "FUNCTION|LIST|WITHCODE|WITHCODE",
            "FUNCTION|LIST|LIBRARYNAME",
            "FUNCTION|LIST|LIBRARYNAME|O*",
            "FUNCTION|STATS",
            replaces,
            "FCALL|get|1|a",
            "FCALL|count|0",
            "FCALL|count|0",
            "FUNCTION|LIST|LIBRARYNAME|L?B|WITHCODE",
            other,
            "FUNCTION|RESTORE|x",
            "FUNCTION|RESTORE|x|NEVER",
            "FUNCTION|RESTORE|x|FLUSH|FLUSH",
            "FUNCTION|DELETE|none",
            "FUNCTION|DELETE|other",
            "FUNCTION|FLUSH|NOW",
            "FUNCTION|STATS",
            "MULTI",
            "FCALL|count|0",
            "EVAL|return redis.call('get', KEYS[1])|1|a",
            "EXEC",
            "FUNCTION|FLUSH|SYNC",
            "FUNCTION|LIST",
            "FCALL|count|0",
        ],
    );
}

#[test]
fn a_dump_is_restored_by_either_server_as_its_policy_says() {
    let servers = [Server::start(&[]), Server::oracle(&[])];
    let mut clients = servers.each_ref().map(Server::connect);
    let dumps = clients.each_mut().map(|client| {
        client.command(&["FUNCTION", "LOAD", LIBRARY]);
        client.run("FUNCTION DUMP").bytes().to_vec()
    });
    // Each restores the other's, which may be compressed otherwise.
    for (client, dump) in clients.iter_mut().zip(dumps.iter().rev()) {
        let reply = client.command(&[b"FUNCTION", &b"RESTORE"[..], dump, b"REPLACE"]);
        assert!(reply.is("OK"), "{reply:?}");
    }
    let restore = |policy: &'static [u8]| [&b"FUNCTION"[..], b"RESTORE", &dumps[0], policy];
    let other = "#!lua name=other\nredis.register_function('put', function() end)";
    let steps: [(&[u8], &str); 5] = [
        (b"APPEND", ""),
        (b"REPLACE", ""),
        (b"FLUSH", ""),
        // A library of another name has one of the functions: nothing changes.
        (b"APPEND", other),
        (b"REPLACE", other),
    ];
    for (policy, library) in steps {
        let replies = clients.each_mut().map(|client| {
            if !library.is_empty() {
                client.run("FUNCTION FLUSH");
                client.command(&["FUNCTION", "LOAD", library]);
            }
            let reply = client.command(&restore(policy));
            let names = client.run("FUNCTION STATS");
            (reply, names)
        });
        assert_eq!(replies[0], replies[1], "{policy:?} {library}");
    }
    let mut broken = dumps[0].clone();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    for payload in [&broken[..], &dumps[0][1..], b""] {
        let command = [b"FUNCTION", &b"RESTORE"[..], payload];
        let [ours, theirs] = clients.each_mut().map(|client| client.command(&command));
        assert_eq!(ours, theirs);
        ours.error();
    }
}

#[test]
fn scripts_that_nobody_loads_are_forgotten_in_the_order_of_their_use() {
    let servers = [Server::start(&[]), Server::oracle(&[])];
    let figures = servers.each_ref().map(|server| {
        let mut client = server.connect();
        let loaded = client.command(&["SCRIPT", "LOAD", "return 'loaded'"]).text();
        for number in 0..700 {
            client.command(&["EVAL", &format!("return {number}"), "0"]);
            if number == 400 {
                client.command(&["EVAL", "return 0", "0"]);
            }
        }
        let digest = |client: &mut crate::common::Client, text: &str| {
            client.command(&["EVAL", "return redis.sha1hex(ARGV[1])", "0", text]).text()
        };
        let (first, second) = (digest(&mut client, "return 0"), digest(&mut client, "return 1"));
        let known = client.command(&["SCRIPT", "EXISTS", &loaded, &first, &second]);
        let info = client.run("INFO memory stats").text();
        let wanted = ["number_of_cached_scripts", "evicted_scripts"];
        let lines = info.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
        (known, lines.map(str::to_owned).collect::<Vec<_>>())
    });
    assert_eq!(figures[0], figures[1]);
}

#[test]
fn a_script_and_what_it_calls_are_shown_to_monitors() {
    let servers = [Server::start(&[]), Server::oracle(&[])];
    let shown = servers.each_ref().map(|server| {
        let (mut watcher, mut client) = (server.connect(), server.connect());
        assert!(watcher.run("MONITOR").is("OK"));
        client.command(&[
            "EVAL",
            "redis.call('set', KEYS[1], 'x') return redis.call('get', 'a')",
            "1",
            "k",
        ]);
        (0..3)
            .map(|_| {
                let line = watcher.read().text();
                let (_, line) = line.split_once('[').unwrap();
                let (who, command) = line.split_once(']').unwrap();
                let who = if who.ends_with("lua") { who } else { "a client" };
                format!("{who}{command}")
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(shown[0], shown[1]);
}

#[test]
fn users_may_do_in_scripts_what_they_may_do() {
    let (ours, theirs) = (Server::start(&[]), Server::oracle(&[]));
    assert_same_replies(
        &ours,
        &theirs,
        [
            "ACL|SETUSER|bob|on|>p|+@all|-incr|~b*|resetchannels|&c*",
            "ACL|LOG|RESET",
            "AUTH|bob|p",
            "EVAL|return redis.call('set', KEYS[1], 'x')|1|b1",
            "EVAL|return redis.call('set', 'a1', 'x')|0",
            "EVAL|return redis.call('set', KEYS[1], 'x')|1|a1",
            "EVAL|return redis.pcall('incr', 'b2')|0",
            "EVAL|return redis.call('publish', 'd', 'x')|0",
            "EVAL|return {redis.acl_check_cmd('get', 'b'), redis.acl_check_cmd('get', 'a')}|0",
            "EVAL|return redis.call('acl', 'whoami')|0",
            "AUTH|default|x",
        ],
    );
    let contexts = [&ours, &theirs].map(|server| {
        let log = server.connect().run("ACL LOG");
        let field = |entry: &crate::common::Value, name: &str| {
            let parts = entry.elements();
            let pair = parts.chunks(2).find(|pair| pair[0].text() == name).unwrap();
            pair[1].text()
        };
        let entries = log.elements().iter();
        entries
            .map(|entry| ["reason", "context", "object"].map(|name| field(entry, name)))
            .collect::<Vec<_>>()
    });
    assert_eq!(contexts[0], contexts[1]);
}

#[test]
fn scripts_meet_the_limit_of_memory_as_their_flags_say() {
    let (ours, theirs) = (Server::start(&[]), Server::oracle(&[]));
    assert_same_replies(
        &ours,
        &theirs,
        [
            "SET|x|1",
            "CONFIG|SET|maxmemory|1",
            "EVAL|return redis.call('set', 'x', 1)|1|x",
            "EVAL|return redis.call('get', 'x')|1|x",
            "EVAL|redis.call('del', 'x') return redis.call('set', 'x', 2)|1|x",
            "EVAL|#!lua\nreturn 1|0",
            "EVAL|#!lua flags=allow-oom\nreturn redis.call('set', 'x', 3)|1|x",
            "EVAL|#!lua flags=no-writes\nreturn redis.call('get', 'x')|1|x",
            "MULTI",
            "EVAL|return redis.call('set', 'x', 4)|1|x",
            "EXEC",
            "CONFIG|SET|maxmemory|0",
            "GET|x",
        ],
    );
}
