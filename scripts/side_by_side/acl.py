"""What permissions cost: GET under a user with rules beside GET under one who may do everything."""

from .against import DEPTHS, KEYS, REQUESTS, counter
from .servers import Link, benchmark_command, verbena, verbena_benchmark, with_servers

# Ratio of the instructions of a request to those of a request of the unrestricted user, at most.
MOST_INSTRUCTIONS = 1.1

# Ten patterns, the last of which matches.
PATTERNS = [f"~{name}:*" for name in
            ("session", "cart", "kiosk", "queue", "keyring", "limits", "users", "keys", "jobs", "key")]

# Fifty rules for commands.
COMMANDS = ["-@all", "+@connection", "+@fast", "-flushall", "+config|get", "+acl", "+info", "+command"] + [
    f"+{name}" for name in
    ("set append getrange setrange mset strlen incrbyfloat del unlink exists expire ttl type rename copy lrange ltrim"
     " linsert lset smembers sinter sunion sdiff hgetall hkeys hvals hscan zrange zrangebyscore zrevrange zunion"
     " xrange xread xadd scan dbsize object memory|usage publish subscribe get").split()
] + ["-swapdb"]
assert len(PATTERNS) == 10 and len(COMMANDS) == 50


def acl(_options):
    """Instructions of a GET by an unrestricted user, and by one with many rules."""
    kind = counter()
    print(f"\nGET under a user with 10 patterns and 50 rules for commands, instructions by {kind.name}; "
          f"bar: at most {MOST_INSTRUCTIONS} times those of the default user", flush=True)
    summary = {}

    def measure(servers):
        (server,) = servers
        verbena_benchmark(server, "-t", "set", "-n", KEYS, "-r", KEYS, "--sequential", "-d", 64, "-P", 64)
        counts = kind(server)
        costs = {}
        for user, rules in (("unrestricted", ()), ("restricted", ("resetkeys", *PATTERNS, *COMMANDS))):
            with Link(server) as link:
                link.call("ACL", "SETUSER", "default", *rules)
            for depth in DEPTHS:
                few, many = REQUESTS[kind.name][depth]
                cost = {}
                # The first run warms up.
                for requests in (few, few, many):
                    words = ("-c", 50, "-P", depth, "-r", KEYS, "-n", requests, "-t", "get")
                    cost[requests] = counts.count(benchmark_command(server, *words))
                costs[user, depth] = (cost[many] - cost[few]) / (many - few)
        for depth in DEPTHS:
            free, bound = costs["unrestricted", depth], costs["restricted", depth]
            short = "   short" if bound / free > MOST_INSTRUCTIONS else ""
            print(f"  -P {depth:2}   {free:9,.0f} → {bound:9,.0f} instructions: {bound / free:.3f}×{short}", flush=True)
            summary[f"GET -P {depth}"] = {"unrestricted": free, "restricted": bound, "instructions": bound / free}

    # callgrind_control finds the process by its title.
    with_servers([lambda: verbena(wrapper=kind.wrapper, options=("--set-proc-title", "no"))], measure)
    return summary
