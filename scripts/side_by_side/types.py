"""Data types: redis-benchmark's tests, memory, and commands over big values."""

import contextlib
import random
import time

from .servers import (
    Link, Load, error_of_median, median, redis_benchmark, request, two_cpus, valkey, verbena, verbena_benchmark, with_servers)

# Requests of a round of redis-benchmark at -P 32, and measured rounds of each start.
REQUESTS, ROUNDS = 640_000, 2

# At -P 1, servers differ by less than the machine does from one second to the next: both are loaded in turn, so many
# seconds at a time, so often in each start.
SLICE, SLICES = 0.05, 60


class Test:
    """One test of redis-benchmark: of its own, by name, or of a command."""

    def __init__(self, name, *command, load=None, share=1.0):
        self.name = name
        # Without a command, redis-benchmark's test of this name.
        self.command = command or ("-t", name)
        # Run before each round, as many times as the test has requests: adds the elements that the test removes.
        self.load = load
        # Fraction of the usual number of requests, for tests with long replies.
        self.share = share

    def prepare(self, server, requests, cpus):
        if self.load:
            redis_benchmark(server, "-n", requests, "-c", 50, "-r", 1_000_000, "-P", 32, *self.load, cpus=cpus)

    def run(self, client, server, cpus):
        """One round at -P 32."""
        requests = max(1000, int(REQUESTS * self.share))
        self.prepare(server, requests, cpus)
        before = server.cpu()
        (row,) = client(server, "-n", requests, "-c", 50, "-r", 100_000, "-P", 32, *self.command, cpus=cpus).values()
        return {"rps": float(row.get("rps") or row["ops_per_sec"]), "cpu_us": (server.cpu() - before) / requests * 1e6}


TESTS = [
    Test("ping_inline"),
    Test("ping_mbulk"),
    Test("set"),
    Test("get"),
    Test("incr"),
    Test("lpush"),
    Test("rpush"),
    Test("lpop", load=("-t", "lpush")),
    Test("rpop", load=("-t", "lpush")),
    Test("sadd"),
    Test("hset"),
    Test("spop", load=("-t", "sadd")),
    Test("zadd"),
    Test("zpopmin", load=("-t", "zadd")),
    Test("mset", share=0.25),
    Test("xadd", "XADD", "mystream", "*", "myfield", "__rand_int__", share=0.5),
    Test("hgetall", "HGETALL", "small:hash"),
    Test("zrange_10", "ZRANGE", "small:zset", "0", "9"),
    Test("zrange_100", "ZRANGE", "big:zset", "50000", "50099", share=0.25),
    Test("lrange_100", "LRANGE", "range:list", "0", "99", share=0.25),
    Test("lrange_300", "LRANGE", "range:list", "0", "299", share=0.1),
    Test("lrange_500", "LRANGE", "range:list", "0", "499", share=0.1),
    Test("lrange_600", "LRANGE", "range:list", "0", "599", share=0.1),
]


def fill_for_tests(server):
    """Makes the values that the reading tests read: a hash of 5 fields, sorted sets of 10 and of 100,000 members,
    and a list of 100,000 elements."""
    with Link(server) as link:
        link.call("HSET", "small:hash", *(f"{part}:{i}" for i in range(5) for part in ("field", "value")))
        link.call("ZADD", "small:zset", *(word for i in range(10) for word in (i, f"member:{i}")))
        link.pipeline(request("ZADD", "big:zset", *(w for k in range(100) for w in (i + k, f"member:{i + k}"))) for i in range(0, 100_000, 100))
        link.pipeline(request("RPUSH", "range:list", *(f"element:{i + k}" for k in range(100))) for i in range(0, 100_000, 100))


