"""Who may use an image that is there already: records of pulls and the credentials that worked.

An image that was pulled with a secret is no free gift to pods without it. Images that needed no secret are everybody's; for
which of the others that is checked is the policy's to say (`verification`). Files below `<root>/image_manager`, as the
kubelet's: pulling/ holds an intent per image being pulled, pulled/ a record per image id, so that a kill at any moment closes
an image rather than opens it. Source: docs/facts/pod-lifecycle.md 13.2.
"""

import asyncio
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from nodeagent.images.keyring import Credential
from nodeagent.images.verification import NEVER_PRELOADED, Verification, verification
from proto import cri_pb2 as cri
from runtimes.kube.image_reference import InvalidReference, Reference, parse
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file

log = logging.getLogger(__name__)

_API_VERSION = "kubelet.config.k8s.io/v1beta1"
_FILE_CLOCK = timedelta(seconds=1)  # the kernel's clock for files lags behind
_KEPT_COORDINATES = 100  # per image and repository; the oldest go, whose pods then pull once more


Offer = Callable[[], Awaitable[Sequence[Credential]]]  # what a pod has to show; asked for only when it matters


class Access(Protocol):
    """Asked before a present image is used; told of every pull."""

    @property
    def checks(self) -> bool:
        """Whether access is checked at all (it shows in the event)."""
        ...

    async def may_use(self, name: Reference, image: str, image_ref: str, offer: Offer) -> bool:
        """Whether a pod with the offered credentials may use the image without pulling it."""
        ...

    async def pulling(self, image: str) -> None:
        """A pull begins. Raises OSError: then it must not."""
        ...

    async def pulled(self, name: Reference, image: str, image_ref: str, credential: Credential | None) -> None:
        """It succeeded, with this credential."""
        ...

    async def failed(self, image: str) -> None: ...

    async def forget_all_but(self, images: Collection[cri.Image], looked_at: datetime) -> None:
        """`images` is all that was there at `looked_at`."""
        ...


class AllowAll:
    """Every pod may use every image."""

    checks = False

    async def may_use(self, name: Reference, image: str, image_ref: str, offer: Offer) -> bool:
        return True

    async def pulling(self, image: str) -> None: ...

    async def pulled(self, name: Reference, image: str, image_ref: str, credential: Credential | None) -> None: ...

    async def failed(self, image: str) -> None: ...

    async def forget_all_but(self, images: Collection[cri.Image], looked_at: datetime) -> None: ...


