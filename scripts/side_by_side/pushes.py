"""Messages to many clients beside Valkey: publish and subscribe, client-side caching, idle subscribers."""

import json
import statistics
import subprocess

from .servers import RELEASE, pinned, two_cpus, valkey, verbena, with_servers

# Ratio to Valkey's messages or writes a second, at least; or, where the clients are the limit, to its CPU time for
# each message, at most.
BAR, CPU_BAR = 1.2, 0.8

# Subscribers, publishers, and messages in flight of each.
LOADS = ((1, 50, 1), (1, 10, 16), (100, 50, 1), (100, 10, 16))

TRACKING_CLIENTS = 1000
IDLE_CLIENTS = 10_000

# Bytes of memory for each idle subscriber, at most.
IDLE_BAR = 4096


def pushes(options):
    """PUBLISH to one subscriber and to many; a key that 1,000 clients track; memory of 10,000 idle subscribers."""
    return {"publish": publish(options), "track": track(options), "idle": idle()}


def fanout(server, *args, cpus=None):
    """Runs examples/fanout.rs; its figures, with the server's CPU time in `cpu`, in seconds."""
    command = pinned([str(RELEASE / "examples/fanout"), "--port", str(server.port), *map(str, args)], cpus)
    before = server.cpu()
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"bench: {' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    return {**json.loads(run.stdout), "cpu": server.cpu() - before}


def rows(options, args, cpus):
    """Rows of both servers in alternating rounds; the first one warms up."""
    on, client = cpus

    def measure(servers):
        got = {server.name: [] for server in servers}
        for turn in range(options.rounds + 1):
            for server in servers if turn % 2 else reversed(servers):
                row = fanout(server, *args, "--seconds", options.slice_seconds, cpus=client)
                if turn:
                    got[server.name].append(row)
        return got

    return with_servers([lambda: verbena(cpus=on), lambda: valkey(cpus=on)], measure)


def compare(title, got, count):
    """Prints and returns the medians: `count` a second, and CPU time for each."""
    rate = {name: statistics.median(row["per_second"] for row in all_) for name, all_ in got.items()}
    cpu = {name: statistics.median(row["cpu"] / row[count] for row in all_) * 1e6 for name, all_ in got.items()}
    ratio, cpu_ratio = rate["verbena"] / rate["valkey"], cpu["verbena"] / cpu["valkey"]
    met = ratio >= BAR or ratio >= 0.97 and cpu_ratio <= CPU_BAR
    print(
        f"  {title:38} {rate['verbena']:11,.0f}/s   valkey {rate['valkey']:11,.0f}/s   {ratio:.2f}×   "
        f"CPU {cpu['verbena']:8.2f} µs, valkey {cpu['valkey']:8.2f} µs: {cpu_ratio:.2f}×{'' if met else '   short'}", flush=True)
    return {"rate": rate, "cpu_us": cpu, "ratio": ratio, "cpu_ratio": cpu_ratio}


def publish(options):
    print(f"\nMessages delivered, median of {options.rounds} rounds (bars: {BAR}×, or as many at {CPU_BAR}× the CPU time)")
    summary = {}
    for subscribers, publishers, in_flight in LOADS:
        args = ("publish", "--clients", subscribers, "--publishers", publishers, "--in-flight", in_flight)
        title = f"{subscribers} subscribers, {publishers} × {in_flight} in flight"
        summary[title] = compare(title, rows(options, args, two_cpus()), "delivered")
    return summary


def track(options):
    print(f"\nWrites of a key that {TRACKING_CLIENTS} clients track and read again after each")
    got = rows(options, ("track", "--clients", TRACKING_CLIENTS), two_cpus())
    return compare("writes", got, "writes")


def idle():
    """Resident memory for each client that has subscribed to a channel of its own."""

    def measure(servers):
        each = {}
        for server in servers:
            before = server.rss()
            command = [str(RELEASE / "examples/fanout"), "--port", str(server.port), "idle", "--clients", str(IDLE_CLIENTS)]
            clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if clients.stdout.readline().strip() != "ready":
                raise SystemExit("bench: the idle subscribers could not connect")
            each[server.name] = (server.rss() - before) / IDLE_CLIENTS
            clients.communicate()
        return each

    each = with_servers([verbena, valkey], measure)
    verdict = "" if each["verbena"] < IDLE_BAR else "   short"
    print(f"\n{IDLE_CLIENTS:,} idle connections, subscribed to one channel each")
    print(
        f"  verbena {each['verbena']:,.0f} bytes of resident memory each (under {IDLE_BAR}), valkey {each['valkey']:,.0f}{verdict}",
        flush=True)
    return each
