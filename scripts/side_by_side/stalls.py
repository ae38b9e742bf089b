"""Latency of one client while the server expires keys and frees big values."""

import time

from .servers import Link, request, two_cpus, valkey, verbena, with_servers

KEYS = 1_000_000
ELEMENTS = 10_000_000


def waits(link, seconds):
    """Microseconds that each GET took, one after the other, for so long."""
    sent, took = request("GET", "small"), []
    now = time.perf_counter()
    end = now + seconds
    while now < end:
        link.socket.sendall(sent)
        link.socket.recv(64)
        before, now = now, time.perf_counter()
        took.append((now - before) * 1e6)
    return sorted(took)


def summed_up(took):
    parts = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
    return {**{name: took[int(len(took) * part)] for name, part in parts.items()}, "max_us": took[-1]}


def expire(link):
    """Sets keys that expire spread over one second, and returns when that begins."""
    begin = int(time.time()) + 15
    words = ((f"key:{i:012d}", "v" * 16, "PXAT", begin * 1000 + i * 1000 // KEYS) for i in range(KEYS))
    link.pipeline(request("SET", *one) for one in words)
    late = time.time() - begin
    if late > 0:
        raise SystemExit(f"bench: it took {15 + late:.1f} s to set the keys")
    return begin


def fill(link, command, words):
    batches = range(0, ELEMENTS, 500)
    link.pipeline((request(command, "big", *(w for i in range(at, at + 500) for w in words(i))) for at in batches), 100)


# Name, the command that fills the value, the command that removes it.
CLEARED = [
    ("DEL, list", ("RPUSH", lambda i: (f"element:{i}",)), ("DEL", "big")),
    ("DEL, hash", ("HSET", lambda i: (f"field:{i}", i)), ("DEL", "big")),
    ("DEL, set", ("SADD", lambda i: (f"member:{i}",)), ("DEL", "big")),
    ("DEL, sorted set", ("ZADD", lambda i: (i, f"member:{i}")), ("DEL", "big")),
    ("SET over a set", ("SADD", lambda i: (f"member:{i}",)), ("SET", "big", "small")),
    ("EXPIRE, set", ("SADD", lambda i: (f"member:{i}",)), ("PEXPIRE", "big", 100)),
    ("LTRIM, list", ("RPUSH", lambda i: (f"element:{i}",)), ("LTRIM", "big", 0, 0)),
]


def stalls(options):
    """The latency of one client's GETs while keys expire, and while big values are removed."""
    on, _ = two_cpus()
    summary = {}

    def note(server, name, took):
        row = summed_up(took)
        summary.setdefault(name, {})[server.name] = row
        print(
            f"  {name:22} {server.name:8} p50 {row['p50_us']:6.1f}   p99 {row['p99_us']:7.1f}   p99.9 {row['p999_us']:8.1f}   "
            f"max {row['max_us']:9.1f}", flush=True)

    def measure(servers):
        print(f"\nGETs of one client, µs, while {KEYS:,} keys expire within a second and values of {ELEMENTS:,} elements are cleared away")
        for server in servers:
            with Link(server) as link, Link(server) as other:
                link.call("SET", "small", "v" * 16)
                note(server, "idle", waits(link, 3))
                took = []
                for _ in range(max(1, options.rounds // 4)):
                    begin = expire(other)
                    time.sleep(max(0, begin - 0.1 - time.time()))
                    took += waits(link, 1.5)
                note(server, "keys expire", sorted(took))
        for name, (command, words), clear in CLEARED:
            for server in servers:
                with Link(server) as link, Link(server) as other:
                    fill(other, command, words)
                    waits(link, 0.5)
                    other.socket.sendall(request(*clear))
                    took = waits(link, 1.5)
                    other.reply()
                    other.call("DEL", "big")
                    note(server, name, took)
        return summary

    return with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure)
