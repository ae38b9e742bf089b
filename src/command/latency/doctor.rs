//! LATENCY DOCTOR: what the monitor has seen, in words, and what can be done about it.
//!
//! The sentences are those of Valkey, which people and tools know.

use std::fmt::Write;

use crate::config::Settings;
use crate::state::{LatencyEvent, LatencyHistory};

const DISABLED: &str = "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this \
    Valkey instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to \
    enable it.\n";

const NOTHING: &str = "No latency spike was observed during the lifetime of this Valkey instance, not \
    in the slightest bit.\n";

const SEE_SLOW_LOG: &str = "- Check your Slow Log to understand what are the commands you are running \
    which are too slow to execute. Please check https://valkey.io/commands/slowlog for more \
    information.\n";

const SCHEDULER: &str = "- The system is slow to execute Valkey code paths not containing system \
    calls. This usually means the system does not provide Valkey CPU time to run for long periods. You \
    should try to:\n  \
    1) Lower the system load.\n  \
    2) Use a computer / VM just for Valkey if you are running other software in the same system.\n  \
    3) Check if you have a \"noisy neighbour\" problem.\n  \
    4) Check with 'valkey-cli --intrinsic-latency 100' what is the intrinsic latency in your system.\n  \
    5) Check if the problem is allocator-related by recompiling Valkey with MALLOC=libc, if you are \
    using Jemalloc. However this may create fragmentation problems.\n";

const MORE_HZ: &str = "- In order to make the Valkey keys expiring process more incremental, try to \
    set the 'hz' configuration parameter to 100 using 'CONFIG SET hz 100'.\n";

const LARGE_OBJECTS: &str = "- Deleting, expiring or evicting (because of maxmemory policy) large \
    objects is a blocking operation. If you have very large objects that are often deleted, expired, or \
    evicted, try to fragment those objects into multiple smaller objects.\n";

const MEMORY_PRESSURE: &str = "- Sudden changes to the 'maxmemory' setting via 'CONFIG SET', or \
    allocation of large objects via sets or sorted sets intersections, STORE option of SORT, Valkey \
    Cluster large keys migrations (RESTORE command), may create sudden memory pressure forcing the \
    server to block trying to evict keys. \n";

const NO_ADVICE: &str = "\nWhile there are latency events logged, I'm not able to provide any easy \
    fix. Please use the Valkey community to get some help, providing this report in your help \
    request.\n";

/// The report, at the time `now` in seconds of Unix time.
pub fn report(events: &[(LatencyEvent, LatencyHistory)], settings: &Settings, now: i64) -> String {
    if events.is_empty() {
        let disabled = settings.latency_monitor_threshold == 0;
        return if disabled { DISABLED } else { NOTHING }.into();
    }
    let mut report = "Latency spikes are observed in this Valkey instance.\n\n".to_owned();
    for (index, (event, history)) in events.iter().enumerate() {
        describe(&mut report, index + 1, *event, history, now);
    }
    let happened = |event| events.iter().any(|(other, _)| *other == event);
    let advice = advice(happened, settings);
    if advice.is_empty() {
        report.push_str(NO_ADVICE);
    } else {
        report.push_str("\nHere is some advice for you:\n\n");
        report.push_str(&advice);
    }
    report
}

/// One line about an event.
fn describe(
    report: &mut String,
    number: usize,
    event: LatencyEvent,
    history: &LatencyHistory,
    now: i64,
) {
    let samples = &history.samples;
    let count = samples.len().max(1) as u64;
    let mean = |sum: u64| sum / count;
    let average = mean(samples.iter().map(|sample| sample.milliseconds).sum());
    let deviation = mean(samples.iter().map(|s| s.milliseconds.abs_diff(average)).sum());
    let oldest = samples.front().map_or(now, |sample| sample.time);
    let period = (now - oldest).max(1) as f64 / count as f64;
    // Writing to a string cannot fail.
    let _ = writeln!(
        report,
        "{number}. {}: {count} latency spikes (average {average}ms, mean deviation {deviation}ms, period \
         {period:.2} sec). Worst all time event {}ms.",
        event.name(),
        history.worst
    );
}

