"""An authority, and certificates that it has issued, made by OpenSSL."""

import pathlib
import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """An authority whose files lie in a directory: its own certificate, and those of a server and of a client."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.certificate = self.directory / "ca.crt"
        openssl("req", "-x509", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
                "-subj", "/CN=Authority", "-keyout", self.directory / "ca.key", "-out", self.certificate)
        self.server = self.issue("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.client = self.issue("client", "subjectAltName=URI:urn:verbena:client")

    def issue(self, name, extension):
        """The paths of a certificate and its key."""
        key, request, certificate = (self.directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"{extension}\n")
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.directory / "ca.key",
                "-CAcreateserial", "-days", 2, "-extfile", extensions, "-out", certificate)
        return certificate, key

    def server_options(self, port):
        certificate, key = self.server
        return ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
                "--tls-ca-cert-file", str(self.certificate)]