def compare(title, tests, measure, rounds, enough):
    """Starts both servers, again and again, and measures the tests; prints the ratios of neighbouring measurements
    (their median and its standard error), and which are not enough.

    `measure` is given a test, the servers and the client's CPUs, and yields servers' names and what was measured: of
    one server right after the other."""
    on, rest = two_cpus()
    rows = {test.name: {"verbena": [], "valkey": []} for test in tests}

    def measure_all(servers):
        for server in servers:
            fill_for_tests(server)
        for test in tests:
            for name, row in measure(test, servers, rest):
                rows[test.name][name].append(row)
            for server in servers:
                with Link(server) as link:
                    link.call("DEL", "mylist", "myset", "myzset", "myhash", "mystream")

    starts = max(1, rounds // 2)
    for _ in range(starts):
        with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure_all)
    (count,) = {len(row) for by_server in rows.values() for row in by_server.values()}
    print(f"\n{title}, 50 connections, median of {count} measurements, {starts} starts")
    summary = {}
    for name, by_server in rows.items():
        ours, theirs = by_server["verbena"], by_server["valkey"]
        pairs = [{key: our[key] / their[key] for key in our} for our, their in zip(ours, theirs)]
        row = {
            "rps": median(ours, "rps"),
            "throughput": median(pairs, "rps"),
            "throughput_error": error_of_median(pairs, "rps"),
            "cpu": median(pairs, "cpu_us"),
            "cpu_error": error_of_median(pairs, "cpu_us"),
            "cpu_us": median(ours, "cpu_us"),
        }
        # Below about 0.95 the client is the limit, and only the CPU compares the servers.
        row["busy"] = row["rps"] * row["cpu_us"] / 1e6
        summary[name] = row
        verdict = "" if enough(row) else "   short"
        print(
            f"  {name:12} {row['rps']:12,.0f} requests/s   {row['cpu_us']:8.3f} µs server CPU per request"
            f"   {row['busy']:4.0%} busy   valkey: {row['throughput']:.3f} ± {row['throughput_error']:.3f}× throughput,"
            f" {row['cpu']:.3f} ± {row['cpu_error']:.3f}× CPU{verdict}")
    return summary


def in_rounds(client):
    """Measures rounds at -P 32, the first of which warms up."""
    def measure(test, servers, cpus):
        for turn in range(ROUNDS + 1):
            for server in servers if turn % 2 else reversed(servers):
                row = test.run(client, server, cpus)
                if turn:
                    yield server.name, row
    return measure


def in_slices(test, servers, cpus):
    """Loads both servers at -P 1 in short alternating slices, so that changes of the machine's speed affect
    both."""
    for server in servers:
        test.prepare(server, 400_000, cpus)
    with contextlib.ExitStack() as stack:
        loads = [
            stack.enter_context(Load(server, "-c", 50, "-r", 100_000, *test.command, cpus=cpus)) for server in servers]
        for turn in range(SLICES):
            for load in loads if turn % 2 else reversed(loads):
                yield load.server.name, load.slice(SLICE)


def types(options):
    """redis-benchmark's tests at -P 32."""
    title = "redis-benchmark's tests, -P 32"
    return compare(title, TESTS, in_rounds(redis_benchmark), options.rounds, lambda row: row["throughput"] >= 1.2)


def types_fast(options):
    """The tests in which redis-benchmark is the limit, with a faster client."""
    tests = [test for test in TESTS if test.name.startswith(("ping", "hgetall", "zrange", "lrange"))]
    title = "redis-benchmark's tests with verbena-benchmark, -P 32"
    return compare(title, tests, in_rounds(verbena_benchmark), options.rounds, lambda row: row["throughput"] >= 1.2)


def types_single(options):
    """redis-benchmark's tests at -P 1, where it is the limit."""
    title = "redis-benchmark's tests, -P 1"
    return compare(title, TESTS, in_slices, options.rounds, lambda row: row["throughput"] >= 1 and row["cpu"] <= 0.95)


def small(command, words):
    """1,000,000 keys of one command each; `words` gives the ten or so arguments of the i-th."""
    return lambda: (request(command, f"key:{i:09}", *words(i)) for i in range(1_000_000))


def big(command, words):
    """One key of 10,000,000 elements; `words` gives the arguments of the i-th."""
    return lambda: (
        request(command, "key", *(word for i in range(start, start + 100) for word in words(i)))
        for start in range(0, 10_000_000, 100))


