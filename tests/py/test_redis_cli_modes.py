"""What Debian's redis-cli does beyond sending commands, on this server and, to prove the tests, on Valkey."""

import os
import pty
import re
import select
import subprocess

import pytest
import redis
from conftest import flush, tool

PATIENCE = 20


@pytest.fixture(params=["server", "valkey_server"], ids=["on-verbena", "on-valkey"])
def either(request):
    server = request.getfixturevalue(request.param)
    flush(server)
    return server


@pytest.fixture
def client(either):
    with redis.Redis(port=either.port, decode_responses=True) as client:
        yield client


@pytest.fixture
def lfu(client):
    before = client.config_get("maxmemory-policy")["maxmemory-policy"]
    client.config_set("maxmemory-policy", "allkeys-lfu")
    yield client
    client.config_set("maxmemory-policy", before)


def run(server, *arguments, stdin=""):
    result = subprocess.run(
        [tool("redis-cli"), "-p", str(server.port), *arguments],
        input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )
    assert result.returncode == 0 and not result.stderr, result
    return result.stdout


class Running:
    """A redis-cli that goes on until it is stopped. Its output is a terminal, since to a pipe it writes late."""

    def __init__(self, server, *arguments):
        self.seen = ""
        terminal, output = pty.openpty()
        self.terminal = terminal
        self.process = subprocess.Popen(
            [tool("redis-cli"), "-p", str(server.port), *arguments], stdin=subprocess.PIPE, stdout=output, text=True, bufsize=1
        )
        os.close(output)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdin.close()
        os.close(self.terminal)

    def say(self, line):
        self.process.stdin.write(line + "\n")

    def wait_for(self, pattern):
        """Reads until the pattern is there; what was written up to its end counts as read."""
        while not (found := re.search(pattern, self.seen)):
            assert select.select([self.terminal], [], [], PATIENCE)[0], self.seen
            self.seen += os.read(self.terminal, 65536).decode().replace("\r\n", "\n")
        self.seen = self.seen[found.end():]
        return found


def fill(client):
    pipeline = client.pipeline(transaction=False)
    for i in range(200):
        pipeline.set(f"key:{i}", "x" * i)
    pipeline.rpush("list", *range(50))
    pipeline.hset("hash", mapping={f"field:{i}": i for i in range(40)})
    pipeline.sadd("set", *range(30))
    pipeline.zadd("zset", {f"member:{i}": i for i in range(20)})
    pipeline.xadd("stream", {"a": 1})
    pipeline.execute()


def test_stat(either, client):
    fill(client)
    with Running(either, "--stat", "-i", "0.05") as cli:
        cli.wait_for(r"keys +mem +clients +blocked +requests +connections")
        first, second = (cli.wait_for(r"\n205 +[\d.]+[KM] +\d+ +0 +(\d+) \(\+\d+\) +\d+") for _ in range(2))
        assert int(second[1]) == int(first[1]) + 1


@pytest.mark.parametrize("mode", ["--latency", "--latency-history"])
def test_latency(either, mode):
    with Running(either, mode, "-i", "0.2") as cli:
        cli.wait_for(r"min: \d+, max: \d+, avg: \d+\.\d\d \(\d+ samples\)")
        if mode == "--latency-history":
            cli.wait_for(r"-- 0\.\d\d seconds range")


def test_latency_distribution(either):
    with Running(either, "--latency-dist", "-i", "0.2") as cli:
        cli.wait_for(r"---------------------------------------------\n")
        cli.wait_for("\x1b\\[48;5;")


def test_biggest_keys(either, client):
    fill(client)
    found = run(either, "--bigkeys")
    assert "Sampled 205 keys in the keyspace!" in found
    for line in [
        "Biggest string found '\"key:199\"' has 199 bytes",
        "Biggest   list found '\"list\"' has 50 items",
        "Biggest   hash found '\"hash\"' has 40 fields",
        "Biggest    set found '\"set\"' has 30 members",
        "Biggest   zset found '\"zset\"' has 20 members",
        "Biggest stream found '\"stream\"' has 1 entries",
    ]:
        assert line in found
    assert "200 strings with 19900 bytes" in found


