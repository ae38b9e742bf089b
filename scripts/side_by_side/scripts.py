"""Scripts and functions beside Valkey: throughput, and the latency of others while a script runs now and then."""

import hashlib
import threading

from .foundation import load
from .open_loop import CLIENTS, highest_rate, report
from .servers import Link, error_of_median, median, two_cpus, valkey, verbena, verbena_benchmark, with_servers

# Ratio to Valkey's throughput, at least.
BAR = 1.2

GET = "return redis.call('GET', KEYS[1])"
FIVE = (
    "local v = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], v or ARGV[1]) redis.call('INCR', 'n') "
    "redis.call('HSET', 'h', KEYS[1], ARGV[1]) return redis.call('EXISTS', KEYS[1])")
LOOP = "for i = 1, 1000 do redis.call('GET', KEYS[1]) end return 1"

LIBRARY = f"""#!lua name=bench
redis.register_function('one', function(KEYS, ARGV) {GET} end)
redis.register_function('five', function(KEYS, ARGV) {FIVE} end)
"""

KEY = "key:__rand_int__"

# Name, the words of the command, and the depth of the pipeline.
TESTS = {
    "EVALSHA of one GET": (("EVALSHA", GET, 1, KEY), 16),
    "FCALL of one GET": (("FCALL", "one", 1, KEY), 16),
    "EVALSHA of five commands": (("EVALSHA", FIVE, 1, KEY, "value"), 16),
    "FCALL of five commands": (("FCALL", "five", 1, KEY, "value"), 16),
    "EVALSHA of a loop of 1,000 GETs": (("EVALSHA", LOOP, 1, KEY), 1),
}

# Milliseconds of the script beside which latency is measured, and between two of its calls.
LONG_MS, PAUSE_MS = 5, 100


def sha1(text):
    return hashlib.sha1(text.encode()).hexdigest()


def prepare(server):
    load(server)
    with Link(server) as link:
        for script in (GET, FIVE, LOOP):
            link.call("SCRIPT", "LOAD", script)
        link.call("FUNCTION", "LOAD", "REPLACE", LIBRARY)


def scripts(options):
    """EVALSHA and FCALL of short scripts and of a loop, 50 connections; GET at half load while a 5 ms script runs."""
    on, client = two_cpus()
    rows = {}

    def measure(servers):
        for server in servers:
            prepare(server)
        for name, (words, depth) in TESTS.items():
            command = [sha1(word) if word in (GET, FIVE, LOOP) else word for word in words]
            for turn in range(max(2, options.rounds)):
                for server in servers if turn % 2 else reversed(servers):
                    (row,) = verbena_benchmark(
                        server, "-c", 50, "-P", depth, "-r", 10_000, "--warmup", 0.1,
                        "--duration", options.slice_seconds, *command, cpus=client).values()
                    rows.setdefault(name, {}).setdefault(server.name, []).append(row)
        return latency_beside_scripts(servers, options, client)

    latency = with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure)
    print(f"\nScripts, 50 connections: bar {BAR}×")
    summary = {"latency": latency}
    for name, by_server in rows.items():
        ours, theirs = by_server["verbena"], by_server["valkey"]
        pairs = [{"ratio": a["ops_per_sec"] / b["ops_per_sec"]} for a, b in zip(ours, theirs)]
        row = {
            "verbena": median(ours, "ops_per_sec"), "valkey": median(theirs, "ops_per_sec"),
            "ratio": median(pairs, "ratio"), "error": error_of_median(pairs, "ratio")}
        print(
            f"  {name:32} {row['valkey']:10,.0f} → {row['verbena']:10,.0f} a second: {row['ratio']:.2f} ± {row['error']:.2f}×"
            f"{'' if row['ratio'] >= BAR else '   short'}", flush=True)
        summary[name] = row
    return summary


class LongScript:
    """A client that runs a script of some milliseconds again and again."""

    def __init__(self, server):
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(server,))

    def run(self, server):
        # By the server's own clock, so that it takes as long at either.
        script = f"local t = os.clock() + {LONG_MS / 1000} while os.clock() < t do end return 1"
        with Link(server) as link:
            while not self.ends.wait(PAUSE_MS / 1000):
                link.call("EVAL", script, 0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


def latency_beside_scripts(servers, options, cpus):
    ours, theirs = servers
    rate = round(highest_rate(theirs, "get", options, cpus) / 2)
    rows = {server.name: [] for server in servers}
    for turn in range(options.slices):
        for server in servers if turn % 2 else (theirs, ours):
            with LongScript(server):
                rows[server.name].append(verbena_benchmark(
                    server, "-t", "get", *CLIENTS, "--rate", rate, "--seed", turn + 1, "--warmup", 0.1,
                    "--duration", options.slice_seconds, cpus=cpus)["GET"])
    print(f"\nGET at half load while another client runs a script of {LONG_MS} ms every {PAUSE_MS} ms, {options.slices} slices")
    return report(0.5, rate, rows)
