"""Registries, through skopeo: read a manifest, read a configuration, fetch layers into the shared blobs.

Credentials go into a file that only root reads, never onto a command line. A fetch may take as long as it makes progress:
it is ended when no byte has arrived for `stall_seconds`.
"""

import asyncio
import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.errors import (
    Internal,
    InvalidArgument,
    NotFound,
    NotSupported,
    ResourceExhausted,
    RuntimeFault,
    Timeout,
    Unavailable,
)
from runtimes.kube.image_reference import Reference
from runtimes.linux import process
from runtimes.oci.images.layout import DISK_FULL, Layout
from runtimes.oci.images.manifest import Manifest
from runtimes.oci.images.registries import PullSource, Registries, registry_name

_PASSED_ON = ("PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")
_FETCH_LIMIT_SECONDS = 7 * 86400.0  # a bound for form's sake: the lack of progress ends a fetch
_LOOK_SECONDS = 0.5  # how often arrived bytes are counted: skopeo reports them to terminals only
_LOG_MESSAGE = re.compile(r'level=(?:fatal|error) msg=("(?:[^"\\]|\\.)*")')
_POLICY = Path("/etc/containers/policy.json")

# skopeo has one exit status for every failure; what it says is the only way to tell them apart. First match counts.
_ANSWERS: tuple[tuple[str, type[RuntimeFault]], ...] = (
    (DISK_FULL, ResourceExhausted),
    ("manifest unknown", NotFound),
    ("name unknown", NotFound),
    ("repository name not known", NotFound),
    ("blob unknown", NotFound),
    ("404 (Not Found)", NotFound),
    ("unsupported docker v2s2 media type", NotSupported),  # Docker's manifests with zstd layers; OCI's may have them
    ("unsupported schema", InvalidArgument),
    ("manifest invalid", InvalidArgument),
    ("digest did not match", InvalidArgument),
    ("does not match", InvalidArgument),
)


def no_logins(repository: str) -> cri.AuthConfig | None:
    """A node that has no logins of its own."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkopeoSettings:
    """`mirror_login`: the node's own login for a repository on a mirror: what a pull brings is the registry's alone."""

    program: str = "skopeo"
    registries: Registries = field(default_factory=Registries)
    mirror_login: Callable[[str], cri.AuthConfig | None] = no_logins
    resolve_seconds: float = 60.0
    stall_seconds: float = 60.0


class Skopeo:
    """One conversation with a registry: one place, one credential, one folder under tmp/ for its files."""

    def __init__(
        self, settings: SkopeoSettings, place: PullSource, auth: cri.AuthConfig | None, layout: Layout, work: Path
    ) -> None:
        self.place = place
        self._settings = settings
        self._layout = layout
        self._work = work
        self._authfile = work / "auth.json"
        fd = os.open(self._authfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(auth_document(place.reference.host, auth), file)
        if settings.registries.entries:
            # With a file of its "user", skopeo reads neither the machine's own nor what is dropped in beside that.
            own = work / ".config" / "containers" / "registries.conf"
            own.parent.mkdir(parents=True)
            own.write_text("unqualified-search-registries = []\n")

    async def manifest(self, digest: str = "") -> bytes:
        """The manifest or index that the reference names, or the one with `digest`, byte for byte."""
        return await self._inspect(digest, "--raw")

    async def configuration(self, digest: str) -> bytes:
        """The image configuration of the manifest with `digest`, byte for byte."""
        return await self._inspect(digest, "--raw", "--config")

    async def fetch_layers(self, digest: str, manifest: Manifest, progress: Callable[[int, int], None]) -> None:
        """Bring the layers of the manifest with `digest` into the blobs; those that are there are not fetched again.

        `progress(bytes_done, layers_done)` is called as they arrive. Raises Timeout when they stop to.
        """
        target = self._work / "fetched"
        target.mkdir()
        argv = [
            *self._command("copy", "--src-tls-verify=false", "--src-cert-dir"),
            # Layers as they are: skopeo would compress plain ones, which changes what they are called.
            "--dest-oci-accept-uncompressed-layers",
            f"--dest-shared-blob-dir={self._layout.blobs}",
            self._source(digest),
            f"oci:{target}:image",
        ]
        copying = asyncio.create_task(self._run(argv, timeout_seconds=_FETCH_LIMIT_SECONDS))
        watch = _Watch(self._layout, target, manifest)
        clock = asyncio.get_running_loop().time
        seen, since = (-1, -1), clock()
        try:
            while not copying.done():
                await asyncio.wait({copying}, timeout=_LOOK_SECONDS)
                now = watch.look()
                if now != seen:
                    seen, since = now, clock()
                    progress(*now)
                elif clock() - since > self._settings.stall_seconds:
                    raise Timeout(f"no data from the registry for {self._settings.stall_seconds:g}s")
            copying.result()
        finally:
            copying.cancel()
            await asyncio.wait({copying})

    async def _inspect(self, digest: str, *what: str) -> bytes:
        argv = [*self._command("inspect", "--tls-verify=false", "--cert-dir"), *what, self._source(digest)]
        return await self._run(argv, timeout_seconds=self._settings.resolve_seconds)

    def _command(self, verb: str, plain_http_flag: str, certs_flag: str) -> list[str]:
        argv = [self._settings.program]
        if not _POLICY.exists():
            argv.append("--insecure-policy")  # no policy on this machine: nothing was asked to be signed
        argv += [verb, f"--authfile={self._authfile}"]
        if self.place.insecure:
            argv.append(plain_http_flag)
        if self.place.certs_dir is not None:
            argv.append(f"{certs_flag}={self.place.certs_dir}")
        return argv

    def _source(self, digest: str) -> str:
        reference = self.place.reference
        return f"docker://{reference.with_digest(digest) if digest else reference}"

    async def _run(self, argv: list[str], *, timeout_seconds: float) -> bytes:
        try:
            done = await process.run(argv, timeout_seconds=timeout_seconds, env=self._environment())
        except process.ProgramNotFound as error:
            raise NotSupported(str(error)) from None
        except process.ProcessTimeout:
            raise Timeout(f"no answer from the registry {self.place.reference.host} for {timeout_seconds:g}s") from None
        except process.OutputTooLarge as error:
            raise InvalidArgument(f"the manifest is too large: {error}") from None
        if not done.ok:
            raise fault(done.error_text)
        return done.stdout

    def _environment(self) -> Mapping[str, str]:
        """Nothing of root's own logins: only the given credential counts."""
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        env |= {"HOME": str(self._work), "XDG_RUNTIME_DIR": str(self._work), "TMPDIR": str(self._work)}
        return env


