"""Latency under a fixed load: requests are due at random times, whether or not replies have come."""

import statistics

from .foundation import load
from .servers import median, two_cpus, valkey, verbena, verbena_benchmark, with_servers

# Fractions of the rate that Valkey reaches in a closed loop.
LEVELS = (0.2, 0.5, 0.8)

# Ratio to Valkey's latency, at most.
BAR = 1.05

CLIENTS = ("-c", 50, "-d", 64, "-r", 100_000)

# Slices of Valkey's closed loop, whose median is its highest rate.
CLOSED_SLICES = 5


def lower_quartile(rows, key):
    """Machines stall for milliseconds by themselves: the slices in which they did not are compared."""
    values = [row[key] for row in rows]
    return statistics.quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


def highest_rate(server, test, options, cpus):
    """Requests per second in a closed loop."""
    rows = [
        verbena_benchmark(server, "-t", test, *CLIENTS, "--warmup", 0.2, "--duration", options.slice_seconds, cpus=cpus)
        for _ in range(CLOSED_SLICES)]
    return median([row[test.upper()] for row in rows], "ops_per_sec")


def latency(options):
    """GET and SET of 64 bytes at 20, 50 and 80 % of the rate that Valkey reaches, 50 connections, slice by slice in turn."""
    on, client = two_cpus()

    def measure(servers):
        ours, theirs = servers
        for server in servers:
            load(server)
        print(f"\nOpen loop, 50 connections, 64 bytes, {options.slices} slices of {options.slice_seconds:g} s in turn: "
              "p50 by median, p99 by lower quartile")
        summary = {}
        for test in ("get", "set"):
            highest = highest_rate(theirs, test, options, client)
            print(f"  {test.upper()}: in a closed loop, valkey reaches {highest:,.0f} requests/s", flush=True)
            summary[test] = {"valkey_closed_loop": highest}
            for level in LEVELS:
                rows = {server.name: [] for server in servers}
                for turn in range(options.slices):
                    for server in servers if turn % 2 else (theirs, ours):
                        rows[server.name].append(verbena_benchmark(
                            server, "-t", test, *CLIENTS, "--rate", round(level * highest), "--seed", turn + 1,
                            "--warmup", 0.1, "--duration", options.slice_seconds, cpus=client)[test.upper()])
                summary[test][level] = report(level, round(level * highest), rows)
        return summary

    return with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure)


def report(level, rate, rows):
    """Prints one line for each server, and the ratios."""
    summary = {"rate": rate}
    for name, got in rows.items():
        summary[name] = {
            "p50_us": median(got, "p50_us"),
            "p99_us": lower_quartile(got, "p99_us"),
            "p99_median_us": median(got, "p99_us"),
            "p999_us": lower_quartile(got, "p999_us"),
            "achieved": median(got, "ops_per_sec"),
            "unsent": sum(row["unsent"] for row in got),
            "send_delay_p50_us": median(got, "send_delay_p50_us"),
            "send_delay_p99_us": lower_quartile(got, "send_delay_p99_us"),
        }
    for name, row in summary.items():
        if name != "rate":
            print(
                f"    {level:4.0%} {rate:9,}/s   {name:8} p50 {row['p50_us']:8.1f} µs   p99 {row['p99_us']:8.1f} µs   "
                f"p99.9 {row['p999_us']:8.1f} µs   achieved {row['achieved']:10,.0f}/s   {row['unsent']} not sent   "
                f"sent late: p50 {row['send_delay_p50_us']:.1f} µs, p99 {row['send_delay_p99_us']:.1f} µs", flush=True)
    for key in ("p50_us", "p99_us"):
        summary[key.replace("_us", "_ratio")] = summary["verbena"][key] / summary["valkey"][key]
    verdict = "" if max(summary["p50_ratio"], summary["p99_ratio"]) <= BAR else "   short"
    print(
        f"         verbena to valkey: p50 {summary['p50_ratio']:.2f}×   p99 {summary['p99_ratio']:.2f}× "
        f"(at most {BAR}×){verdict}", flush=True)
    return summary
