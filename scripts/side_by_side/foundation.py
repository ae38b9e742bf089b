"""Strings, connections and the process itself."""

import os
import socket
import statistics
import time

from .servers import (
    floor, median, redis_benchmark, two_cpus, valkey, verbena, verbena_benchmark, with_servers,
)

# Measured rounds between two starts of the servers.
ROUNDS_PER_START = 2


def load(server):
    """Fills the 100,000 keys that the GETs draw from."""
    redis_benchmark(server, "-t", "set", "-n", 1_000_000, "-r", 100_000, "-d", 64, "-P", 64, "-c", 50)


def compare(title, makers, tests, rounds, requests, *args, cpus=None, per_start=ROUNDS_PER_START):
    """Measures the servers in turn; prints throughput and CPU per request of each test.

    The servers are started afresh for every few rounds: a process was seen to be faster or slower than others of the
    same program for all its life, by more than the servers differ."""
    rows = {}

    def measure(servers):
        for server in servers:
            if server.name != "floor":
                load(server)
        for test in tests:
            for turn in range(per_start + 1):
                for server in servers:
                    before = server.cpu()
                    row = redis_benchmark(server, "-t", test, "-n", requests, "-r", 100_000, "-d", 64, "-c", 50, *args, cpus=cpus)
                    cpu = (server.cpu() - before) / requests * 1e6
                    # The first round warms up.
                    if turn:
                        row = {"rps": float(row[test.upper()]["rps"]), "cpu_us": cpu}
                        rows.setdefault(test, {}).setdefault(server.name, []).append(row)

    starts = max(1, round(rounds / per_start))
    for _ in range(starts):
        with_servers(makers, measure)
    results = {}
    for test in tests:
        summary = {name: {key: median(r, key) for key in ("rps", "cpu_us")} for name, r in rows[test].items()}
        print(f"\n{title}: {test.upper()}, median of {starts * per_start} rounds, {starts} starts")
        for name, row in summary.items():
            line = f"  {name:8} {row['rps']:12,.0f} requests/s   {row['cpu_us']:7.3f} µs server CPU per request"
            for other in ("valkey", "floor"):
                if other in summary and other != name and name == "verbena":
                    base = summary[other]
                    line += f"   {other}: {row['rps'] / base['rps']:.2f}× throughput, {row['cpu_us'] / base['cpu_us']:.2f}× CPU"
            print(line, flush=True)
        results[test] = summary
    return results


def pipeline(options):
    """-P 64: the throughput of one worker."""
    on, client = two_cpus()
    makers = [lambda: verbena(cpus=on), lambda: valkey(cpus=on), lambda: floor(cpus=on)]
    return compare("TCP, 50 connections, -P 64", makers, ("get", "set"), options.rounds, 3_000_000, "-P", 64, cpus=client)


def single(options):
    """-P 1: the server's cost of a request. The rounds are three times as many, and short: for seconds at a time the
    machines on which this is measured are a fifth slower than at others, and the median should not be such a time."""
    on, client = two_cpus()
    makers = [lambda: verbena(cpus=on), lambda: valkey(cpus=on), lambda: floor(cpus=on)]
    title, tests = "TCP, 50 connections, -P 1", ("get", "set")
    return compare(title, makers, tests, 3 * options.rounds, 100_000, "-P", 1, cpus=client, per_start=3 * ROUNDS_PER_START)


def one_connection(options):
    """One connection: the latency of a request."""
    on, client = two_cpus()

    def measure(servers):
        rows = {server.name: [] for server in servers}
        for server in servers:
            load(server)
        for turn in range(options.rounds + 1):
            for server in servers:
                row = verbena_benchmark(server, "-t", "get", "-n", 100_000, "-r", 100_000, "-d", 64, "-c", 1, cpus=client)["GET"]
                if turn:
                    rows[server.name].append(row)
        summary = {}
        print(f"\nTCP, one connection, GET, median of {options.rounds}")
        for name, got in rows.items():
            summary[name] = {key: median(got, key) for key in ("p50_us", "p99_us", "p999_us")}
            row = summary[name]
            print(f"  {name:8} p50 {row['p50_us']:.1f} µs   p99 {row['p99_us']:.1f} µs   p99.9 {row['p999_us']:.1f} µs")
        return summary

    return with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure)


def fill(server, count):
    """Sets `count` keys of 16 bytes to values of 64."""
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        value = b"v" * 64
        for start in range(0, count, 10_000):
            batch = min(10_000, count - start)
            link.sendall(b"".join(
                b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$64\r\n%s\r\n" % (i, value)
                for i in range(start, start + batch)))
            missing = batch * len(b"+OK\r\n")
            while missing:
                missing -= len(link.recv(min(missing, 65536)))


def memory(_options):
    """RSS of 1,000,000 keys of 16 bytes with values of 64."""
    count = 1_000_000

    def measure(servers):
        summary = {}
        print(f"\nMemory, {count:,} keys of 16 bytes with 64-byte values")
        for server in servers:
            empty = server.rss()
            fill(server, count)
            time.sleep(1)
            full = server.rss()
            summary[server.name] = {"rss_per_key": full / count, "added_per_key": (full - empty) / count}
            row = summary[server.name]
            print(f"  {server.name:8} RSS per key {row['rss_per_key']:.1f} bytes ({row['added_per_key']:.1f} more than when empty)")
        return summary

    return with_servers([verbena, valkey], measure)


def startup(options):
    """Milliseconds from start to `Ready to accept connections`."""
    summary = {}
    print("\nStart to ready")
    for make in (verbena, valkey):
        times = []
        for _ in range(max(options.rounds, 5)):
            server = make()
            times.append(server.ready * 1000)
            server.stop()
        summary[server.name] = {"median_ms": statistics.median(times), "max_ms": max(times)}
        print(f"  {server.name:8} median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")
    return summary


def scaling(options):
    """Throughput with 1, 2, 4, 8 … workers, as far as the cores go."""
    cores = os.cpu_count() or 1
    summary = {}
    threads = 1
    while threads <= max(1, cores // 2):
        def measure(servers):
            rows = {server.name: [] for server in servers}
            for server in servers:
                if server.name != "floor":
                    load(server)
            for turn in range(options.rounds + 1):
                for server in servers:
                    row = verbena_benchmark(
                        server, "-t", "get", "-n", 3_000_000 * threads, "-r", 100_000, "-d", 64,
                        "-c", 50 * threads, "-P", 64, "--threads", max(1, cores - threads))["GET"]
                    if turn:
                        rows[server.name].append(row)
            result = {name: median(got, "ops_per_sec") for name, got in rows.items()}
            base = result["valkey"]
            print(f"  {threads} workers: " + "   ".join(
                f"{name} {rate:,.0f}/s ({rate / base:.2f}× valkey)" for name, rate in result.items()), flush=True)
            return result

        if threads == 1:
            print("\nScaling, GET, -P 64")
        makers = [lambda: verbena(threads), lambda: valkey(threads), lambda: floor(threads)]
        summary[threads] = with_servers(makers, measure)
        threads *= 2
    return summary
