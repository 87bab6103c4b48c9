import base64
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes.errors import (
    Internal,
    InvalidArgument,
    NotFound,
    NotSupported,
    ResourceExhausted,
    RuntimeFault,
    Unavailable,
)
from runtimes.oci.images.registries import Mirror, Registries, Registry, is_loopback
from runtimes.oci.images.skopeo import auth_document, fault

PAIR = base64.b64encode(b"u:p:w").decode()


@pytest.mark.parametrize(
    ("auth", "entry"),
    [
        (None, None),
        (cri.AuthConfig(), None),
        (cri.AuthConfig(username="u", password="p:w"), {"auth": PAIR}),
        (cri.AuthConfig(auth=PAIR), {"auth": PAIR}),
        (cri.AuthConfig(auth=PAIR, username="u", password="p:w"), {"auth": PAIR}),
        (
            cri.AuthConfig(identity_token="t"),
            {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": "t"},
        ),
    ],
)
def test_credentials(auth: cri.AuthConfig | None, entry: dict[str, str] | None) -> None:
    """Every form of credential of the CRI becomes an entry for the one registry that is spoken to."""
    assert auth_document("r.example", auth) == {"auths": {} if entry is None else {"r.example": entry}}


def test_bad_credentials() -> None:
    """A credential that cannot be used is an error, not an anonymous pull."""
    with pytest.raises(InvalidArgument):
        auth_document("r", cri.AuthConfig(auth="%%%"))
    with pytest.raises(InvalidArgument):
        auth_document("r", cri.AuthConfig(auth=base64.b64encode(b"nocolon").decode()))
    with pytest.raises(NotSupported):
        auth_document("r", cri.AuthConfig(registry_token="t"))


PREFIX = 'time="2026-11-21T04:06:59Z" level=warning msg="other"\ntime="2026-11-21T04:06:59Z" level=fatal msg='


@pytest.mark.parametrize(
    ("stderr", "kind", "message"),
    [
        (
            PREFIX + r'"Error parsing image name \"docker://r:1/a:1\": reading manifest 1 in r:1/a: manifest unknown"',
            NotFound,
            "reading manifest 1 in r:1/a: manifest unknown",
        ),
        (
            PREFIX
            + r'"Error parsing image name \"docker://r:1/a:1\": pinging container registry r:1: Get \"http://r:1/v2/\": '
            r'dial tcp r:1: connect: connection refused"',
            Unavailable,
            'pinging container registry r:1: Get "http://r:1/v2/": dial tcp r:1: connect: connection refused',
        ),
        (
            PREFIX + r'"x: unauthorized: authentication required"',
            Unavailable,
            "x: unauthorized: authentication required",
        ),
        (
            PREFIX + r'"writing blob: write /x: no space left on device"',
            ResourceExhausted,
            "writing blob: write /x: no space left on device",
        ),
        ("panic: oops", Internal, "skopeo: panic: oops"),
        (PREFIX + r'"odd \x00 quoting"', Unavailable, r"odd \x00 quoting"),
    ],
)
def test_answers(stderr: str, kind: type[RuntimeFault], message: str) -> None:
    """What the registry answered is kept, and its class says whether to try again."""
    error = fault(stderr)
    assert (type(error), error.message) == (kind, message)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.3.2.1", True),
        ("[::1]:5000", True),
        ("10.0.0.1:5000", False),
        ("docker.io", False),
        ("localhost.example:5000", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    """Registries of this machine are spoken to in plain HTTP, as by docker and containerd."""
    assert is_loopback(host) is local
    assert Registries().plain_http(f"{host}/a/b") is local


def test_registries() -> None:
    """The longest prefix counts, and what is configured is what skopeo is told."""
    whole = Registry(prefix="r.example:5000", mirrors=(Mirror(location="m.example/cache", insecure=True),))
    team = Registry(prefix="r.example:5000/team", insecure=True, certs_dir=Path("/certs"))
    registries = Registries(entries=(whole, team))
    assert registries.for_repository("r.example:5000/team/app") is team
    assert registries.for_repository("r.example:5000/teamwork/app") is whole
    assert registries.for_repository("r.example:50000/a") is None
    assert registries.conf() == (
        "unqualified-search-registries = []\n"
        '\n[[registry]]\nprefix = "r.example:5000"\nlocation = "r.example:5000"\ninsecure = false\nblocked = false\n'
        '\n[[registry.mirror]]\nlocation = "m.example/cache"\ninsecure = true\n'
        '\n[[registry]]\nprefix = "r.example:5000/team"\nlocation = "r.example:5000/team"\ninsecure = true\nblocked = false\n'
    )
