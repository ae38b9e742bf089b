//! The tools as programs: their output, their requests and their exit status. Output of redis-cli for
//! the same task is compared byte for byte.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Output;
use std::thread;
use std::time::Duration;

use common::Server;
use common::tool::{CLI, Dialogue, run, text};
use serde_json::Value as Json;

const BENCHMARK: &str = env!("CARGO_BIN_EXE_verbena-benchmark");

/// From Debian's redis-tools.
const REDIS_CLI: &str = "redis-cli";

/// Asserts that verbena-cli writes and returns what redis-cli does.
fn same_as_redis_cli(port: u16, line: &str, more: &[&str], input: &[u8]) {
    let line = format!("-p {port} {line}");
    let show = |output: Output| {
        // A connection that the server ends may break before or after the last reply.
        let errors = text(&output.stderr)
            .replace("to Redis at", "to Verbena at")
            .replace("Connection reset by peer", "Server closed the connection");
        (text(&output.stdout), errors, output.status.code())
    };
    let expected = show(run(REDIS_CLI, &line, more, input));
    let actual = show(run(CLI, &line, more, input));
    assert_eq!(actual, expected, "{line} {more:?} < {:?}", text(input));
}

/// A server that answers a command whose last argument is N with the Nth of `replies`, and
/// everything else with OK.
fn canned_server(replies: &'static [&'static [u8]]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(stream, replies));
        }
    });
    port
}

fn answer(stream: TcpStream, replies: &[&[u8]]) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // No argument here has a line break in it.
    while let Some(header) = lines.next() {
        let count: usize = header.strip_prefix('*')?.parse().ok()?;
        let args: Vec<String> = (0..count).map_while(|_| lines.nth(1)).collect();
        let index = args.last().and_then(|arg| arg.parse::<usize>().ok());
        let handshake = args.first().is_some_and(|name| name == "HELLO");
        let reply = index.filter(|_| !handshake).map_or(&b"+OK\r\n"[..], |index| replies[index]);
        writer.write_all(reply).ok()?;
    }
    Some(())
}

/// Every type that redis-cli 7.0 knows, alone and nested.
const REPLIES: &[&[u8]] = &[
    b"+Status \"q\"\r\n",
    b"+\r\n",
    b"-ERR wrong \"number\"\r\n",
    b":-1\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"~0\r\n",
    b"%0\r\n",
    b"_\r\n",
    b"#t\r\n",
    b"#f\r\n",
    b",1.5\r\n",
    b",-0\r\n",
    b",inf\r\n",
    b",1e+50\r\n",
    b"$11\r\n\x00\x01\xff\n\t\r\x07\x08\x0c\\\x7f\r\n",
    b"$6\r\nh\xc3\xa9llo\r\n",
    b"=8\r\ntxt:a\nb\n\r\n",
    b"*3\r\n*0\r\n%0\r\n~0\r\n",
    b"*2\r\n-ERR a\r\n$-1\r\n",
    b"*12\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n*2\r\n:1\r\n*1\r\n:1\r\n%1\r\n:1\r\n%1\r\n:2\r\n:3\r\n*1\r\n_\r\n",
    b"*2\r\n=7\r\ntxt:a\nb\r\n:1\r\n",
    b"%2\r\n*1\r\n:1\r\n*2\r\n:1\r\n:2\r\n$1\r\na\r\n%1\r\n+x\r\n~2\r\n+y\r\n+z\r\n",
    b"%3\r\n:1\r\n#t\r\n#f\r\n,2.5\r\n_\r\n$-1\r\n",
    b"%1\r\n%2\r\n:1\r\n:2\r\n:3\r\n:4\r\n:7\r\n",
    b"%1\r\n:1\r\n%1\r\n:1\r\n%2\r\n:1\r\n:2\r\n:3\r\n:4\r\n",
    b"%1\r\n:1\r\n*1\r\n*1\r\n:6\r\n",
    b"%1\r\n-ERR e\r\n-ERR v\r\n",
    b"~2\r\n*2\r\n:1\r\n:2\r\n%1\r\n:1\r\n*2\r\n:1\r\n:2\r\n",
    b">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n+after a push\r\n",
];

