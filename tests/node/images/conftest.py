"""A store on this machine's disk, a real registry, and images made by hand."""

import contextlib
import datetime
import hashlib
import io
import ipaddress
import json
import signal
import socket
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtimes.oci.images.skopeo import SkopeoSettings
from runtimes.oci.images.store import DiskImageStore, StoreSettings

USER, PASSWORD = "alice", "s3cret"
# bcrypt of PASSWORD, the only form that docker-registry takes
HTPASSWD = "alice:$2b$04$Pll2XfvfnODjwOxOXl/ccuhczfTGR6VJolijeU6avyyiVmO.BKG6m"

KINDS = {
    "file": tarfile.REGTYPE,
    "symlink": tarfile.SYMTYPE,
    "link": tarfile.LNKTYPE,
    "dir": tarfile.DIRTYPE,
    "char": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}


# (kind, name, data of a file or target of a link, {mode, uid, gid, device, xattrs}), the last two optional
Entry = tuple[Any, ...]


@pytest.fixture
def layer() -> Callable[..., bytes]:
    """layer(entry, ...) -> a plain tar."""
    return make_layer


def make_layer(*entries: Entry) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind, name, *rest in entries:
            value = rest[0] if rest else ""
            more: dict[str, Any] = rest[1] if len(rest) > 1 else {}
            member = tarfile.TarInfo(name)
            member.type = KINDS[kind]
            member.mode = more.get("mode", 0o755 if kind == "dir" else 0o644)
            member.uid, member.gid = more.get("uid", 0), more.get("gid", 0)
            member.devmajor, member.devminor = more.get("device", (0, 0))
            member.pax_headers = {f"SCHILY.xattr.{key}": text for key, text in more.get("xattrs", {}).items()}
            if kind in ("symlink", "link"):
                member.linkname = value
            data = value.encode(errors="surrogateescape") if kind == "file" else b""
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """hack/demo-image as a module: `build`, `write_archive`."""
    module = ModuleType("demo_image")
    SourceFileLoader("demo_image", str(Path(__file__).parents[3] / "hack" / "demo-image")).exec_module(module)
    return module


@pytest.fixture(scope="session")
def demo(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo image's archive and its id."""
    path = tmp_path_factory.mktemp("demo") / "demo.tar"
    return path, builder.build(path)


@pytest.fixture
def image(builder: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """image(layer, ...) -> an OCI archive."""

    def make(*layers: bytes, tag: str = "localhost/test:1", **more: Any) -> Path:
        path = tmp_path / f"image-{hashlib.sha256(repr((layers, tag, more)).encode()).hexdigest()[:12]}.tar"
        builder.write_archive(path, layers, tag=tag, config=more.pop("config", {}), **more)
        return path

    return make


def mounts_below(path: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [line.split()[4].replace("\\040", " ") for line in lines]
    return [mount for mount in found if mount.startswith(f"{path}/")]


@pytest.fixture(autouse=True)
def nothing_left_mounted(tmp_path: Path) -> Iterator[None]:
    """A test that leaves a mount behind fails."""
    yield
    left = mounts_below(tmp_path)
    for mount in reversed(left):
        subprocess.run(["umount", "-l", mount], check=False)
    assert left == []


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """await open_store(**SkopeoSettings) -> a started store; all calls open the same folder."""
    stores: list[DiskImageStore] = []

    async def make(*, umoci: str = "umoci", root: Path | None = None, **skopeo: Any) -> DiskImageStore:
        settings = StoreSettings(umoci=umoci, skopeo=SkopeoSettings(**skopeo))
        store = DiskImageStore(root or tmp_path / "store", settings)
        await store.start()
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.stop()


@pytest.fixture
async def store(open_store: Callable[..., Any]) -> DiskImageStore:
    return await open_store()  # type: ignore[no-any-return]


@pytest.fixture
def leftovers() -> Callable[[Path], set[str]]:
    """leftovers(root) -> what lies in a store besides complete images: nothing, once it is at rest."""
    return find_leftovers


def find_leftovers(root: Path) -> set[str]:
    names: set[str] = set()
    for record in (root / "records").glob("*.json"):
        document = json.loads(record.read_text())
        names |= {document["id"], document["manifest_digest"], *document["layers"]}
    known = {name.partition(":")[2] for name in names}
    folders = ("blobs/sha256", "blobs/sha512", "unpacked", "tmp", "holds")
    return {f"{folder}/{p.name}" for folder in folders for p in (root / folder).iterdir() if p.name not in known}


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


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """An open registry on this machine, plain HTTP."""
    with running_registry(tmp_path_factory.mktemp("registry") / "r") as running:
        yield running


@pytest.fixture(scope="module")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for USER and PASSWORD, over TLS with a certificate of its own CA."""
    with running_registry(tmp_path_factory.mktemp("registry") / "r", auth=True, tls=True) as running:
        yield running


@pytest.fixture
def wrapped(tmp_path: Path) -> Callable[..., tuple[str, Path]]:
    """wrapped("skopeo", body) -> (program, log): a program that notes its arguments, does `body`, becomes the real one."""

    def make(program: str, body: str = "") -> tuple[str, Path]:
        log, script = tmp_path / f"{program}.log", tmp_path / program
        script.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{body}\nexec {program} "$@"\n')
        script.chmod(0o755)
        log.touch()
        return str(script), log

    return make
