"""Registry credentials: read from secrets and docker's files, and found by the repository to pull.

Source: docs/facts/pod-lifecycle.md 13.1; the formats of docker's config.json and .dockercfg.
"""

import base64
import binascii
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from lightkube.models.core_v1 import Secret

from runtimes.kube.json_errors import UNREADABLE

_DEFAULT_REGISTRY = "index.docker.io"
_CONFIG_JSON_TYPE, _CONFIG_JSON_KEY = "kubernetes.io/dockerconfigjson", ".dockerconfigjson"
_DOCKERCFG_TYPE, _DOCKERCFG_KEY = "kubernetes.io/dockercfg", ".dockercfg"
_FILES_LIFETIME_SECONDS = 300.0


class InvalidCredentials(ValueError):
    """A secret or file does not hold what its type promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretCoordinates:
    """Which secret a credential comes from."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountCoordinates:
    """In whose name a credential provider was asked."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One login. `secret` and `service_account` tell whose it is; without both it belongs to the node."""

    username: str
    password: str = field(repr=False)
    secret: SecretCoordinates | None = None
    service_account: ServiceAccountCoordinates | None = None


class Keyring(Protocol):
    """A set of credentials."""

    def lookup(self, repository: str) -> Sequence[Credential]:
        """Credentials to try for a normalised repository ("docker.io/library/busybox"), best first; may be empty."""
        ...


class StaticKeyring:
    """Credentials by registry: pairs of a key as docker writes it and a login."""

    def __init__(self, entries: Sequence[tuple[str, Credential]]) -> None:
        self._by_key: dict[str, list[Credential]] = {}
        for location, credential in entries:
            key = _key(location)
            if key is not None and credential not in self._by_key.setdefault(key, []):
                self._by_key[key].append(credential)

    def lookup(self, repository: str) -> Sequence[Credential]:
        # Longer paths sort after their prefixes, so the most specific key comes first.
        keys = [key for key in sorted(self._by_key, reverse=True) if matches(key, repository)]
        if not keys and _on_default_registry(repository):
            keys = [_DEFAULT_REGISTRY]
        return [credential for key in keys for credential in self._by_key.get(key, ())]


class JoinedKeyring:
    """Several keyrings, asked in order; everything they have is tried."""

    def __init__(self, *keyrings: Keyring) -> None:
        self._keyrings = keyrings

    def lookup(self, repository: str) -> Sequence[Credential]:
        return [credential for keyring in self._keyrings for credential in keyring.lookup(repository)]


class NodeKeyring:
    """The node's own docker logins: config.json, else .dockercfg, from the first folder that has one that can be read.

    Read again after five minutes. `root_dir` is the agent's; "" stands for the working directory.
    """

    def __init__(
        self, root_dir: Path, *, home: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        home = home or Path(os.environ.get("HOME", "/"))
        here = Path()
        self._config_files = [f / "config.json" for f in (root_dir, here, home / ".docker", Path("/.docker"))]
        self._dockercfg_files = [f / ".dockercfg" for f in (root_dir, here, home, Path("/"))]
        self._clock = clock
        self._read_at: float | None = None
        self._keyring = StaticKeyring(())

    def lookup(self, repository: str) -> Sequence[Credential]:
        now = self._clock()
        if self._read_at is None or now - self._read_at >= _FILES_LIFETIME_SECONDS:
            self._keyring = StaticKeyring(self._read())
            self._read_at = now
        return self._keyring.lookup(repository)

    def _read(self) -> Sequence[tuple[str, Credential]]:
        for files, auths_inside in ((self._config_files, True), (self._dockercfg_files, False)):
            for path in files:
                try:
                    return parse_docker_config(path.read_bytes(), auths_inside=auths_inside)
                except (OSError, InvalidCredentials):
                    continue
        return ()


def keyring_of_secrets(secrets: Sequence[Secret]) -> StaticKeyring:
    """The logins of a pod's image pull secrets; secrets of other types are passed over. Raises InvalidCredentials."""
    entries: list[tuple[str, Credential]] = []
    for secret in secrets:
        data, metadata = secret.data or {}, secret.metadata
        for kind, key in ((_CONFIG_JSON_TYPE, _CONFIG_JSON_KEY), (_DOCKERCFG_TYPE, _DOCKERCFG_KEY)):
            if secret.type == kind and key in data:
                coordinates = SecretCoordinates(
                    uid=(metadata and metadata.uid) or "",
                    namespace=(metadata and metadata.namespace) or "",
                    name=(metadata and metadata.name) or "",
                )
                content = _decoded(data[key], f"secret {coordinates.namespace}/{coordinates.name}")
                entries += parse_docker_config(content, auths_inside=kind == _CONFIG_JSON_TYPE, secret=coordinates)
    return StaticKeyring(entries)


def parse_docker_config(
    content: bytes, *, auths_inside: bool, secret: SecretCoordinates | None = None
) -> list[tuple[str, Credential]]:
    """Registry keys and logins of a config.json (`auths_inside`) or .dockercfg. Raises InvalidCredentials."""
    try:
        document = json.loads(content)
    except UNREADABLE as error:
        raise InvalidCredentials(f"docker configuration is not JSON: {error}") from None
    auths = document.get("auths") or {} if auths_inside and isinstance(document, dict) else document
    if not isinstance(auths, dict) or not all(isinstance(entry, dict) for entry in auths.values()):
        raise InvalidCredentials("docker configuration is not an object of registries")
    return [(location, _credential(entry, secret)) for location, entry in auths.items()]


def _credential(entry: Mapping[str, object], secret: SecretCoordinates | None) -> Credential:
    username, password, auth = (entry.get(key) or "" for key in ("username", "password", "auth"))
    if not (isinstance(username, str) and isinstance(password, str) and isinstance(auth, str)):
        raise InvalidCredentials("a docker login is not made of strings")
    if auth:
        username, colon, password = _decoded(auth, "auth field").decode(errors="replace").partition(":")
        if not colon:
            raise InvalidCredentials("unable to parse auth field, must be formatted as base64(username:password)")
    return Credential(username=username, password=password, secret=secret)


def _decoded(text: str, what: str) -> bytes:
    text = text.strip()
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCredentials(f"{what} is not base64") from None


def _key(location: str) -> str | None:
    """host[:port][/path] of a key; docker's /v1/ and /v2/ mean the whole host. None for what is no address."""
    try:
        parsed = urlsplit(location if location.startswith(("http://", "https://")) else f"https://{location}")
    except ValueError:
        return None
    path = parsed.path
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return parsed.netloc if path in ("", "/") else parsed.netloc + path


def matches(key: str, repository: str) -> bool:
    """Host parts one by one, with globs within a part; the same port; the path as a prefix."""
    key_host, _, key_path = key.partition("/")
    host, _, path = repository.partition("/")
    key_name, _, key_port = key_host.partition(":")
    name, _, port = host.partition(":")
    key_parts, parts = key_name.split("."), name.split(".")
    return (
        key_port == port
        and len(key_parts) == len(parts)
        and path.startswith(key_path)
        and all(fnmatchcase(part, pattern) for part, pattern in zip(parts, key_parts, strict=True))
    )


def _on_default_registry(repository: str) -> bool:
    host, slash, _ = repository.partition("/")
    return bool(host) and (not slash or host in ("docker.io", _DEFAULT_REGISTRY) or not any(c in host for c in ".:"))