#[test]
fn replies_are_written_as_redis_cli_writes_them() {
    let port = canned_server(REPLIES);
    let lines: String = (0..REPLIES.len()).map(|index| format!("x {index}\n")).collect();
    for style in ["--no-raw", "--raw", "-d ,", "-D |", "--csv", "--json", "--quoted-json"] {
        // (In quoted JSON redis-cli writes a quotation mark that no parser accepts.)
        let lines = match style {
            "--quoted-json" => lines.replace("x 0\n", "").replace("x 2\n", ""),
            _ => lines.clone(),
        };
        same_as_redis_cli(port, style, &[], lines.as_bytes());
    }
    // Some texts are written as they are, in every style.
    let lines = ["info", "client list", "cluster nodes", "memory doctor", "lolwut", "object help"];
    let lines = lines.map(|command| {
        (0..REPLIES.len()).map(|index| format!("{command} {index}\n")).collect::<String>()
    });
    for style in ["--no-raw", "--raw", "--csv", "-d , -D |"] {
        same_as_redis_cli(port, style, &[], lines.concat().as_bytes());
    }
}

/// Lines of a session, with replies of all kinds that are the same each time.
const SESSION: &str = r#"
flushall
set 'a b' "c\x41\n\q\t"
get 'a b'
get 'a b'x
"unclosed
set '' 'it\'s \n'
get ''
append '' "\xff\x00é"
get ''
foo bar
incr n
  3 incr	n  
get nosuch
mget n nosuch
rpush l a b c
lrange l 0 -1
lrange nosuch 0 -1
hset h f v g w
hgetall h
sadd s m
smembers s
zadd z 1 a 2.5 b
zrange z 0 -1 withscores
zscore z b
xadd x 1-1 f v
xrange x - +
xinfo stream x full
config get maxmemory-policy
command info get
object encoding n
multi
get n
foo
exec
multi
get n
exec
select 1
dbsize
select 99
select 0
dbsize
client getname
client kill type normal skipme no
ping
get n
quit
get n
"#;

#[test]
fn a_session_is_written_as_by_redis_cli() {
    let oracle = Server::oracle(&[]);
    for protocol in ["-2", "-3"] {
        for style in ["--no-raw", "--raw", "--csv", "--json"] {
            let options = format!("{protocol} {style}");
            same_as_redis_cli(oracle.port(), &options, &[], SESSION.as_bytes());
        }
    }
}

#[test]
fn one_command_ends_as_with_redis_cli() {
    let oracle = Server::oracle(&[]);
    let port = oracle.port();
    oracle.connect().run("SET a 1");
    for line in [
        "ping",
        "foo",
        "-e foo",
        "-e --json foo",
        "-e get a",
        "-r 3 echo hello",
        "-r 2 -i 0.01 get a",
        "-r 2 -D | mget a nosuch",
        "-d X mget a nosuch",
        "-n 5 get a",
        "-n 99 get a",
        "-a wrong get a",
        "-a wrong --no-auth-warning get a",
        "--user u --pass wrong get a",
        "--csv --raw get a",
        "--eval /nosuch a",
        "--scan",
        "--scan --pattern b* --count 5",
        "--no-raw --scan --pattern a",
        "get -1",
        "client kill type normal skipme no",
        "subscribe",
        "quit",
    ] {
        // (--count is newer than Debian's redis-cli.)
        if line.contains("--count") {
            continue;
        }
        same_as_redis_cli(port, line, &[], b"");
    }
    let uri = format!("-u redis://127.0.0.1:{port}/5");
    same_as_redis_cli(port, &uri, &["get", "a"], b"");
    same_as_redis_cli(port, "-x set", &["from stdin"], b"a\0b\n");
    same_as_redis_cli(port, "get", &["from stdin"], b"");
    same_as_redis_cli(port, "-X TAG set a TAG", &[], b"tagged");
    same_as_redis_cli(port, "-X TAG set a b", &[], b"tagged");
    same_as_redis_cli(port, "--quoted-input set", &["\"a\\x00b\"", "plain"], b"");
    same_as_redis_cli(port, "--pipe", &[], b"SET a 1\r\nFOO\r\n*1\r\n$4\r\nPING\r\nGET a");
    same_as_redis_cli(port, "--pipe", &[], b"");
}

