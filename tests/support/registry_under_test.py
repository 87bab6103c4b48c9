"""A real registry (Debian's docker-registry) on this machine: open or with a login, plain or TLS with a CA of its own."""

import contextlib
import datetime
import ipaddress
import json
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER, PASSWORD = "alice", "s3cret"
# bcrypt of PASSWORD, the only form that docker-registry takes
HTPASSWD = "alice:$2b$04$Pll2XfvfnODjwOxOXl/ccuhczfTGR6VJolijeU6avyyiVmO.BKG6m"


@dataclass(frozen=True)
class Registry:
    host: str
    certs: Path | None = None

    def push(self, archive: Path, name: str, *options: str) -> str:
        """Push an OCI archive as `name`; returns the full reference."""
        reference = f"{self.host}/{name}"
        source = archive if ":" in str(archive) else f"oci-archive:{archive}"
        argv = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"--dest-creds={USER}:{PASSWORD}", *options]
        subprocess.run([*argv, str(source), f"docker://{reference}"], check=True, timeout=60)
        return reference

    def put(self, files: Mapping[str, bytes], descriptor: Mapping[str, Any], name: str) -> str:
        """Push what a descriptor of an OCI layout's files names, byte for byte; returns the full reference. Plain HTTP only."""
        repository, _, tag = name.partition(":")
        self._put(files, descriptor, repository, tag)
        return f"{self.host}/{name}"

    def _put(self, files: Mapping[str, bytes], descriptor: Mapping[str, Any], repository: str, tag: str = "") -> None:
        data, digest, kind = (
            files["blobs/" + descriptor["digest"].replace(":", "/")],
            descriptor["digest"],
            descriptor["mediaType"],
        )
        base = f"http://{self.host}/v2/{repository}"
        if "manifest" not in kind and "index" not in kind:
            with urllib.request.urlopen(
                urllib.request.Request(f"{base}/blobs/uploads/", method="POST"), timeout=30
            ) as answer:
                place = answer.headers["Location"]
            headers = {"Content-Type": "application/octet-stream"}
            request = urllib.request.Request(f"{place}&digest={digest}", data=data, method="PUT", headers=headers)
        else:
            document = json.loads(data)
            for part in (*document.get("manifests", ()), *document.get("layers", ()), document.get("config")):
                if part:
                    self._put(files, part, repository)
            headers = {"Content-Type": kind}
            request = urllib.request.Request(
                f"{base}/manifests/{tag or digest}", data=data, method="PUT", headers=headers
            )
        urllib.request.urlopen(request, timeout=30).close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running_registry(folder: Path, *, auth: bool = False, tls: bool = False) -> Iterator[Registry]:
    folder.mkdir()
    port = free_port()
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}"}
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": http,
    }
    if auth:
        (folder / "htpasswd").write_text(HTPASSWD + "\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    if tls:
        http["tls"] = certificate(folder)
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield Registry(f"127.0.0.1:{port}", folder / "certs" if tls else None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, "docker-registry ended"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise AssertionError("docker-registry does not listen")


def certificate(folder: Path) -> dict[str, str]:
    """A CA of the test's own (in certs/ca.crt) and a server certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, key: Any, issuer: str, signer: Any, extension: x509.ExtensionType) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=True)
            .sign(signer, hashes.SHA256())
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = issue("ca", ca_key, "ca", ca_key, x509.BasicConstraints(ca=True, path_length=None))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = issue("registry", key, "ca", ca_key, names)
    (folder / "certs").mkdir()
    pem = serialization.Encoding.PEM
    (folder / "certs" / "ca.crt").write_bytes(ca.public_bytes(pem))
    (folder / "server.crt").write_bytes(server.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(private)
    return {"certificate": str(folder / "server.crt"), "key": str(folder / "server.key")}
