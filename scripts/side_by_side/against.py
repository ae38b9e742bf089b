"""This build beside an older one: instructions of a request, and throughput."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from .servers import (
    Link, benchmark_command, error_of_median, median, two_cpus, verbena, verbena_benchmark, with_servers)
from .types import fill_for_tests

# Ratios to the older build, at most and at least.
MOST_INSTRUCTIONS, LEAST_THROUGHPUT = 1.05, 0.95

# Rounds between two starts of the servers: a process may be faster or slower than its like for all its life.
ROUNDS_PER_START = 2

# Keys that the tests draw from.
KEYS = 10_000

DEPTHS = (64, 1)

# The difference between a long and a short run is counted, so that connecting costs nothing. Under callgrind
# a server is some fifty times slower.
REQUESTS = {
    "perf": {64: (20_000, 420_000), 1: (5_000, 55_000)},
    "callgrind": {64: (3_200, 35_200), 1: (1_000, 9_000)},
}

# Name, and the arguments of verbena-benchmark.
TESTS = {
    "GET": ("-t", "get"),
    "SET": ("-t", "set"),
    "INCR": ("-t", "incr"),
    "LPUSH": ("-t", "lpush"),
    "LRANGE_100": ("LRANGE", "range:list", "0", "99"),
    "HSET": ("-t", "hset"),
    "HGETALL": ("HGETALL", "small:hash"),
    "SADD": ("-t", "sadd"),
    "ZADD": ("-t", "zadd"),
    "XADD": ("-t", "xadd"),
    "MSET": ("-t", "mset"),
    "GET 16 KiB": ("GET", "big:string"),
}

GROWING = ("mylist", "myset", "myzset", "myhash", "mystream")


def against(options):
    """Instructions of a request, and throughput, of this build's server and of an older one's."""
    old = options.old.resolve()
    if not old.exists():
        sys.exit(f"bench: there is no {old}")
    return report(instructions(old), throughput(old, options))


def fill(server):
    verbena_benchmark(server, "-t", "set", "-n", KEYS, "-r", KEYS, "--sequential", "-d", 64, "-P", 64)
    fill_for_tests(server)
    with Link(server) as link:
        link.call("SET", "big:string", "v" * 16384)


def words(test, depth, *how_long):
    return "-c", 50, "-P", depth, "-r", KEYS, "-d", 64, *how_long, *TESTS[test]


def shrink(server):
    with Link(server) as link:
        link.call("DEL", *GROWING)


# --- Throughput ---


def throughput(old, options):
    """Requests per second, in turn: by test and depth, one list for each server."""
    on, client = two_cpus()
    rows = {}

    def measure(servers):
        for server in servers:
            fill(server)
        for test in TESTS:
            for depth in DEPTHS:
                for turn in range(ROUNDS_PER_START + 1):
                    for server in servers if turn % 2 else reversed(servers):
                        command = words(test, depth, "--duration", options.slice_seconds)
                        (row,) = verbena_benchmark(server, *command, cpus=client).values()
                        shrink(server)
                        # The first round warms up.
                        if turn:
                            rows.setdefault((test, depth), {}).setdefault(server.name, []).append(row)

    makers = [lambda: verbena(cpus=on, name="new"), lambda: verbena(cpus=on, name="old", binary=old)]
    for _ in range(max(1, options.rounds // ROUNDS_PER_START)):
        with_servers(makers, measure)
    return rows


# --- Instructions ---


class Perf:
    """Counts by the CPU's own counter."""

    name = "perf"
    wrapper = ()

    @staticmethod
    def works():
        if not shutil.which("perf"):
            return False
        tried = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True)
        return tried.returncode == 0 and tried.stderr[:1].isdigit()

    def __init__(self, server):
        self.pid = str(server.process.pid)

    def count(self, command):
        with tempfile.NamedTemporaryFile(mode="r") as counted:
            perf = ["perf", "stat", "-x,", "-e", "instructions:u", "-p", self.pid, "-o", counted.name, "--"]
            subprocess.run([*perf, *command], check=True, capture_output=True)
            (line,) = (line for line in counted if "instructions" in line)
            return int(line.split(",")[0])


class Callgrind:
    """Counts by running the server on valgrind's synthetic CPU."""

    name = "callgrind"
    wrapper = ("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=callgrind.out")

    @staticmethod
    def works():
        return bool(shutil.which("valgrind") and shutil.which("callgrind_control"))

    def __init__(self, server):
        self.server = server
        self.dumps = 0
        self.control("-i", "on")

    def control(self, *args):
        subprocess.run(["callgrind_control", *args, str(self.server.process.pid)], check=True, capture_output=True)

    def count(self, command):
        self.control("-z")
        subprocess.run(command, check=True, capture_output=True)
        self.control("-d")
        self.dumps += 1
        dump = pathlib.Path(self.server.dir.name, f"callgrind.out.{self.dumps}").read_text()
        return int(re.search(r"^totals: (\d+)", dump, re.MULTILINE)[1])


def counter():
    for kind in (Perf, Callgrind):
        if kind.works():
            return kind
    sys.exit("bench: neither perf counts instructions here, nor is there a valgrind (apt-get install valgrind)")


def instructions(old):
    """Instructions of a request in user mode: by test and depth, one figure for each server."""
    kind = counter()
    print(f"\nCounting instructions by {kind.name}", flush=True)
    rows = {}

    def measure(servers):
        (server,) = servers
        fill(server)
        count = kind(server)
        for test in TESTS:
            for depth in DEPTHS:
                few, many = REQUESTS[kind.name][depth]
                cost = {}
                # The first run warms up.
                for requests in (few, few, many):
                    cost[requests] = count.count(benchmark_command(server, *words(test, depth, "-n", requests)))
                    shrink(server)
                rows.setdefault((test, depth), {})[server.name] = (cost[many] - cost[few]) / (many - few)

    for name, binary in (("new", {}), ("old", {"binary": old})):
        # callgrind_control finds the process by its title.
        keep_title = ("--set-proc-title", "no")
        with_servers([lambda: verbena(name=name, wrapper=kind.wrapper, options=keep_title, **binary)], measure)
    return rows


# --- Both ---


def report(costs, rates):
    print("\nThis build to the older one, 50 connections; "
          f"bars: instructions at most {MOST_INSTRUCTIONS}×, throughput at least {LEAST_THROUGHPUT}×")
    summary = {}
    for (test, depth), by_server in rates.items():
        pairs = [{"rps": new["ops_per_sec"] / old["ops_per_sec"]} for new, old in zip(by_server["new"], by_server["old"])]
        new, old = costs[test, depth]["new"], costs[test, depth]["old"]
        row = {
            "new_instructions": new,
            "old_instructions": old,
            "instructions": new / old,
            "new_rps": median(by_server["new"], "ops_per_sec"),
            "old_rps": median(by_server["old"], "ops_per_sec"),
            "throughput": median(pairs, "rps"),
            "throughput_error": error_of_median(pairs, "rps"),
        }
        short = row["instructions"] > MOST_INSTRUCTIONS or row["throughput"] < LEAST_THROUGHPUT
        print(
            f"  {test:10} -P {depth:2}   {old:9,.0f} → {new:9,.0f} instructions: {row['instructions']:.3f}×   "
            f"{row['old_rps']:12,.0f} → {row['new_rps']:12,.0f} requests/s: {row['throughput']:.3f} ± {row['throughput_error']:.3f}×"
            f"{'   short' if short else ''}", flush=True)
        summary[f"{test} -P {depth}"] = row
    return summary