#[test]
fn an_unreachable_server_is_named() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    for (line, input) in [("ping", ""), ("", "ping\n"), ("-s /nosuch/socket ping", "")] {
        same_as_redis_cli(free, line, &[], input.as_bytes());
    }
    let output = run(BENCHMARK, &format!("-p {free} -t get"), &[], b"");
    let expected =
        format!("GET: Could not connect to Verbena at 127.0.0.1:{free}: Connection refused\n");
    assert_eq!((text(&output.stderr), output.status.code()), (expected, Some(1)));
}

#[test]
fn a_mistake_on_the_command_line_ends_with_status_1() {
    for program in [CLI, BENCHMARK] {
        let output = run(program, "--bogus", &[], b"");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("--bogus"));
        for line in ["--help", "--version"] {
            assert_eq!(run(program, line, &[], b"").status.code(), Some(0));
        }
    }
}

#[test]
fn the_biggest_keys_are_found() {
    let oracle = Server::oracle(&[]);
    let mut client = oracle.connect();
    client.run("RPUSH small a b");
    client.run("RPUSH big a b c");
    client.run("SET string 12345");
    let output = text(&run(CLI, &format!("-p {} --bigkeys", oracle.port()), &[], b"").stdout);
    for line in [
        "Sampled 3 keys in the keyspace!",
        "Total key length in bytes is 14 (avg len 4.67)",
        "Biggest   list found '\"big\"' has 3 items",
        "Biggest string found '\"string\"' has 5 bytes",
        "2 lists with 5 items (66.67% of keys, avg size 2.50)",
        "0 zsets with 0 members (00.00% of keys, avg size 0.00)",
    ] {
        assert!(output.lines().any(|found| found == line), "no {line:?} in\n{output}");
    }
}

#[test]
fn pipe_sends_a_hundred_thousand_commands_over_tcp_and_unix() {
    const COMMANDS: usize = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let server = Server::start(&["--unixsocket", socket.to_str().unwrap()]);
    let mut input = Vec::new();
    for index in 0..COMMANDS {
        // Protocol, and lines of text.
        match index % 2 {
            0 => write!(input, "SET key:{index} value\r\n").unwrap(),
            _ => write!(
                input,
                "*3\r\n$3\r\nSET\r\n${}\r\nkey:{index}\r\n$5\r\na\r\nb \r\n",
                format!("key:{index}").len()
            )
            .unwrap(),
        }
    }
    let expected = format!(
        "All data transferred. Waiting for the last reply...\n\
         Last reply received from server.\nerrors: 0, replies: {COMMANDS}\n"
    );
    for line in [format!("-p {} --pipe", server.port()), format!("-s {} --pipe", socket.display())]
    {
        let mut client = server.connect();
        client.run("FLUSHALL");
        let output = run(CLI, &line, &[], &input);
        assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(client.run("DBSIZE").integer(), COMMANDS as i64);
    }
}

