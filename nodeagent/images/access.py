"""Who may use an image that is there already: records of pulls and the credentials that worked.

An image that was pulled with a secret is no free gift to pods without it. Images that the agent never pulled, or that needed
no secret, are everybody's (policy NeverVerifyPreloadedImages). Files below `<root>/image_manager`, as the kubelet's:
pulling/ holds an intent per image being pulled, pulled/ a record per image id. Source: facts/pod-lifecycle.md 13.2.
"""

import asyncio
import hashlib
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from nodeagent.images.keyring import Credential
from runtimes.oci.images.reference import Reference

log = logging.getLogger(__name__)

_API_VERSION = "kubelet.config.k8s.io/v1beta1"
_KEPT_COORDINATES = 100  # per image and repository; the oldest go, whose pods then pull once more


class Access(Protocol):
    """Asked before a present image is used; told of every pull."""

    @property
    def checks(self) -> bool:
        """Whether access is checked at all (it shows in the event)."""
        ...

    async def may_use(self, name: Reference, image: str, image_ref: str, credentials: Sequence[Credential]) -> bool:
        """Whether a pod with these credentials may use the image without pulling it."""
        ...

    async def pulling(self, image: str) -> None:
        """A pull begins. Raises OSError: then it must not."""
        ...

    async def pulled(self, name: Reference, image: str, image_ref: str, credential: Credential | None) -> None:
        """It succeeded, with this credential."""
        ...

    async def failed(self, image: str) -> None: ...


class Everybody:
    """Every pod may use every image."""

    checks = False

    async def may_use(self, name: Reference, image: str, image_ref: str, credentials: Sequence[Credential]) -> bool:
        return True

    async def pulling(self, image: str) -> None: ...

    async def pulled(self, name: Reference, image: str, image_ref: str, credential: Credential | None) -> None: ...

    async def failed(self, image: str) -> None: ...


