//! What INFO and LATENCY tell of latency and load, beside the real Valkey.

mod common;

use std::collections::BTreeMap;

use common::{Client, Server, Value, assert_same_replies};

/// Commands whose replies are the same, one a line.
const SCRIPT: &str = "
LATENCY
LATENCY nosuch
LATENCY HELP
LATENCY HELP x
LATENCY DOCTOR
LATENCY DOCTOR x
LATENCY GRAPH
LATENCY GRAPH command
LATENCY GRAPH nosuch
LATENCY HISTORY
LATENCY HISTORY command
LATENCY HISTORY nosuch
LATENCY LATEST
LATENCY LATEST x
LATENCY RESET
LATENCY RESET command nosuch
LATENCY HISTOGRAM nosuch config|nosuch nosuch|get
CONFIG SET latency-monitor-threshold 1000
LATENCY DOCTOR
LATENCY LATEST
HELLO 3
LATENCY HISTOGRAM nosuch
LATENCY DOCTOR
HELLO 2
COMMAND INFO latency
COMMAND DOCS latency
INFO nosuch
CONFIG SET latency-tracking-info-percentiles 101
CONFIG SET latency-tracking no
INFO latencystats
";

#[test]
fn the_commands_reply_as_valkey_does() {
    assert_same_replies(&Server::start(&[]), &Server::oracle(&[]), SCRIPT.lines());
}

#[test]
fn slow_commands_are_events() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.run("DEBUG SLEEP 0.06");
    assert_eq!(client.run("LATENCY LATEST").elements().len(), 0, "the monitor is off");
    client.run("CONFIG SET latency-monitor-threshold 50");
    client.run("DEBUG SLEEP 0.001");
    client.run("MULTI");
    client.run("DEBUG SLEEP 0.06");
    client.run("EXEC");
    let reply = client.run("LATENCY LATEST");
    let [event] = reply.elements() else { panic!("{reply:?}") };
    let [name, time, latest, worst, sum, count] = event.elements() else { panic!("{event:?}") };
    assert_eq!(name.text(), "command");
    assert!(time.integer() > 1_700_000_000);
    assert!(latest.integer() >= 60 && worst.integer() >= latest.integer());
    // The command, and the transaction that it is in.
    assert!(sum.integer() >= 120, "{sum:?}");
    assert_eq!(count.integer(), 2);
    let reply = client.run("LATENCY HISTORY command");
    let samples = reply.elements();
    assert!(samples.len() == 1 || samples.len() == 2, "one for each second");
    assert!(samples[0].elements()[1].integer() >= 60);
    let graph = client.run("LATENCY GRAPH command").text();
    assert!(graph.starts_with(&format!("command - high {} ms, low ", worst.integer())), "{graph}");
    assert!(client.run("LATENCY DOCTOR").text().contains("1. command: "));
    assert_eq!(client.run("LATENCY RESET fast-command nosuch").integer(), 0);
    assert_eq!(client.run("LATENCY RESET command").integer(), 1);
    assert_eq!(client.run("LATENCY RESET").integer(), 0);
}

#[test]
fn a_fast_command_that_is_slow_is_an_event_of_its_own() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.run("CONFIG SET latency-monitor-threshold 1");
    let mut elements = 0;
    let is_seen = |client: &mut Client| {
        let latest = client.run("LATENCY LATEST");
        // Others may take that long on a busy machine, too.
        latest.elements().iter().any(|event| event.elements()[0].text() == "fast-command")
    };
    // As many as take a millisecond on this machine.
    while !is_seen(&mut client) {
        elements += 20_000;
        assert!(elements < 2_000_000, "adding {elements} elements took less than a millisecond");
        let members = (0..elements).map(|number| number.to_string());
        let words = ["SADD".to_owned(), format!("set{elements}")].into_iter().chain(members);
        client.command(&words.collect::<Vec<_>>());
    }
}

/// The replies of LATENCY HISTOGRAM as calls by name.
fn calls(client: &mut Client, words: &str) -> BTreeMap<String, i64> {
    let reply = client.run(words);
    let pair = |pair: &[Value]| {
        let [calls, count, usec, steps] = pair[1].elements() else { panic!("{pair:?}") };
        assert_eq!((calls.text(), usec.text()), ("calls".into(), "histogram_usec".into()));
        let last = steps.elements().last().expect("there is a step");
        assert_eq!(last.integer(), count.integer(), "the last step has all");
        (pair[0].text(), count.integer())
    };
    reply.elements().chunks(2).map(pair).collect()
}

#[test]
fn histograms_have_the_calls_that_valkey_counts() {
    let histograms = |server: Server| {
        let (mut client, mut waiting) = (server.connect(), server.connect());
        client.run("CONFIG RESETSTAT");
        assert_eq!(calls(&mut client, "LATENCY HISTOGRAM").len(), 1, "itself, when it has ended");
        for words in ["SET a b", "SET c d", "GET a", "CLIENT ID", "CLIENT GETNAME", "SET a b c d"] {
            client.run(words);
        }
        for words in ["MULTI", "SET a b", "EXEC", "GET", "NOSUCH", "CONFIG GET maxmemory"] {
            client.run(words);
        }
        waiting.command(&["BLPOP", "nothing", "0.01"]);
        let all = calls(&mut client, "LATENCY HISTOGRAM");
        let some = calls(&mut client, "LATENCY HISTOGRAM nosuch set client config|get hset set|x");
        client.run("CONFIG SET latency-tracking no");
        client.run("HSET h f v");
        let off = calls(&mut client, "LATENCY HISTOGRAM hset get");
        client.run("CONFIG SET latency-tracking yes");
        client.run("HSET h f v");
        let on = calls(&mut client, "LATENCY HISTOGRAM hset get");
        client.run("CONFIG RESETSTAT");
        let reset = calls(&mut client, "LATENCY HISTOGRAM set get hset config|resetstat");
        [all, some, off, on, reset]
    };
    assert_eq!(histograms(Server::start(&[])), histograms(Server::oracle(&[])));
}