#[test]
fn pipe_counts_errors() {
    let server = Server::start(&[]);
    let line = format!("-p {} --pipe", server.port());
    let output = run(CLI, &line, &[], b"SET a 1\r\nNOSUCH\r\nGET a\r\n");
    assert!(text(&output.stdout).ends_with("errors: 1, replies: 3\n"));
    assert_eq!(output.status.code(), Some(1));
    // An incomplete command gets no reply.
    let line = format!("{line} --pipe-timeout 1");
    let output = run(CLI, &line, &[], b"*2\r\n$3\r\nGET\r\n$100\r\nabc");
    assert_eq!(text(&output.stderr), "No replies for 1 seconds: exiting.\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_prompt_shows_the_server_and_the_database() {
    let server = Server::start(&[]);
    let port = server.port();
    let mut person = Dialogue::on_terminal(&format!("-p {port}"));
    let here = format!("127.0.0.1:{port}> ");
    let elsewhere = format!("127.0.0.1:{port}[1]> ");
    person.sees(&here);
    for (line, reply, prompt) in [
        ("set a \"b c\"", "OK\n", &here),
        ("get a", "\"b c\"\n", &here),
        ("select 1", "OK\n", &elsewhere),
        ("2 get a", "(nil)\n(nil)\n", &elsewhere),
        ("\"", "Invalid argument(s)\n", &elsewhere),
    ] {
        person.writes(line);
        assert_eq!(person.sees(prompt), format!("{line}\n{reply}{prompt}"));
    }
    drop(server);
    person.writes("ping");
    assert!(person.sees("not connected> ").contains("Error: "));
    person.writes("ping");
    assert!(person.sees("not connected> ").contains("Connection refused"));
    person.writes("exit");
    assert!(person.ends().1.success());
}

/// Runs the benchmark, with one JSON object for each test.
fn benchmark(line: &str) -> Vec<Json> {
    let output = run(BENCHMARK, &format!("{line} --json"), &[], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_benchmark_sends_the_requests_that_it_reports() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let server = Server::start(&["--unixsocket", socket.to_str().unwrap()]);
    let mut client = server.connect();
    let mut incremented = 0;
    for (options, transport, clients, pipeline) in [
        (format!("-p {} -c 7 -P 16", server.port()), "tcp", 7, 16),
        (format!("-s {} -c 3 --threads 2", socket.display()), "unix", 3, 1),
        (format!("-p {} -c 5 -k 0 -P 3", server.port()), "tcp", 5, 3),
        (format!("-p {} -c 2 -3 -P 1000", server.port()), "tcp", 2, 1000),
    ] {
        let results = benchmark(&format!("{options} -n 1001 --warmup-requests 500 -t incr"));
        let [result] = &results[..] else { panic!("{results:?}") };
        assert_eq!(result["test"], "INCR");
        assert_eq!(result["transport"], transport);
        assert_eq!(result["clients"], clients);
        assert_eq!(result["pipeline"], pipeline);
        assert_eq!(result["size"], 3);
        assert_eq!(result["requests"], 1001);
        assert_eq!(result["errors"], 0);
        let number = |name: &str| result[name].as_f64().unwrap();
        assert!(number("ops_per_sec") > 0.0);
        assert!(number("p50_us") > 0.0);
        assert!(number("p50_us") <= number("p99_us"));
        assert!(number("p99_us") <= number("p999_us"));
        assert!(number("p999_us") <= number("max_us"));
        let rate = 1001.0 / number("seconds");
        assert!((number("ops_per_sec") - rate).abs() <= rate * 1e-3 + 0.01);
        incremented += 1501;
        assert_eq!(client.run("GET counter:000000000000").text(), incremented.to_string());
    }
}

#[test]
fn the_benchmark_fills_a_keyspace() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let port = server.port();
    benchmark(&format!("-p {port} -n 5000 -r 5000 --sequential -P 7 -c 3 -d 100 --dbnum 2 -t set"));
    client.run("SELECT 2");
    assert_eq!(client.run("DBSIZE").integer(), 5000);
    assert_eq!(client.run("STRLEN key:000000004999").integer(), 100);
    // A long value takes another way through the client.
    benchmark(&format!("-p {port} -n 10 -c 2 -P 2 -d 3000000 -t set,get"));
    assert_eq!(server.connect().run("STRLEN key:000000000000").integer(), 3_000_000);
}

#[test]
fn the_benchmark_runs_a_command_of_the_user() {
    let server = Server::start(&[]);
    let port = server.port();
    let line = format!("-p {port} -n 100 -r 10 --sequential -q -x set");
    let output = run(BENCHMARK, &line, &["a:__rand_int__"], b"from stdin");
    assert!(text(&output.stdout).contains("requests per second"), "{output:?}");
    let mut client = server.connect();
    assert_eq!(client.run("DBSIZE").integer(), 10);
    assert_eq!(client.run("GET a:000000000009").text(), "from stdin");
}

#[test]
fn the_benchmark_counts_a_transaction_once() {
    for server in [Server::oracle(&[]), Server::start(&[])] {
        let port = server.port();
        for options in ["-P 16", "-P 3 --rate 5000", "-d 20000"] {
            server.connect().run("FLUSHALL");
            let line = format!("-p {port} -c 5 -n 200 {options} -r 2000 --sequential -t multi");
            let [result] = &benchmark(&line)[..] else { panic!() };
            assert_eq!(result["test"], "MULTI");
            assert_eq!((&result["requests"], &result["errors"]), (&200.into(), &0.into()));
            assert_eq!(server.connect().run("DBSIZE").integer(), 2000);
        }
        // A command that is refused ends the test.
        server.connect().run("CONFIG SET maxmemory 1");
        let output = run(BENCHMARK, &format!("-p {port} -n 10 -t multi"), &[], b"");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("Error from server: OOM "), "{output:?}");
    }
}