class _Secret(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    namespace: str
    name: str
    credential_hash: str = ""


class _Who(msgspec.Struct, omit_defaults=True, rename="camel"):
    kubernetes_secrets: list[_Secret] = []
    kubernetes_service_accounts: list[dict[str, Any]] = []
    node_pods_accessible: bool = False


class _Record(msgspec.Struct, rename="camel"):
    image_ref: str
    last_updated_time: datetime
    credential_mapping: dict[str, _Who] = {}
    kind: str = "ImagePulledRecord"
    api_version: str = _API_VERSION


class PullRecords:
    """Access by recorded pulls, on disk."""

    checks = True

    def __init__(self, root: Path) -> None:
        self._intents = root / "image_manager" / "pulling"
        self._records = root / "image_manager" / "pulled"
        self._under_way: Counter[str] = Counter()
        self._turn = asyncio.Lock()  # one change of the files at a time
        for folder in (self._intents, self._records):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def may_use(self, name: Reference, image: str, image_ref: str, credentials: Sequence[Credential]) -> bool:
        async with self._turn:
            return await asyncio.to_thread(self._may_use, name, image, image_ref, credentials)

    def _may_use(self, name: Reference, image: str, image_ref: str, credentials: Sequence[Credential]) -> bool:
        try:
            record = self._read(image_ref)
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("pull record of %s cannot be read: %s", image_ref, error)
            return False
        if record is None:
            # Pulled, but the agent was killed before it could say by whom.
            return not _file(self._intents, image).exists()
        who = record.credential_mapping.get(name.repository)
        if who is None:
            return False
        if who.node_pods_accessible:
            return True
        offered = _secrets(credentials)
        for mine in offered:
            for known in who.kubernetes_secrets:
                if mine == known:
                    return True
                same_hash = mine.credential_hash == known.credential_hash
                if same_hash or _coordinates(mine) == _coordinates(known):
                    # The secret was renewed, or another one has the same login: from now on it counts by itself.
                    self._write(_with(record, name, [mine], node=False))
                    return True
        return False

    async def pulling(self, image: str) -> None:
        async with self._turn:
            self._under_way[image] += 1
            document = {"kind": "ImagePullIntent", "apiVersion": _API_VERSION, "image": image}
            try:
                await asyncio.to_thread(_write_json, _file(self._intents, image), document)
            except OSError:
                self._done(image)
                raise

    async def pulled(self, name: Reference, image: str, image_ref: str, credential: Credential | None) -> None:
        async with self._turn:
            secrets = _secrets([credential] if credential is not None else [])
            try:
                await asyncio.to_thread(self._record, name, image_ref, secrets)
            except (OSError, msgspec.MsgspecError) as error:
                # The intent stays: without a record the image is not everybody's.
                log.error("pull record of %s cannot be written: %s", image_ref, error)
                self._under_way[image] -= 1
                return
            self._done(image)

    async def failed(self, image: str) -> None:
        async with self._turn:
            self._done(image)

    async def forget_all_but(self, image_refs: Collection[str]) -> None:
        """Drop records of images that are gone, and intents of pulls that nobody makes any more."""
        async with self._turn:
            await asyncio.to_thread(self._prune, frozenset(image_refs))

    def _prune(self, image_refs: frozenset[str]) -> None:
        kept = {_file(self._records, image_ref) for image_ref in image_refs}
        kept |= {_file(self._intents, image) for image, count in self._under_way.items() if count > 0}
        for folder in (self._records, self._intents):
            for path in folder.iterdir():
                if path not in kept:
                    path.unlink(missing_ok=True)

    def _done(self, image: str) -> None:
        self._under_way[image] -= 1
        if self._under_way[image] <= 0:
            del self._under_way[image]
            _file(self._intents, image).unlink(missing_ok=True)

    def _record(self, name: Reference, image_ref: str, secrets: list[_Secret]) -> None:
        record = self._read(image_ref) or _Record(image_ref=image_ref, last_updated_time=datetime.now(UTC))
        self._write(_with(record, name, secrets, node=not secrets))

    def _read(self, image_ref: str) -> _Record | None:
        try:
            return msgspec.json.decode(_file(self._records, image_ref).read_bytes(), type=_Record)
        except FileNotFoundError:
            return None

    def _write(self, record: _Record) -> None:
        _write_json(_file(self._records, record.image_ref), msgspec.to_builtins(record))


def _with(record: _Record, name: Reference, secrets: list[_Secret], *, node: bool) -> _Record:
    """The record with more who may use the image; once it is the node's, secrets matter no more."""
    old = record.credential_mapping.get(name.repository, _Who())
    if node or old.node_pods_accessible:
        who = _Who(node_pods_accessible=True)
    else:
        new = {_coordinates(secret) for secret in secrets}
        kept = [secret for secret in old.kubernetes_secrets if _coordinates(secret) not in new]
        who = _Who(
            kubernetes_secrets=[*kept, *secrets][-_KEPT_COORDINATES:],
            kubernetes_service_accounts=old.kubernetes_service_accounts,
        )
    return msgspec.structs.replace(
        record,
        last_updated_time=datetime.now(UTC),
        credential_mapping={**record.credential_mapping, name.repository: who},
    )


def _secrets(credentials: Sequence[Credential]) -> list[_Secret]:
    return [
        _Secret(uid=c.secret.uid, namespace=c.secret.namespace, name=c.secret.name, credential_hash=_hash(c))
        for c in credentials
        if c.secret is not None
    ]


def _coordinates(secret: _Secret) -> tuple[str, str, str]:
    return secret.uid, secret.namespace, secret.name


def _hash(credential: Credential) -> str:
    login = json.dumps({"username": credential.username, "password": credential.password}, sort_keys=True)
    return hashlib.sha256(login.encode()).hexdigest()


def _file(folder: Path, key: str) -> Path:
    return folder / f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    fd, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps(document).encode())
        file.flush()
        os.fsync(fd)
    Path(name).rename(path)