class _Secret(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    namespace: str
    name: str
    credential_hash: str = ""


class _Account(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    namespace: str
    name: str


class _Who(msgspec.Struct, omit_defaults=True, rename="camel"):
    kubernetes_secrets: list[_Secret] = []
    kubernetes_service_accounts: list[_Account] = []
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

    def __init__(self, root: Path, verify: Verification | None = None) -> None:
        self._intents = root / "image_manager" / "pulling"
        self._records = root / "image_manager" / "pulled"
        self._verify = verify or verification(NEVER_PRELOADED)
        self._under_way: Counter[str] = Counter()
        self._turn = asyncio.Lock()  # one change of the files at a time
        for folder in (self._intents, self._records):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def may_use(self, name: Reference, image: str, image_ref: str, offer: Offer) -> bool:
        try:
            async with self._turn:
                record = await asyncio.to_thread(self._read, image_ref)
        except (OSError, *UNREADABLE) as error:
            log.warning("pull record of %s cannot be read: %s", image_ref, error)
            return False
        # An intent without a record: pulled, but the agent was killed before it could say by whom.
        pulled = record is not None or _file(self._intents, image).exists()
        if not self._verify(name.repository, pulled):
            return True
        who = record.credential_mapping.get(name.repository) if record is not None else None
        if who is None:
            return False
        if who.node_pods_accessible:
            return True
        if not who.kubernetes_secrets and not who.kubernetes_service_accounts:
            return False
        offered = await offer()
        if any(account in who.kubernetes_service_accounts for account in _accounts(offered)):
            return True
        return await self._may_by_secret(name, image_ref, who, _secrets(offered))

    async def _may_by_secret(self, name: Reference, image_ref: str, who: _Who, offered: Sequence[_Secret]) -> bool:
        for mine in offered:
            for known in who.kubernetes_secrets:
                if mine == known:
                    return True
                same_hash = mine.credential_hash == known.credential_hash
                if same_hash or _coordinates(mine) == _coordinates(known):
                    # The secret was renewed, or another one has the same login: from now on it counts by itself.
                    await self._add(name, image_ref, _Who(kubernetes_secrets=[mine]))
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
        secrets, accounts = _secrets((credential,)), _accounts((credential,))
        who = _Who(
            kubernetes_secrets=secrets,
            kubernetes_service_accounts=accounts,
            node_pods_accessible=not secrets and not accounts,
        )
        recorded = await self._add(name, image_ref, who)
        async with self._turn:
            if recorded:
                self._done(image)
            else:
                self._under_way[image] -= 1  # the intent stays: without a record the image is not everybody's

    async def _add(self, name: Reference, image_ref: str, who: _Who) -> bool:
        """Write down more who may use the image; returns whether that could be done."""
        async with self._turn:
            try:
                await asyncio.to_thread(self._record, name, image_ref, who)
            except (OSError, *UNREADABLE) as error:
                log.error("pull record of %s cannot be written: %s", image_ref, error)
                return False
        return True

    async def failed(self, image: str) -> None:
        async with self._turn:
            self._done(image)

    async def forget_all_but(self, images: Collection[cri.Image], looked_at: datetime) -> None:
        """Drop what is left of images that are gone: those not among `images`, which were all there at `looked_at`.

        A pull that was cut short by the agent's end, but brought its image, leaves a record with nobody in it.
        """
        async with self._turn:
            await asyncio.to_thread(self._prune, tuple(images), looked_at)

    def _prune(self, images: Sequence[cri.Image], looked_at: datetime) -> None:
        for path in self._intents.iterdir():
            image = _intended(path)
            if self._under_way[image] > 0 and path == _file(self._intents, image):
                continue
            for found in images:
                if image and not {image, _normal(image)}.isdisjoint((*found.repo_tags, *found.repo_digests)):
                    self._adopt(found.id)
            _discard(path)
        kept = {_file(self._records, image.id) for image in images}
        for path in self._records.iterdir():
            if path not in kept and datetime.fromtimestamp(path.lstat().st_mtime, UTC) < looked_at - _FILE_CLOCK:
                _discard(path)

    def _adopt(self, image_ref: str) -> None:
        if not _file(self._records, image_ref).exists():
            self._write(_Record(image_ref=image_ref, last_updated_time=datetime.now(UTC)))

    def _done(self, image: str) -> None:
        self._under_way[image] -= 1
        if self._under_way[image] <= 0:
            del self._under_way[image]
            _file(self._intents, image).unlink(missing_ok=True)

    def _record(self, name: Reference, image_ref: str, who: _Who) -> None:
        try:
            record = self._read(image_ref)
        except UNREADABLE as error:
            log.warning("pull record of %s cannot be read and begins anew: %s", image_ref, error)
            record = None
        self._write(_with(record or _Record(image_ref=image_ref, last_updated_time=datetime.now(UTC)), name, who))

    def _read(self, image_ref: str) -> _Record | None:
        try:
            return msgspec.json.decode(_file(self._records, image_ref).read_bytes(), type=_Record)
        except FileNotFoundError:
            return None

    def _write(self, record: _Record) -> None:
        _write_json(_file(self._records, record.image_ref), msgspec.to_builtins(record))


def _with(record: _Record, name: Reference, new: _Who) -> _Record:
    """The record with more who may use the image; once it is the node's, secrets and accounts matter no more."""
    old = record.credential_mapping.get(name.repository, _Who())
    if new.node_pods_accessible or old.node_pods_accessible:
        who = _Who(node_pods_accessible=True)
    else:
        renewed = {_coordinates(secret) for secret in new.kubernetes_secrets}
        secrets = [secret for secret in old.kubernetes_secrets if _coordinates(secret) not in renewed]
        accounts = [a for a in old.kubernetes_service_accounts if a not in new.kubernetes_service_accounts]
        who = _Who(
            kubernetes_secrets=[*secrets, *new.kubernetes_secrets][-_KEPT_COORDINATES:],
            kubernetes_service_accounts=[*accounts, *new.kubernetes_service_accounts][-_KEPT_COORDINATES:],
        )
    return msgspec.structs.replace(
        record,
        last_updated_time=datetime.now(UTC),
        credential_mapping={**record.credential_mapping, name.repository: who},
    )


def _secrets(credentials: Sequence[Credential | None]) -> list[_Secret]:
    return [
        _Secret(uid=c.secret.uid, namespace=c.secret.namespace, name=c.secret.name, credential_hash=_hash(c))
        for c in credentials
        if c is not None and c.secret is not None
    ]


def _accounts(credentials: Sequence[Credential | None]) -> list[_Account]:
    return [
        _Account(uid=c.service_account.uid, namespace=c.service_account.namespace, name=c.service_account.name)
        for c in credentials
        if c is not None and c.service_account is not None
    ]


def _coordinates(secret: _Secret) -> tuple[str, str, str]:
    return secret.uid, secret.namespace, secret.name


def _hash(credential: Credential) -> str:
    login = json.dumps({"username": credential.username, "password": credential.password}, sort_keys=True)
    return hashlib.sha256(login.encode()).hexdigest()


def _file(folder: Path, key: str) -> Path:
    return folder / f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"


def _discard(path: Path) -> None:
    """What cannot be removed, for it is no file of ours, is left where it is: it says of no image that it may be used."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s does not belong here and cannot be removed: %s", path, error.strerror)


def _intended(path: Path) -> str:
    """The image of an intent; empty for a file that is none (a temporary one of a killed agent)."""
    try:
        return str(json.loads(path.read_bytes())["image"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _normal(image: str) -> str:
    try:
        return str(parse(image))
    except InvalidReference:
        return image


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    replace_file(path, json.dumps(document).encode())
