"""Providers as programs: what they are told, what they may answer, how long it is kept, and that nothing leaks."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Pod, PodSpec, ServiceAccount
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.errors import Fault, Unavailable
from nodeagent.api.tokens import Token, TokenKey, Tokens
from nodeagent.images.keyring import Credential, ServiceAccountCoordinates
from nodeagent.images.providers.accounts import Identities
from nodeagent.images.providers.config import ProviderSettings, TokenAttributes
from nodeagent.images.providers.keyring import Provider, ProviderKeyring
from nodeagent.podspec.pod import AgentPod

ANSWER = {
    "kind": "CredentialProviderResponse",
    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
    "cacheKeyType": "Image",
    "auth": {"r.example": {"username": "u", "password": "hush"}},
}
ACCOUNT = ServiceAccountCoordinates(uid="sa-uid", namespace="ns", name="builder")


class Accounts:
    def __init__(self) -> None:
        self.annotations = {"role": "reader", "other": "x"}

    async def service_account(self, namespace: str, name: str) -> ServiceAccount:
        if name != "builder":
            raise Unavailable("no such account", Fault.CLOSED)
        return ServiceAccount(metadata=ObjectMeta(name=name, uid="sa-uid", annotations=self.annotations))


class Minted(Tokens):
    async def get(self, key: TokenKey) -> Token:  # type: ignore[override]
        return Token(value=f"token-{key.pod_uid}-{key.audiences}", expires_at=datetime.now(UTC), expiration_seconds=1)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def keyring(tmp_path: Path, clock: Any, accounts: Accounts) -> Callable[..., ProviderKeyring]:
    """keyring(body of the program, **settings) -> a keyring; the program notes its input, one line a run."""

    def make(body: str, **settings: Any) -> ProviderKeyring:
        program = tmp_path / "p"
        program.write_text(f"#!/bin/sh\ncat >> {tmp_path}/asked\n{body}\n")
        program.chmod(0o755)
        given = {"match_images": ("*.example", "r.example:5000/team"), "default_cache_seconds": 60.0} | settings
        made = ProviderSettings(name="p", **given)
        return ProviderKeyring([Provider(made, program, Identities(accounts, Minted()), clock)])

    return make


@pytest.fixture
def asked(tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    def read() -> list[dict[str, Any]]:
        file = tmp_path / "asked"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


def answer(**changes: Any) -> str:
    return f"cat <<'END'\n{json.dumps(ANSWER | changes)}\nEND"


def pod(uid: str = "u", account: str = "") -> AgentPod:
    return agent_pod(
        Pod(
            metadata=ObjectMeta(name="p", namespace="ns", uid=uid),
            spec=PodSpec(containers=[], serviceAccountName=account),
        )
    )


async def test_question_and_answer(keyring: Any, asked: Any) -> None:
    """The program gets the request on stdin, its arguments and variables, and its logins are found by their keys."""
    body = f'[ "$1 $A" = "get b" ] || exit 3\n{answer()}'
    found = await keyring(body, args=("get",), env=(("A", "b"),)).lookup("r.example/app", pod())
    assert found == [Credential(username="u", password="hush")]
    assert asked() == [
        {
            "kind": "CredentialProviderRequest",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "image": "r.example/app",
        }
    ]


@pytest.mark.parametrize(
    ("repository", "runs"),
    [
        ("r.example/app", 1),
        ("r.example:5000/team/app", 1),
        ("r.example:5000/other", 0),
        ("a.r.example/app", 0),
        ("docker.io/library/app", 0),
    ],
)
async def test_patterns(keyring: Any, asked: Any, repository: str, runs: int) -> None:
    """A provider is asked only for images that its patterns fit."""
    await keyring(answer()).lookup(repository, pod())
    assert len(asked()) == runs


@pytest.mark.parametrize(
    ("kind", "fresh"),
    [("Image", ("r.example/b", "s.example/a")), ("Registry", ("s.example/a",)), ("Global", ())],
)
async def test_cache_keys(keyring: Any, asked: Any, kind: str, fresh: tuple[str, ...]) -> None:
    """An answer counts for its image, its registry, or everything, until it is too old."""
    logins = keyring(answer(cacheKeyType=kind))
    for repository in ("r.example/a", "r.example/a", "r.example/b", "s.example/a"):
        await logins.lookup(repository, pod())
    assert [question["image"] for question in asked()] == ["r.example/a", *fresh]


@pytest.mark.parametrize(
    ("duration", "default", "kept"),
    [("10s", 60.0, 10), (None, 60.0, 60), ("0s", 60.0, -1), (None, 0.0, -1), ("1h", 0.0, 3600)],
)
async def test_cache_duration(
    keyring: Any, asked: Any, clock: Any, duration: str | None, default: float, kept: float
) -> None:
    """The answer's duration counts, else the configured one; 0 keeps nothing."""
    changes = {} if duration is None else {"cacheDuration": duration}
    logins = keyring(answer(**changes), default_cache_seconds=default)
    await logins.lookup("r.example/a", pod())
    clock.now += max(kept, 0)
    await logins.lookup("r.example/a", pod())
    assert len(asked()) == (1 if kept >= 0 else 2)
    clock.now += 1
    await logins.lookup("r.example/a", pod())
    assert len(asked()) == (2 if kept >= 0 else 3)