def test_keys_by_memory(either, client):
    fill(client)
    client.set("huge", "x" * 100_000)
    found = run(either, "--memkeys")
    size = client.memory_usage("huge")
    assert "Sampled 206 keys in the keyspace!" in found
    assert f"Biggest string found '\"huge\"' has {size} bytes" in found
    assert re.search(r"Biggest +hash found '\"hash\"' has \d+ bytes", found)


def test_hot_keys(either, lfu):
    fill(lfu)
    pipeline = lfu.pipeline(transaction=False)
    for _ in range(2000):
        pipeline.get("key:7")
    pipeline.execute()
    found = run(either, "--hotkeys")
    assert "Sampled 205 keys in the keyspace!" in found
    first = re.search(r'hot key found with counter: (\d+)\tkeyname: "(.*)"', found)
    assert first[2] == "key:7" and int(first[1]) > 8, found
    assert abs(lfu.object("freq", "key:7") - int(first[1])) <= 1


def test_hot_keys_need_a_policy(either):
    result = subprocess.run(
        [tool("redis-cli"), "-p", str(either.port), "SET", "a", "1"], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "OK\n"
    result = subprocess.run(
        [tool("redis-cli"), "-p", str(either.port), "--hotkeys"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert "An LFU maxmemory policy is not selected, access frequency not tracked." in result.stderr


def test_scan_with_a_pattern(either, client):
    fill(client)
    assert len(run(either, "--scan", "--pattern", "key:1?").split()) == 10
    assert sorted(run(either, "--scan").split()) == sorted(client.keys())


def test_pipe_of_requests_in_the_inline_form(either, client):
    script = "".join(f"SET key:{i} {i}\r\n" for i in range(20_000)) + "INCR none none\r\n"
    result = subprocess.run(
        [tool("redis-cli"), "-p", str(either.port), "--pipe"],
        input=script, capture_output=True, text=True, timeout=60, check=False,
    )
    assert result.returncode == 1
    assert "errors: 1, replies: 20001" in result.stdout
    assert "ERR wrong number of arguments for 'incr' command" in result.stderr
    assert client.dbsize() == 20_000


def test_monitor(either, client):
    with Running(either, "MONITOR") as cli:
        cli.wait_for(r"^OK\n")
        client.set("a b", '\x01"')
        client.execute_command("AUTH", "default", "secret")
        client.get("a b")
        cli.wait_for(r'\d{10}\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "a b" "\\x01\\""\n')
        cli.wait_for(r'"AUTH" "\(redacted\)" "\(redacted\)"\n')
        cli.wait_for(r'"GET" "a b"\n')


@pytest.mark.parametrize("protocol", [[], ["-3"]], ids=["resp2", "resp3"])
@pytest.mark.parametrize(
    "subscription, publication, message",
    [
        ("SUBSCRIBE", "PUBLISH", ["message", "ab", "hello"]),
        ("PSUBSCRIBE", "PUBLISH", ["pmessage", "ab", "ab", "hello"]),
        ("SSUBSCRIBE", "SPUBLISH", ["smessage", "ab", "hello"]),
    ],
    ids=["channel", "pattern", "sharded"],
)
def test_subscriptions(either, client, protocol, subscription, publication, message):
    with Running(either, *protocol, subscription, "ab") as cli:
        cli.wait_for(rf'1\) "{subscription.lower()}"\n2\) "ab"\n3\) \(integer\) 1\n')
        assert client.execute_command(publication, "ab", "hello") == 1
        cli.wait_for("".join(rf'{i}\) "{part}"\n' for i, part in enumerate(message, 1)))


def test_invalidations_are_shown(either, client):
    with Running(either, "-3", "--show-pushes", "yes") as cli:
        cli.say("CLIENT TRACKING ON")
        cli.wait_for(r"OK\n")
        cli.say("GET a")
        cli.wait_for(r"\(nil\)\n")
        client.set("a", 1)
        cli.say("PING")
        cli.wait_for(r"-> invalidate: 'a'\nPONG\n")
        cli.say("CLIENT TRACKING OFF")
        cli.wait_for(r"OK\n")
