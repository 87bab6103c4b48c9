import base64

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