/// The fields of an INFO section.
fn info(client: &mut Client, section: &str) -> BTreeMap<String, String> {
    let text = client.run(&format!("INFO {section}")).text();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn percentiles_are_shown_as_configured() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut client = server.connect();
    client.run("DEBUG SLEEP 0.02");
    let stats = info(&mut client, "latencystats");
    let sleep = &stats["latency_percentiles_usec_debug"];
    let numbers: Vec<f64> = sleep
        .split(',')
        .zip(["p50=", "p99=", "p99.9="])
        .map(|(percentile, name)| percentile.strip_prefix(name).unwrap().parse().unwrap())
        .collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|us| *us >= 20_000.0), "{sleep}");
    let words = ["CONFIG", "SET", "latency-tracking-info-percentiles", "0 33.333333333 100"];
    assert!(client.command(&words).is("OK"));
    let stats = info(&mut client, "latencystats");
    let sleep = &stats["latency_percentiles_usec_debug"];
    let names: Vec<&str> = sleep.split(',').filter_map(|p| p.split('=').next()).collect();
    assert_eq!(names, ["p0", "p33.333333", "p100"]);
    assert!(stats.contains_key("latency_percentiles_usec_config|set"));
    client.run("CONFIG SET latency-tracking-info-percentiles 50");
    client.run("CONFIG RESETSTAT");
    let stats = info(&mut client, "latencystats");
    assert_eq!(stats.keys().collect::<Vec<_>>(), ["latency_percentiles_usec_config|resetstat"]);
}

/// Sections that only one of the two has: this oracle has no TLS.
const OTHER_SECTIONS: [&str; 2] = ["# TLS", "# RDMA"];

/// Section and name of each field, in the order of the reply.
fn fields(client: &mut Client) -> Vec<String> {
    let mut section = String::new();
    let mut fields = Vec::new();
    for words in ["INFO everything", "INFO debug"] {
        for line in client.run(words).text().lines() {
            if line.starts_with('#') {
                section = line.to_owned();
            } else if let Some((name, _)) = line.split_once(':') {
                fields.push(format!("{section} {name}"));
            }
        }
    }
    let is_own = |field: &str| {
        OTHER_SECTIONS.iter().any(|section| field.starts_with(section))
            || field.ends_with(" verbena_version")
            || field.contains("cmdstat_")
            || field.contains("latency_percentiles_usec_")
    };
    fields.retain(|field| !is_own(field));
    fields
}

#[test]
fn info_has_the_fields_of_valkey_in_its_order() {
    for threads in ["1", "3"] {
        let ours = fields(&mut Server::start(&["--io-threads", threads]).connect());
        let theirs = fields(&mut Server::oracle(&["--io-threads", threads]).connect());
        assert_eq!(ours, theirs);
    }
}

#[test]
fn the_load_of_the_threads_is_counted() {
    let server = Server::start(&["--io-threads", "2", "--enable-debug-command", "yes"]);
    let number = |fields: &BTreeMap<String, String>, name: &str| -> f64 {
        fields[name].parse().unwrap_or_else(|_| panic!("{name}:{}", fields[name]))
    };
    let mut client = server.connect();
    let (stats, cpu) = (info(&mut client, "stats"), info(&mut client, "cpu"));
    client.run("DEBUG SLEEP 0.05");
    client.write(&b"*1\r\n$4\r\nPING\r\n".repeat(100));
    (0..100).for_each(|_| assert!(client.read().is("PONG")));
    let (stats_after, cpu_after) = (info(&mut client, "stats"), info(&mut client, "cpu"));
    let grown = |name| number(&stats_after, name) - number(&stats, name);
    assert!(grown("eventloop_cycles") > 0.0);
    assert!(grown("eventloop_duration_sum") >= 50_000.0);
    assert!(grown("eventloop_duration_cmd_sum") >= 50_000.0);
    assert!(grown("eventloop_duration_cmd_sum") <= grown("eventloop_duration_sum"));
    for name in ["used_active_time_main_thread", "used_active_time_io_thread_1"] {
        assert!(number(&cpu_after, name) >= number(&cpu, name), "{name}");
    }
    let active = |cpu| {
        number(cpu, "used_active_time_main_thread") + number(cpu, "used_active_time_io_thread_1")
    };
    assert!(active(&cpu_after) - active(&cpu) >= 0.05);
    assert!(number(&cpu_after, "used_cpu_user_main_thread") >= 0.0);
    let debug = info(&mut client, "debug");
    assert!(number(&debug, "eventloop_cmd_per_cycle_max") >= 16.0);
    client.run("CONFIG RESETSTAT");
    let stats = info(&mut client, "stats");
    assert!(
        number(&stats, "eventloop_duration_sum") < number(&stats_after, "eventloop_duration_sum")
    );
}