async def test_one_run_for_all_who_ask_at_once(keyring: Any, asked: Any) -> None:
    """Pods that want the same image at the same time share one run of the program."""
    logins = keyring(answer(cacheDuration="0s"))
    found = await asyncio.gather(*(logins.lookup("r.example/a", pod()) for _ in range(5)))
    assert [len(credentials) for credentials in found] == [1] * 5
    assert len(asked()) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("echo hush; echo no network >&2; exit 7", "exit status 7: no network"),
        ("kill -9 $$", "signal -9"),
        ("echo hush", "its response is not a JSON object"),
        (answer(apiVersion="v2"), "expected apiVersion:credentialprovider.kubelet.k8s.io/v1, actual apiVersion:v2"),
        (answer(kind="Other"), "error decoding credential provider plugin response from stdout"),
        (answer(auth={"r.example": {"user": "hush"}}), "error decoding credential provider plugin response"),
        (answer(cacheDuration="hush"), "error decoding credential provider plugin response from stdout"),
        (answer(cacheKeyType="Pod"), 'did not return a valid cacheKeyType: "Pod"'),
        ("head -c 5000000 /dev/zero", "wrote more than"),
    ],
)
async def test_bad_answers(keyring: Any, caplog: pytest.LogCaptureFixture, body: str, told: str) -> None:
    """A provider that fails leaves no credentials, one line in the log that says why, and nothing of its answer in it."""
    with caplog.at_level(logging.DEBUG):
        assert await keyring(body).lookup("r.example/a", pod()) == []
    assert told.replace("signal -9", "signal 9") in caplog.text
    assert "hush" not in caplog.text


TOKEN = TokenAttributes(
    audience="registry",
    require_service_account=True,
    cache_by_token=False,
    required_annotations=("role",),
    optional_annotations=("zone",),
)


async def test_service_account_tokens(keyring: Any, asked: Any) -> None:
    """A provider with token attributes learns the pod's token and the annotations it chose; its logins are the account's."""
    logins = keyring(answer(), token=TOKEN)
    found = await logins.lookup("r.example/a", pod(account="builder"))
    assert found == [Credential(username="u", password="hush", service_account=ACCOUNT)]
    assert asked()[0]["serviceAccountToken"] == "token-u-('registry',)"
    assert asked()[0]["serviceAccountAnnotations"] == {"role": "reader"}
    await logins.lookup("r.example/a", pod(uid="v", account="builder"))
    assert len(asked()) == 1  # cached for the account


async def test_cached_by_token(keyring: Any, asked: Any) -> None:
    """With cacheType Token another pod's token is another question."""
    by_token = TokenAttributes(audience="registry", require_service_account=True, cache_by_token=True)
    logins = keyring(answer(), token=by_token)
    for uid in ("u", "v", "u"):
        await logins.lookup("r.example/a", pod(uid=uid, account="builder"))
    assert [question["serviceAccountToken"] for question in asked()] == [
        "token-u-('registry',)",
        "token-v-('registry',)",
    ]


async def test_not_asked_without_what_it_needs(keyring: Any, asked: Any, accounts: Accounts) -> None:
    """No service account, an unknown one, or one without the required annotation: the provider is not asked."""
    logins = keyring(answer(), token=TOKEN)
    accounts.annotations = {}
    for account in ("", "unknown", "builder"):
        assert await logins.lookup("r.example/a", pod(account=account)) == []
    assert asked() == []


async def test_account_not_required(keyring: Any, asked: Any) -> None:
    """Where no account is required, a pod without one is asked for without a token; the login is the node's."""
    free = TokenAttributes(audience="registry", require_service_account=False, cache_by_token=False)
    assert await keyring(answer(), token=free).lookup("r.example/a", pod()) == [
        Credential(username="u", password="hush")
    ]
    assert "serviceAccountToken" not in asked()[0]


async def test_the_token_is_not_told(keyring: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A provider that repeats its input on stderr does not bring the token into the log."""
    await keyring(f"cat {tmp_path}/asked >&2; exit 1", token=TOKEN).lookup("r.example/a", pod(account="builder"))
    assert "<redacted>" in caplog.text
    assert "token-u" not in caplog.text