COLLECTIONS = {
    "1,000,000 hashes of 5 fields": small("HSET", lambda i: [w for k in range(5) for w in (f"field{k}", f"value:{i * 5 + k}")]),
    "1,000,000 sets of 10 integers": small("SADD", lambda i: [i * 10 + k for k in range(10)]),
    "1,000,000 sets of 10 strings": small("SADD", lambda i: [f"member:{i * 10 + k}" for k in range(10)]),
    "1,000,000 sorted sets of 10": small("ZADD", lambda i: [w for k in range(10) for w in (i * 10 + k, f"member:{i * 10 + k}")]),
    "1,000,000 lists of 10": small("RPUSH", lambda i: [f"element:{i * 10 + k}" for k in range(10)]),
    "one sorted set of 10,000,000": big("ZADD", lambda i: (i * 7919 % 10_000_019, f"member:{i:010}")),
    "one set of 10,000,000": big("SADD", lambda i: (f"member:{i:010}",)),
    "one hash of 10,000,000": big("HSET", lambda i: (f"field:{i:010}", f"value:{i:010}")),
}


def collections(_options):
    """RSS of many small collections, and of single big ones."""
    summary = {}
    print("\nMemory of collections: RSS more than when empty, MB")
    for name, requests in COLLECTIONS.items():
        row = {}
        for make in (verbena, valkey):
            def measure(servers):
                (server,) = servers
                empty = server.rss()
                with Link(server) as link:
                    link.pipeline(requests(), 200)
                time.sleep(1)
                row[server.name] = (server.rss() - empty) / 1e6
            with_servers([make], measure)
        row["ratio"] = row["verbena"] / row["valkey"]
        verdict = "" if row["ratio"] < 1 else "   short"
        print(f"  {name:30} verbena {row['verbena']:8.1f}   valkey {row['valkey']:8.1f}   {row['ratio']:.2f}×{verdict}", flush=True)
        summary[name] = row
    return summary


def fill_big(link):
    """Makes the values of BIG."""
    draw = random.Random(1)
    count = 1_000_000

    def many(command, key, words, count=count):
        link.pipeline(
            (request(command, key, *(w for i in range(start, start + 100) for w in words(i))) for start in range(0, count, 100)), 200)

    many("RPUSH", "list:numbers", lambda i: (draw.randrange(10_000_000),))
    many("RPUSH", "list:words", lambda i: (f"word:{draw.randrange(10_000_000)}",))
    many("SADD", "set:a", lambda i: (f"member:{i}",))
    many("SADD", "set:b", lambda i: (f"member:{i * 2}",))
    many("SADD", "ints:a", lambda i: (i,))
    many("SADD", "ints:b", lambda i: (i * 3,))
    many("ZADD", "zset:a", lambda i: (draw.randrange(10_000_000), f"member:{i}"), 500_000)
    many("ZADD", "zset:b", lambda i: (draw.randrange(10_000_000), f"member:{i * 2}"), 500_000)
    for name in "ab":
        link.call("SET", f"bits:{name}", draw.randbytes(16 << 20))
        link.call("SET", f"bits:small:{name}", draw.randbytes(1 << 20))
    for i in range(8):
        many("PFADD", f"hll:dense:{i}", lambda k: (f"{i}:{k}",), 100_000)
        many("PFADD", f"hll:sparse:{i}", lambda k: (f"{i}:{k}",), 500)
        many("PFADD", f"hll:full:{i}", lambda k: (f"{i}:{k}",), 1500)


