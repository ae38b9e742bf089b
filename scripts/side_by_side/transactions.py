"""Transactions: their throughput beside Valkey's, and whether any increment is lost."""

import json
import statistics
import subprocess

from .servers import RELEASE, median, two_cpus, valkey, verbena, verbena_benchmark, with_servers

# Transactions in flight on each of 50 connections.
IN_FLIGHT = (1, 16)

# Ratio to Valkey's throughput, at least.
BAR = 1.2

# Slices of the check for each count of workers, taken in turn.
CHECK_SLICES = 6

CLIENTS = ("-c", 50, "-d", 64, "-r", 100_000)


def transactions(options):
    """MULTI of 10 SETs and EXEC in one write; then transactions over random keys on one worker and on four."""
    return {"throughput": throughput(options), "check": check(options)}


def throughput(options):
    on, client = two_cpus()

    def measure(servers):
        rows = {}
        for in_flight in IN_FLIGHT:
            for turn in range(options.rounds + 1):
                for server in servers if turn % 2 else reversed(servers):
                    row = verbena_benchmark(
                        server, "-t", "multi", *CLIENTS, "-P", in_flight, "--duration", options.slice_seconds, cpus=client)["MULTI"]
                    # The first round warms up.
                    if turn:
                        rows.setdefault(in_flight, {}).setdefault(server.name, []).append(row)
        return rows

    rows = with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure)
    print(f"\nMULTI, 10 SETs and EXEC in one write, 50 connections, median of {options.rounds} rounds")
    summary = {}
    for in_flight, by_server in rows.items():
        ours, theirs = (median(by_server[name], "ops_per_sec") for name in ("verbena", "valkey"))
        row = {"verbena": ours, "valkey": theirs, "ratio": ours / theirs}
        verdict = "" if row["ratio"] >= BAR else "   short"
        print(
            f"  {in_flight:3} in flight   verbena {ours:10,.0f}/s   valkey {theirs:10,.0f}/s   "
            f"{row['ratio']:.2f}× (at least {BAR}×){verdict}", flush=True)
        summary[in_flight] = row
    return summary


def load(server, seconds):
    """Runs examples/transactions.rs; its figures, or why it failed."""
    command = [str(RELEASE / "examples/transactions"), "--port", str(server.port), "--seconds", str(seconds)]
    run = subprocess.run(command, capture_output=True, text=True)
    row = json.loads(run.stdout) if run.stdout else {"transactions": 0, "per_second": 0.0, "conflicts": 0, "expected": 0, "found": 0}
    if run.returncode:
        row["error"] = run.stderr.strip() or f"status {run.returncode}"
    return row


def check(options):
    """Optimistic and plain transactions of 50 clients on random counters. The client and the server's workers share
    all CPUs: on two of them, four workers need not be faster, and must not be slower."""
    seconds = options.seconds / CHECK_SLICES

    def measure(servers):
        rows = {server.name: [] for server in servers}
        for turn in range(CHECK_SLICES):
            for server in servers if turn % 2 else reversed(servers):
                rows[server.name].append(load(server, seconds))
        return rows

    makers = [
        lambda: verbena(1, name="1 worker"), lambda: verbena(4, name="4 workers"), valkey]
    rows = with_servers(makers, measure)
    print(f"\nTransactions over random counters (WATCH, GET, MULTI, SET, EXEC; MULTI, INCR, EXEC), {options.seconds:g} s each")
    summary = {}
    for name, got in rows.items():
        row = {
            "per_second": statistics.median(one["per_second"] for one in got),
            **{key: sum(one[key] for one in got) for key in ("transactions", "conflicts", "expected", "found")},
            "errors": [one["error"] for one in got if "error" in one],
        }
        lost = row["expected"] - row["found"]
        print(
            f"  {name:10} {row['per_second']:10,.0f}/s   {row['transactions']:,} transactions, {row['conflicts']:,} refused, "
            f"{row['expected']:,} increments, {lost} lost{'   short' if lost or row['errors'] else ''}", flush=True)
        for error in row["errors"]:
            print(f"             {error}", flush=True)
        summary[name] = row
    if summary["1 worker"]["per_second"]:
        ratio = summary["4 workers"]["per_second"] / summary["1 worker"]["per_second"]
        summary["ratio"] = ratio
        print(f"  four workers: {ratio:.2f}× one{'' if ratio >= 1 else '   short'}", flush=True)
    return summary
