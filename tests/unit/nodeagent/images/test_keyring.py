import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.core_v1 import Secret

from nodeagent.images.keyring import (
    Credential,
    InvalidCredentials,
    JoinedKeyring,
    NodeKeyring,
    SecretCoordinates,
    StaticKeyring,
    keyring_of_secrets,
    parse_docker_config,
)


def found(keys: list[str], repository: str) -> list[str]:
    keyring = StaticKeyring([(key, Credential(username=key, password="")) for key in keys])
    return [credential.username for credential in keyring.lookup(repository)]


@pytest.mark.parametrize(
    ("keys", "repository", "expected"),
    [
        (["r.example"], "r.example/app", ["r.example"]),
        (["https://r.example"], "r.example/app", ["https://r.example"]),
        (["http://r.example/v1/"], "r.example/app", ["http://r.example/v1/"]),
        (["https://r.example/v2/"], "r.example/app", ["https://r.example/v2/"]),
        (["https://r.example/v2/team"], "r.example/team/app", ["https://r.example/v2/team"]),
        (["r.example:5000"], "r.example/app", []),
        (["r.example"], "r.example:5000/app", []),
        (["r.example:5000"], "r.example:5000/app", ["r.example:5000"]),
        (["*.example"], "r.example/app", ["*.example"]),
        (["*.example"], "a.b.example/app", []),
        (["*.b.example"], "a.b.example/app", ["*.b.example"]),
        (["r*.ex*mple"], "r1.example/app", ["r*.ex*mple"]),
        (["r.example/team"], "r.example/team/app", ["r.example/team"]),
        (["r.example/team"], "r.example/teamwork/app", ["r.example/team"]),
        (["r.example/team"], "r.example/other/app", []),
        (
            ["r.example", "r.example/a/b", "r.example/a", "*.example"],
            "r.example/a/b/c",
            ["r.example/a/b", "r.example/a", "r.example", "*.example"],
        ),
        (["https://index.docker.io/v1/"], "docker.io/library/busybox", ["https://index.docker.io/v1/"]),
        (["docker.io"], "docker.io/library/busybox", ["docker.io"]),
        (["docker.io", "index.docker.io"], "docker.io/library/busybox", ["docker.io"]),
        (["index.docker.io"], "r.example/app", []),
        (["", "https://[", "r.example"], "r.example/app", ["r.example"]),
    ],
)
def test_matching(keys: list[str], repository: str, expected: list[str]) -> None:
    """Which logins fit a repository, the most specific first."""
    assert found(keys, repository) == expected


def test_same_login_once() -> None:
    """A login that is given twice for one registry is tried once; two different ones both."""
    one, two = (Credential(username=name, password="p") for name in "ab")
    keyring = StaticKeyring([("r.example", one), ("https://r.example", one), ("r.example", two)])
    assert list(keyring.lookup("r.example/app")) == [one, two]


def test_secrets(make_secret: Callable[..., Secret]) -> None:
    """Both types of pull secrets are read, with where they come from; other types are not."""
    other = make_secret({"r.example": "x:y"})
    other.type = "Opaque"
    secrets = [
        make_secret({"r.example": "u:p:q"}),
        make_secret({"r.example": "v:w"}, name="t", uid="2", old=True),
        other,
    ]
    assert list(keyring_of_secrets(secrets).lookup("r.example/a")) == [
        Credential(username="u", password="p:q", secret=SecretCoordinates(uid="su", namespace="ns", name="s")),
        Credential(username="v", password="w", secret=SecretCoordinates(uid="2", namespace="ns", name="t")),
    ]


def entry(**fields: Any) -> bytes:
    return json.dumps({"auths": {"r.example": fields}}).encode()


@pytest.mark.parametrize(
    ("content", "login"),
    [
        (entry(username="u", password="p"), ("u", "p")),
        (entry(username="x", password="y", auth=base64.b64encode(b"u:p").decode()), ("u", "p")),
        (entry(auth=base64.b64encode(b"us:p").decode().rstrip("=")), ("us", "p")),
        (entry(auth=base64.b64encode(b"u:").decode() + "\n"), ("u", "")),
        (entry(identitytoken="t"), ("", "")),
    ],
)
def test_logins(content: bytes, login: tuple[str, str]) -> None:
    """User and password, or both in the auth field, padded or not."""
    ((_, credential),) = parse_docker_config(content, auths_inside=True)
    assert (credential.username, credential.password) == login


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"auths":3}',
        b'{"auths":{"r":3}}',
        entry(auth="%"),
        entry(auth="bm9jb2xvbg=="),
        entry(username=3),
    ],
)
def test_broken(content: bytes) -> None:
    """What is no docker configuration is an error that shows no secret."""
    with pytest.raises(InvalidCredentials):
        parse_docker_config(content, auths_inside=True)


def test_node_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
    """config.json counts before .dockercfg, the agent's folder before home; files are read again after five minutes."""
    root, home, here = (tmp_path / name for name in ("root", "home", "here"))
    for folder in (root, home / ".docker", here):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    (home / ".dockercfg").write_text(json.dumps({"r.example": {"username": "old", "password": ""}}))
    keyring = NodeKeyring(root, home=home, clock=clock)

    def users() -> list[str]:
        return [credential.username for credential in keyring.lookup("r.example/a")]

    assert users() == ["old"]
    (home / ".docker" / "config.json").write_bytes(entry(username="home", password=""))
    clock.now += 299
    assert users() == ["old"]
    clock.now += 1
    assert users() == ["home"]
    (root / "config.json").write_bytes(b"broken")
    (here / "config.json").write_bytes(entry(username="here", password=""))
    clock.now += 300
    assert users() == ["here"]
    (root / "config.json").write_bytes(entry(username="root", password=""))
    clock.now += 300
    assert users() == ["root"]


def test_joined() -> None:
    """Of several keyrings all are used, in order."""
    rings = [StaticKeyring([("r.example", Credential(username=name, password=""))]) for name in "ab"]
    assert [c.username for c in JoinedKeyring(*rings).lookup("r.example/a")] == ["a", "b"]