class _Watch:
    """Counts what has arrived: whole blobs, and the files that skopeo is writing to."""

    def __init__(self, layout: Layout, target: Path, manifest: Manifest) -> None:
        self._target = target
        self._layers = {layer.digest: (layout.blob(layer.digest), layer.size_bytes) for layer in manifest.layers}
        self._done: set[str] = set()

    def look(self) -> tuple[int, int]:
        self._done |= {d for d, (path, _) in self._layers.items() if d not in self._done and path.exists()}
        arrived = sum(self._layers[digest][1] for digest in self._done)
        with os.scandir(self._target) as entries:
            for entry in entries:
                if entry.name.startswith("oci-put-blob"):
                    try:
                        arrived += entry.stat().st_size
                    except FileNotFoundError:
                        continue  # renamed to its place just now; counted next time
        return arrived, len(self._done)


def conversations(
    settings: SkopeoSettings, reference: Reference, auth: cri.AuthConfig | None, layout: Layout, work: Path
) -> list[Skopeo]:
    """One for every place where the image may be, in the order in which they are to be asked. Raises InvalidArgument.

    `auth` is told to the registry that the image is named after, and to nobody else.
    """
    found = []
    for number, place in enumerate(settings.registries.places(reference)):
        folder = work / f"place-{number}"
        folder.mkdir()
        own = registry_name(place.reference.host) == registry_name(reference.host)
        login = auth if own else settings.mirror_login(place.reference.repository)
        found.append(Skopeo(settings, place, login, layout, folder))
    return found


def auth_document(host: str, auth: cri.AuthConfig | None) -> dict[str, object]:
    """A containers-auth.json(5) with one credential for `host`, or with none. Raises InvalidArgument, NotSupported."""
    if auth is None:
        return {"auths": {}}
    if auth.registry_token:
        raise NotSupported("registry tokens are not supported: they could only be passed on a command line")
    if auth.identity_token:
        user = base64.b64encode(b"<token>:").decode()
        return {"auths": {host: {"auth": user, "identitytoken": auth.identity_token}}}
    if auth.username or auth.password:
        pair = f"{auth.username}:{auth.password}".encode()
    elif auth.auth:
        try:
            pair = base64.b64decode(auth.auth, validate=True).rstrip(b"\0")
        except binascii.Error:
            raise InvalidArgument("the credential's auth field is not base64") from None
        if b":" not in pair:
            raise InvalidArgument("the credential's auth field is not user:password")
    else:
        return {"auths": {}}
    return {"auths": {host: {"auth": base64.b64encode(pair).decode()}}}


def fault(stderr: str) -> RuntimeFault:
    """skopeo's complaint as an error of ours that carries the registry's answer."""
    messages = _LOG_MESSAGE.findall(stderr)
    text = _unquoted(messages[-1]) if messages else stderr
    # skopeo's own first clause says only that it was asked to inspect or to copy.
    answer = re.sub(r'^Error parsing image name "[^"]*": ', "", text)
    if not messages:
        return Internal(f"skopeo: {answer}")
    for words, kind in _ANSWERS:
        if words in answer:
            return kind(answer)
    return Unavailable(answer)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:  # Go quotes a little differently
        return text[1:-1].replace('\\"', '"')