# Name, request, calls of a round.
BIG = [
    ("SORT, numbers", ("SORT", "list:numbers", "LIMIT", 0, 10), 2),
    ("SORT, all numbers", ("SORT", "list:numbers"), 2),
    ("SORT, words", ("SORT", "list:words", "ALPHA", "LIMIT", 0, 10), 2),
    ("SORT … STORE", ("SORT", "list:numbers", "STORE", "out"), 2),
    ("SINTER", ("SINTER", "set:a", "set:b"), 2),
    ("SINTER, integers", ("SINTER", "ints:a", "ints:b"), 2),
    ("SINTERCARD", ("SINTERCARD", 2, "set:a", "set:b"), 2),
    ("SINTERSTORE", ("SINTERSTORE", "out", "set:a", "set:b"), 2),
    ("SUNIONSTORE", ("SUNIONSTORE", "out", "set:a", "set:b"), 2),
    ("SDIFFSTORE", ("SDIFFSTORE", "out", "set:a", "set:b"), 2),
    ("ZUNIONSTORE", ("ZUNIONSTORE", "out", 2, "zset:a", "zset:b"), 2),
    ("ZINTERSTORE", ("ZINTERSTORE", "out", 2, "zset:a", "zset:b"), 2),
    ("BITOP AND, 1 MB", ("BITOP", "AND", "out", "bits:small:a", "bits:small:b"), 200),
    ("BITOP AND, 16 MB", ("BITOP", "AND", "out", "bits:a", "bits:b"), 10),
    ("BITOP OR, 16 MB", ("BITOP", "OR", "out", "bits:a", "bits:b"), 10),
    ("BITOP XOR, 16 MB", ("BITOP", "XOR", "out", "bits:a", "bits:b"), 10),
    ("BITOP NOT, 16 MB", ("BITOP", "NOT", "out", "bits:a"), 10),
    ("BITCOUNT, 1 MB", ("BITCOUNT", "bits:small:a"), 400),
    ("BITCOUNT, 16 MB", ("BITCOUNT", "bits:a"), 20),
    ("PFMERGE, dense", ("PFMERGE", "out", *(f"hll:dense:{i}" for i in range(8))), 1000),
    ("PFMERGE, sparse", ("PFMERGE", "out", *(f"hll:sparse:{i}" for i in range(8))), 1000),
    # As long as sparse ones get.
    ("PFMERGE, sparse, full", ("PFMERGE", "out", *(f"hll:full:{i}" for i in range(8))), 1000),
    ("PFCOUNT, dense", ("PFCOUNT", *(f"hll:dense:{i}" for i in range(8))), 1000),
]


def big_inputs(options):
    """Commands over big values: the time of a call, of one client."""
    on, client = two_cpus()
    rows = {}

    def measure(servers):
        links = [Link(server) for server in servers]
        for link in links:
            fill_big(link)
        for name, words, calls in BIG:
            # Short calls go in one pipeline, so that the servers' work is compared, not the network's.
            together = calls if calls >= 10 else 1
            sent = request(*words) * together
            lengths = []
            for link in links:
                link.call("DEL", "out")
                lengths.append(link.call(*words) * together)
            for _ in range(max(3, options.rounds)):
                for server, link, length in zip(servers, links, lengths):
                    cpu, started = server.cpu(), time.perf_counter()
                    for _ in range(calls // together):
                        link.call_again(sent, length)
                    elapsed = time.perf_counter() - started
                    row = {"ms": elapsed / calls * 1e3, "cpu_ms": (server.cpu() - cpu) / calls * 1e3}
                    rows.setdefault(name, {}).setdefault(server.name, []).append(row)
        for link in links:
            link.__exit__()

    with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure)
    print(f"\nCommands over big values, median of {max(3, options.rounds)} rounds")
    summary = {}
    for name, by_server in rows.items():
        ours, theirs = by_server["verbena"], by_server["valkey"]
        row = {
            "ms": median(ours, "ms"),
            "speed": median(theirs, "ms") / median(ours, "ms"),
            "cpu_speed": median(theirs, "cpu_ms") / median(ours, "cpu_ms"),
        }
        verdict = "" if row["speed"] >= 1.5 else "   short"
        print(
            f"  {name:20} {row['ms']:9.3f} ms   valkey {median(theirs, 'ms'):9.3f} ms: {row['speed']:.2f}× the speed"
            f" ({row['cpu_speed']:.2f}× by CPU){verdict}", flush=True)
        summary[name] = row
    return summary