#[test]
fn the_benchmark_reports_errors_clearly() {
    let server = Server::start(&[]);
    let port = server.port();
    let output = run(BENCHMARK, &format!("-p {port} -n 100 nosuch arg"), &[], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr)
            .starts_with("nosuch arg: Error from server: ERR unknown command 'nosuch'"),
        "{output:?}"
    );
    let result = benchmark(&format!("-p {port} -n 100 -e"));
    assert_eq!(result.len(), 23);
    let output = run(BENCHMARK, &format!("-p {port} -n 100 -e --json nosuch"), &[], b"");
    let result: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["errors"], &result["requests"]), (&100.into(), &100.into()));
    let output = run(BENCHMARK, &format!("-p {port} -t gett"), &[], b"");
    assert!(text(&output.stderr).contains("there is no test 'gett'"));
}

#[test]
fn the_csv_has_the_columns_of_redis_benchmark() {
    let server = Server::start(&[]);
    let line = format!("-p {} -n 200 -t set,get --csv", server.port());
    let output = text(&run(BENCHMARK, &line, &[], b"").stdout);
    let lines: Vec<Vec<&str>> = output
        .lines()
        .map(|line| line.split(',').map(|cell| cell.trim_matches('"')).collect())
        .collect();
    assert_eq!(
        lines[0][..8],
        [
            "test",
            "rps",
            "avg_latency_ms",
            "min_latency_ms",
            "p50_latency_ms",
            "p95_latency_ms",
            "p99_latency_ms",
            "max_latency_ms"
        ]
    );
    assert_eq!((lines.len(), lines[1][0], lines[2][0]), (3, "SET", "GET"));
    assert!(lines[1][1..].iter().all(|cell| cell.parse::<f64>().is_ok()), "{output}");
}

#[test]
fn the_open_loop_sends_each_request_once_at_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let server = Server::start(&["--unixsocket", socket.to_str().unwrap()]);
    let mut client = server.connect();
    let mut incremented = 0;
    for options in [
        format!("-p {} -c 7 -P 16", server.port()),
        format!("-s {} -c 3 --threads 2", socket.display()),
        format!("-p {} -c 50 -3", server.port()),
    ] {
        let options = format!("{options} -n 1001 --rate 4000 --warmup-requests 100 -t incr");
        let [result] = &benchmark(&options)[..] else { panic!("{options}") };
        let number = |name: &str| result[name].as_f64().unwrap();
        assert_eq!((number("requests"), number("unsent"), number("rate")), (1001.0, 0.0, 4000.0));
        // A busy machine may be slower. Five standard errors of the time at which the last of 1001
        // requests is due are 16 %.
        assert!(number("ops_per_sec") < 4800.0, "{result}");
        assert!(number("send_delay_p50_us") <= number("p50_us"), "{result}");
        assert!(number("send_delay_max_us") <= number("max_us"), "{result}");
        incremented += 1101;
        assert_eq!(client.run("GET counter:000000000000").text(), incremented.to_string());
    }
}

