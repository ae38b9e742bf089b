"""The metrics that Debian's exporter for Prometheus finds here, compared with those that it finds on Valkey."""

import re
import socket
import subprocess
import time
import urllib.request

import pytest
import redis
from conftest import REPO, Server, oracle

EXPORTER = REPO / "target/exporter/usr/bin/prometheus-redis-exporter"
READY_SECONDS = 20
METRIC = re.compile(r'^(redis_\w+|exporter_\w+)(?:\{(.*)\})? (\S+)$', re.M)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def metrics(server):
    """What the exporter tells of a server: {(name, ((label, value), ...)): number}."""
    assert EXPORTER.exists(), f"{EXPORTER} is not there: scripts/setup test"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [EXPORTER, "-redis.addr", f"redis://127.0.0.1:{server.port}", "-web.listen-address", f"127.0.0.1:{port}",
         "-check-keys", "key*", "-check-streams", "stream*", "-count-keys", "key*", "-export-client-list",
         "-include-system-metrics", "-include-config-metrics"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        connect(port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=READY_SECONDS) as answer:
            text = answer.read().decode()
    finally:
        process.kill()
        process.wait()
    found = METRIC.findall(text)
    return {(name, tuple(sorted(LABEL.findall(labels)))): float(value) for name, labels, value in found}


def connect(port):
    """The exporter says nowhere that it listens now."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the exporter does not listen"
            time.sleep(0.01)


def use(server):
    """Does a little of everything that has a metric."""
    with redis.Redis(port=server.port) as client:
        client.config_set("slowlog-log-slower-than", 0)
        client.config_set("latency-monitor-threshold", 5)
        client.execute_command("DEBUG", "SLEEP", "0.02")
        # Only this one: what a busy machine delays afterwards would be the latest event.
        client.config_set("latency-monitor-threshold", 0)
        client.set("key", "value", ex=1000)
        client.rpush("key:list", 1, 2, 3)
        client.get("none")
        client.xadd("stream", {"a": 1})
        client.xgroup_create("stream", "group", "0")
        client.xreadgroup("group", "consumer", {"stream": ">"})
        for wrong in (["INCR", "key"], ["GET"], ["LPUSH", "key", "1"]):
            with pytest.raises(redis.ResponseError):
                client.execute_command(*wrong)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The metrics of this server and those of Valkey."""
    both = []
    for name, program in (("verbena", None), ("valkey", oracle())):
        server = Server(
            tmp_path_factory.mktemp(name), "--enable-debug-command", "yes", "--maxmemory", "100mb", program=program
        )
        use(server)
        both.append(metrics(server))
        server.stop()
    return both


def test_every_metric_of_valkey_is_there(found):
    ours, theirs = ({(name, *(label for label, _ in labels)) for name, labels in each} for each in found)
    assert len(theirs) > 130
    assert theirs - ours == set()
    assert ours - theirs == set()


def test_the_commands_and_parameters_are_those_of_valkey(found):
    """Labels whose values do not differ from server to server."""
    chosen = {"cmd", "key", "event_name", "stream", "group", "consumer", "db", "err", "quantile"}
    ours, theirs = (
        {(name, *(pair for pair in labels if pair[0] in chosen)) for name, labels in each} for each in found
    )
    assert theirs - ours == set()


def test_the_metrics_tell_what_happened(found):
    for each in found:
        value = lambda name, **labels: each[name, tuple(sorted(labels.items()))]
        assert value("redis_up") == 1
        assert value("redis_db_keys", db="db0") == 3
        assert value("redis_db_keys_expiring", db="db0") == 1
        assert value("redis_key_size", db="db0", key="key:list") == 3
        assert value("redis_commands_total", cmd="rpush") == 1
        assert value("redis_commands_failed_calls_total", cmd="incr") == 1
        assert value("redis_commands_rejected_calls_total", cmd="get") == 1
        assert value("redis_errors_total", err="WRONGTYPE") == 1
        assert value("redis_keyspace_misses_total") == 1
        assert value("redis_memory_max_bytes") == 100 << 20
        assert value("redis_stream_length", db="db0", stream="stream") == 1
        assert value("redis_latency_spike_duration_seconds", event_name="command") >= 0.02
        assert value("redis_slowlog_length") >= 10
        assert value("redis_latency_percentiles_usec_count", cmd="set") == 1
