"""Debian's redis-cli and redis-benchmark."""

import csv
import json
import subprocess

import pytest
from conftest import Server, tool


@pytest.fixture(params=["tcp", "unix", "tls"])
def transport(request):
    return request.param


@pytest.fixture
def cli(server, transport):
    def run(*arguments, stdin=""):
        result = subprocess.run(
            [tool("redis-cli"), *server.options(transport), *arguments],
            input=stdin, capture_output=True, text=not isinstance(stdin, bytes), timeout=60, check=False,
        )
        assert not result.stderr, result.stderr
        return result.stdout

    return run


def test_one_shot(cli):
    assert cli("SET", "a", "1") == "OK\n"
    assert cli("INCR", "a") == "2\n"
    assert cli("GET", "missing") == "\n"
    assert cli("GET") == "ERR wrong number of arguments for 'get' command\n\n"
    assert cli("-n", "5", "DBSIZE") == "0\n"
    assert cli("-r", "3", "INCR", "a") == "3\n4\n5\n"


def test_commands_from_stdin(cli):
    script = 'SET a "x\\ny"\nGET a\nAPPEND a \'z\'\nSTRLEN a\nSELECT 3\nDBSIZE\nNOTHING\nMGET a b\n'
    assert cli("--no-raw", stdin=script) == (
        "OK\n\"x\\ny\"\n(integer) 4\n(integer) 4\nOK\n(integer) 0\n"
        "(error) ERR unknown command 'NOTHING', with args beginning with: \n1) (nil)\n2) (nil)\n"
    )


def test_resp3(cli):
    assert cli("-3", "--no-raw", "GET", "missing") == "(nil)\n"
    assert "proto 3" in cli("-3", "HELLO").splitlines()
    assert cli("-3", "--no-raw", "CONFIG", "GET", "databases") == '1# "databases" => "16"\n'


def test_json(cli):
    cli("MSET", "a", "1", "b", 'quote"')
    assert json.loads(cli("--json", "MGET", "a", "b", "c")) == ["1", 'quote"', None]
    assert json.loads(cli("--json", "CONFIG", "GET", "databases")) == {"databases": "16"}


def test_mass_insertion(cli):
    requests = b"".join(
        b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$5\r\nvalue\r\n" % (len(key), key)
        for key in (b"key:%d" % i for i in range(20_000))
    )
    output = cli("--pipe", stdin=requests).decode()
    assert "errors: 0, replies: 20000" in output
    assert cli("DBSIZE") == "20000\n"


def test_scan_and_statistics(cli):
    cli(stdin="".join(f"SET key:{i} {'x' * i}\n" for i in range(1, 201)))
    assert len(cli("--scan", "--pattern", "key:1*").split()) == 111
    assert cli("--scan").count("\n") == 200
    assert "Biggest string found" in cli("--bigkeys")


@pytest.mark.parametrize("options", [["-q"], ["-P", "16"], ["-3"], ["--threads", "2"], ["-c", "200"], ["-k", "0"]], ids=" ".join)
def test_benchmark(server, transport, options):
    requests = "500" if options[0] == "-k" else "5000"
    result = subprocess.run(
        [tool("redis-benchmark"), *server.options(transport), "-n", requests, "-r", "1000", "-d", "64", "--csv",
         "-t", "ping_inline,ping_mbulk,set,get,incr,mset", *options],
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "rror" not in result.stdout + result.stderr
    rows = [row for row in csv.reader(result.stdout.splitlines()) if row and row[0] != "test"]
    assert [row[0] for row in rows] == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"]


def test_password(tmp_path):
    server = Server(tmp_path, "--requirepass", "secret word")
    run = lambda *arguments: subprocess.run(
        [tool("redis-cli"), *server.options("tcp"), *arguments], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    assert run("PING") == "NOAUTH Authentication required.\n\n"
    assert run("--no-auth-warning", "-a", "secret word", "PING") == "PONG\n"
    assert run("--no-auth-warning", "-3", "-a", "secret word", "--user", "default", "PING") == "PONG\n"
    assert server.stop() == 0