/// A server that answers each line that begins with `*` with OK, after `wait` of its number.
fn slow_server(wait: fn(usize) -> Duration) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            for (index, _) in lines.filter(|line| line.starts_with('*')).enumerate() {
                thread::sleep(wait(index));
                if stream.write_all(b"+OK\r\n").is_err() {
                    break;
                }
            }
        }
    });
    port
}

#[test]
fn latency_in_the_open_loop_counts_from_when_a_request_was_due() {
    // Of 400 requests in 400 ms, those of the first 300 ms wait for the first one.
    let port = slow_server(|index| Duration::from_millis(if index == 0 { 300 } else { 0 }));
    let run = |depth: u32| {
        let line = format!("-p {port} -c 1 -P {depth} -n 400 --rate 1000 -t ping_mbulk");
        let [result] = <[_; 1]>::try_from(benchmark(&line)).expect("one result");
        let number = |name: &str| result[name].as_f64().unwrap();
        assert!(number("max_us") >= 290e3, "{result}");
        assert!(number("p50_us") >= 60e3, "{result}");
        number("send_delay_p50_us") / number("p50_us")
    };
    // With one request in flight the others are sent late, else they are only answered late, unless the
    // machine holds the sender up, which it does not do every time.
    assert!(run(1) > 0.5);
    let shares: Vec<f64> = (0..10).map(|_| run(1000)).take_while(|share| *share >= 0.5).collect();
    assert!(shares.len() < 10, "{shares:?}");
}

#[test]
fn the_open_loop_says_how_many_requests_could_not_be_sent() {
    let port = slow_server(|_| Duration::from_millis(10));
    let line = format!("-p {port} -c 1 --rate 1000 --duration 0.5 -t ping_mbulk");
    let [result] = &benchmark(&line)[..] else { panic!() };
    let (requests, unsent) =
        (result["requests"].as_u64().unwrap(), result["unsent"].as_u64().unwrap());
    assert!((1..=51).contains(&requests), "{result}");
    // Five standard deviations of the number that is due in half a second are 112.
    assert!((388..=612).contains(&(requests + unsent)), "{result}");
    let output = run(BENCHMARK, &line, &[], b"");
    let output = text(&output.stdout);
    assert!(output.contains("  open loop: 1000 requests per second were due"), "{output}");
    assert!(output.contains(" requests were due and could not be sent\n"), "{output}");
    let output = text(&run(BENCHMARK, &format!("{line} -q"), &[], b"").stdout);
    assert!(output.contains(" due per second, ") && output.contains(" could not be sent\n"));
    let output = text(&run(BENCHMARK, &format!("{line} --csv"), &[], b"").stdout);
    let lines: Vec<&str> = output.lines().collect();
    let [head, row] = lines[..] else { panic!("{output}") };
    assert!(head.ends_with("\"rate\",\"unsent\",\"p99_send_delay_ms\""));
    assert_eq!(head.split(',').count(), row.split(',').count());
}

#[test]
fn a_rate_that_cannot_be_kept_is_refused() {
    for (line, reason) in [
        ("--rate 0", "not a number of requests per second"),
        ("--rate many", "not a number of requests per second"),
        ("--rate 10 -k 0", "--rate keeps the connections, and -k 0 does not"),
        ("--rate 10 -I", "cannot be used with"),
    ] {
        let output = run(BENCHMARK, line, &[], b"");
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text(&output.stderr).contains(reason), "{line}: {}", text(&output.stderr));
    }
}
