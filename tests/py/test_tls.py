"""TLS as redis-py and valkey-py see it: certificates of both sides, and long values."""

import re

import pytest
import redis
import valkey
from conftest import flush


def connect(library, server, **options):
    kind = library.Redis if library is redis else library.Valkey
    return kind(host="127.0.0.1", port=server.tls_port, ssl=True, ssl_ca_certs=str(server.authority.certificate), **options)


def identity(server):
    certificate, key = server.authority.client
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


@pytest.fixture(params=[redis, valkey], ids=["redis", "valkey"])
def library(request):
    return request.param


def test_a_client_without_a_certificate_is_not_let_in(library, server):
    with connect(library, server) as client, pytest.raises(library.exceptions.ConnectionError):
        client.ping()
    with connect(library, server, **identity(server)) as client:
        assert client.ping() is True


def test_a_server_that_is_not_trusted_is_left(library, server, tmp_path):
    from certificates import Authority

    options = {**identity(server), "ssl_ca_certs": str(Authority(tmp_path).certificate)}
    kind = library.Redis if library is redis else library.Valkey
    with kind(host="127.0.0.1", port=server.tls_port, ssl=True, **options) as client:
        with pytest.raises(library.exceptions.ConnectionError, match="certificate verify failed"):
            client.ping()


def test_long_values_and_pipelines(library, server):
    flush(server)
    value = bytes(range(256)) * (4096 + 1)
    with connect(library, server, **identity(server)) as client:
        client.set("long", value)
        assert client.get("long") == value
        with client.pipeline(transaction=False) as pipeline:
            for number in range(5000):
                pipeline.set(f"key:{number}", number)
            assert all(pipeline.execute())
        assert client.dbsize() == 5001


def test_certificates_are_told_in_info(library, server):
    with connect(library, server, **identity(server)) as client:
        info = client.info("tls")
        assert re.fullmatch("[0-9A-F]+", str(info["tls_server_cert_serial"]))
        assert 0 < info["tls_server_cert_expires_in_seconds"] <= 2 * 86400
        assert "tls" in {listener["name"] for name, listener in client.info("server").items() if name.startswith("listener")}
