"""One question to a credential provider: its program is run with a CredentialProviderRequest, and answers with the logins.

Nothing of the answer, and nothing of a service account's token, ever reaches an error or a log.
Source: credentialprovider.kubelet.k8s.io/v1.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from nodeagent.images.providers.config import PROTOCOL_V1, ProviderSettings
from runtimes.kube.duration import seconds
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process

DEADLINE_SECONDS = 60.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_SHOWN_STDERR = 1024
CACHE_KEYS = ("Image", "Registry", "Global")


class ProviderError(Exception):
    """A provider did not answer as it must; the text holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`image` without tag or digest. Token and annotations only for providers that asked for them."""

    image: str
    service_account_token: str = field(default="", repr=False)
    service_account_annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`logins`: (pattern, username, password). `cache_seconds` None: the provider's default."""

    cache_key: str
    logins: tuple[tuple[str, str, str], ...] = field(repr=False)
    cache_seconds: float | None = None


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    username: str = ""
    password: str = ""


class _Response(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    kind: str = ""
    api_version: str = ""
    cache_key_type: str = ""
    cache_duration: str | None = None
    auth: dict[str, _Login] | None = None


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""


async def ask(settings: ProviderSettings, program: Path, question: Question) -> Answer:
    """Run the program and read its answer. Raises ProviderError."""
    what = f"error execing credential provider plugin {settings.name} for image {question.image}"
    try:
        done = await process.run(
            [str(program), *settings.args],
            timeout_seconds=DEADLINE_SECONDS,
            stdin=_request(settings, question),
            env={**os.environ, **dict(settings.env)},
            max_output_bytes=_MAX_ANSWER_BYTES,
        )
    except process.ProcessTimeout:
        raise ProviderError(f"{what}: context deadline exceeded") from None
    except (process.ProcessError, OSError) as error:
        raise ProviderError(f"{what}: {error}") from None
    if not done.ok:
        # Only what it says to the operator: a program that failed half-way may have written logins to stdout.
        said = _without(done.stderr.decode(errors="replace").strip(), question.service_account_token)
        status = f"exit status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        raise ProviderError(f"{what}: {status}: {said[-_SHOWN_STDERR:]}")
    return _answer(settings, done.stdout)


def _request(settings: ProviderSettings, question: Question) -> bytes:
    request: dict[str, object] = {
        "kind": "CredentialProviderRequest",
        "apiVersion": settings.api_version,
        "image": question.image,
    }
    if settings.api_version == PROTOCOL_V1:
        if question.service_account_token:
            request["serviceAccountToken"] = question.service_account_token
        if question.service_account_annotations:
            request["serviceAccountAnnotations"] = dict(question.service_account_annotations)
    return msgspec.json.encode(request) + b"\n"


def _answer(settings: ProviderSettings, stdout: bytes) -> Answer:
    try:
        version = msgspec.json.decode(stdout, type=_Head).api_version
    except UNREADABLE:
        raise ProviderError(f"credential provider plugin {settings.name}: its response is not a JSON object") from None
    if version != settings.api_version:
        raise ProviderError(
            f"credential provider plugin {settings.name}: apiVersion from credential plugin response did not match "
            f"expected apiVersion:{settings.api_version}, actual apiVersion:{version}"
        )
    unreadable = ProviderError(
        f"credential provider plugin {settings.name}: error decoding credential provider plugin response from stdout"
    )
    try:
        response = msgspec.json.decode(stdout, type=_Response)
        cache_seconds = None if response.cache_duration is None else seconds(response.cache_duration)
    except UNREADABLE:
        raise unreadable from None  # its own words could hold what the response holds
    if response.kind != "CredentialProviderResponse":
        raise unreadable
    if response.cache_key_type not in CACHE_KEYS:
        raise ProviderError(
            f"credential provider plugin {settings.name} did not return a valid cacheKeyType: "
            f'"{response.cache_key_type[:64]}"'
        )
    return Answer(
        cache_key=response.cache_key_type,
        logins=tuple((key, login.username, login.password) for key, login in (response.auth or {}).items()),
        cache_seconds=cache_seconds,
    )


def _without(text: str, secret: str) -> str:
    return text.replace(secret, "<redacted>") if secret else text