/// What can be done about events of the kinds that have happened.
fn advice(happened: impl Fn(LatencyEvent) -> bool, settings: &Settings) -> String {
    use LatencyEvent::*;
    let mut advice = String::new();
    if happened(Command) {
        let logged_from = settings.commandlog_execution_slower_than;
        let wanted = settings.latency_monitor_threshold.saturating_mul(1000);
        if logged_from < 0 {
            let _ = writeln!(
                advice,
                "- There are latency issues with potentially slow commands you are using. Try to enable the \
                 Slow Log Valkey feature using the command 'CONFIG SET slowlog-log-slower-than {wanted}'. \
                 If the Slow log is disabled Valkey is not able to log slow commands execution for you."
            );
        } else if logged_from / 1000 > settings.latency_monitor_threshold {
            let _ = writeln!(
                advice,
                "- Your current Slow Log configuration only logs events that are slower than your \
                 configured latency monitor threshold. Please use 'CONFIG SET slowlog-log-slower-than \
                 {wanted}'."
            );
        }
        advice.push_str(SEE_SLOW_LOG);
    }
    if happened(FastCommand) {
        advice.push_str(SCHEDULER);
    }
    if happened(ExpireCycle) && settings.hz < 100 {
        advice.push_str(MORE_HZ);
    }
    if [Command, ExpireDel, ExpireCycle, EvictionDel].into_iter().any(&happened) {
        advice.push_str(LARGE_OBJECTS);
    }
    if happened(EvictionCycle) {
        advice.push_str(MEMORY_PRESSURE);
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::latency::tests::history;

    fn settings(threshold: i64, slower_than: i64) -> Settings {
        Settings {
            latency_monitor_threshold: threshold,
            commandlog_execution_slower_than: slower_than,
            ..Settings::default()
        }
    }

    #[test]
    fn nothing_is_to_be_said_without_events() {
        assert!(report(&[], &settings(0, 0), 0).starts_with("I'm sorry, Dave"));
        assert!(report(&[], &settings(1, 0), 0).starts_with("No latency spike"));
    }

    #[test]
    fn a_report_is_what_valkey_says() {
        let events = [(LatencyEvent::Command, history(&[(304, 20), (306, 30)]))];
        let expected = "Latency spikes are observed in this Valkey instance.\n\n\
            1. command: 2 latency spikes (average 25ms, mean deviation 5ms, period 1.50 sec). Worst all \
            time event 30ms.\n\nHere is some advice for you:\n\n";
        let text = report(&events, &settings(10, 10_999), 307);
        assert_eq!(text, [expected, SEE_SLOW_LOG, LARGE_OBJECTS].concat());
        let now = report(&[(LatencyEvent::FastCommand, history(&[(7, 9)]))], &settings(0, 0), 7);
        assert!(now.contains("(average 9ms, mean deviation 0ms, period 1.00 sec)"), "{now}");
        assert!(now.ends_with(&format!("you:\n\n{SCHEDULER}")), "{now}");
    }

    #[test]
    fn advice_depends_on_the_settings() {
        let advice = |threshold, slower_than| {
            advice(|event| event == LatencyEvent::Command, &settings(threshold, slower_than))
        };
        assert!(advice(10, -1).contains("'CONFIG SET slowlog-log-slower-than 10000'. If"));
        let tune = "configured latency monitor threshold. Please use 'CONFIG SET \
                    slowlog-log-slower-than 10000'.";
        assert!(advice(10, 20_000).contains(tune));
        assert!(!advice(10, 10_001).contains(tune) && !advice(10, 0).contains(tune));
        let expiry = |hz| {
            let settings = Settings { hz, ..Settings::default() };
            super::advice(|event| event == LatencyEvent::ExpireCycle, &settings)
        };
        assert_eq!(expiry(10), [MORE_HZ, LARGE_OBJECTS].concat());
        assert_eq!(expiry(100), LARGE_OBJECTS);
        let lazyfree = [(LatencyEvent::EvictionLazyfree, history(&[(7, 9)]))];
        assert!(report(&lazyfree, &settings(1, 0), 7).ends_with(NO_ADVICE));
    }
}
