//! A script is atomic, whatever other threads do; and the journal says all that it does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::Server;

const ROUNDS: usize = 400;

/// Money is moved between accounts by scripts, transactions and functions at four workers: whoever looks sees the same
/// sum.
#[test]
fn nobody_sees_the_middle_of_a_script() {
    let server = Server::start_mirrored(&["--io-threads", "4"]);
    let mut client = server.connect();
    (0..10).for_each(|account| _ = client.run(&format!("SET a{account} 100")));
    let library = "#!lua name=bank\nredis.register_function('move', function(k, a) \
         redis.call('decrby', k[1], a[1]) redis.call('incrby', k[2], a[1]) end)";
    client.command(&["FUNCTION", "LOAD", library]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let movers: Vec<_> = (0..3)
            .map(|number: usize| {
                let mut client = server.connect();
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let keys =
                            [round % 10, (round * 7 + number + 1) % 10].map(|n| format!("a{n}"));
                        let [from, to] = keys.each_ref().map(String::as_str);
                        match number {
                            0 => client.command(&["FCALL", "move", "2", from, to, "3"]),
                            1 => {
                                let script = "redis.call('decrby', KEYS[1], ARGV[1]) \
                                              for i = 1, 100 do redis.call('get', KEYS[1]) end \
                                              redis.call('incrby', KEYS[2], ARGV[1])";
                                client.command(&["EVAL", script, "2", from, to, "5"])
                            }
                            _ => {
                                client.run("MULTI");
                                client.run(&format!("DECRBY {from} 7"));
                                client.run(&format!("INCRBY {to} 7"));
                                client.run("EXEC")
                            }
                        };
                    }
                })
            })
            .collect();
        for number in 0..2 {
            let (mut client, over) = (server.connect(), &over);
            scope.spawn(move || {
                let mut looks = 0;
                while !over.load(Ordering::Relaxed) || looks == 0 {
                    let sum: i64 = match number {
                        0 => {
                            let values = client.run("MGET a0 a1 a2 a3 a4 a5 a6 a7 a8 a9");
                            values.elements().iter().map(|v| v.text().parse::<i64>().unwrap()).sum()
                        }
                        _ => {
                            let script = "local sum = 0 for i = 0, 9 do \
                                          sum = sum + redis.call('get', 'a' .. i) end return sum";
                            client.command(&["EVAL", script, "0"]).integer()
                        }
                    };
                    assert_eq!(sum, 1000);
                    looks += 1;
                }
            });
        }
        movers.into_iter().for_each(|mover| mover.join().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    server.assert_mirrored();
}

/// Scripts with effects of every kind, whose journal makes the same data.
#[test]
fn the_journal_says_what_scripts_do() {
    let server = Server::start_mirrored(&[]);
    let mut client = server.connect();
    let scripts = [
        "for i = 1, 20 do redis.call('sadd', 's', i) end return redis.call('spop', 's', 5)",
        "redis.call('set', 'e', 'x', 'px', 100000) return redis.call('expire', 'e', 50)",
        "redis.call('incrbyfloat', 'f', '0.1') redis.call('hincrbyfloat', 'h', 'f', 1.5)",
        "redis.call('select', 2) redis.call('set', 'two', 'x') redis.call('select', 0) redis.call('set', 'zero', 'y')",
        "redis.call('set', 'a', 1) redis.pcall('lpush', 'a', 1) return redis.call('incr', 'a')",
        "redis.call('rpush', 'l', 1, 2, 3) error('halfway')",
        "redis.call('xadd', 'x', '*', 'f', 'v') return redis.call('xlen', 'x')",
        "redis.call('set', 'gone', 1) redis.call('del', 'gone')",
        "return redis.call('copy', 'l', 'l2')",
        "redis.call('sort', 'l', 'store', 'sorted')",
    ];
    for script in scripts {
        client.command(&["EVAL", script, "0"]);
        client.run("MULTI");
        client.command(&["EVAL", script, "0"]);
        client.run("INCR n");
        client.run("EXEC");
        server.assert_mirrored();
    }
    // What a script keeps to itself nobody repeats.
    client.command(&["EVAL", "redis.set_repl(redis.REPL_NONE) redis.call('set', 'own', 1)", "0"]);
    let comparison = server.compare_with_journal().unwrap();
    assert_eq!(comparison.differences.len(), 1, "{comparison:?}");
    client.run("DEL own");
    client.run("SET other 1");
    server.assert_mirrored();
}

/// Clients that wait for a key are served after a script that has made it, whole.
#[test]
fn waiting_clients_are_served_after_the_script() {
    let server = Server::start(&["--io-threads", "2"]);
    let (mut waiting, mut client) = (server.connect(), server.connect());
    let id = waiting.run("CLIENT ID").integer();
    waiting.send(&["BLPOP", "l", "0"]);
    client.wait_until_blocked(id);
    let script =
        "redis.call('rpush', 'l', 'a') redis.call('lpop', 'l') redis.call('rpush', 'l', 'b')";
    client.command(&["EVAL", script, "0"]);
    assert_eq!(waiting.read().elements()[1].text(), "b");
}
