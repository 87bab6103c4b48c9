import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.kube.image_reference import InvalidReference, is_digest, parse

SHA = "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("docker.io/team/app:2", "docker.io/team/app:2"),
        ("localhost/demo:1", "localhost/demo:1"),
        ("localhost:5000/demo", "localhost:5000/demo:latest"),
        ("127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000/a/b/c:x"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("registry.example/app", "registry.example/app:latest"),
        ("UPPER/app", "UPPER/app:latest"),
        ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ("app__x.y-z--w:A_b.c-d", "docker.io/library/app__x.y-z--w:A_b.c-d"),
        (f"busybox@sha256:{SHA}", f"docker.io/library/busybox@sha256:{SHA}"),
        (f"r.example/b:tag@sha256:{SHA}", f"r.example/b@sha256:{SHA}"),
        (f"r.example/b@sha512:{SHA}{SHA}", f"r.example/b@sha512:{SHA}{SHA}"),
    ],
)
def test_normalised(text: str, full: str) -> None:
    """A short name means what it means to docker, containerd and CRI-O."""
    assert str(parse(text)) == full
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        "/a",
        "a/",
        "a//b",
        "-a",
        "a..b",
        "a/_b",
        "a b",
        "a:b:c",
        "a@sha256:12",
        f"a@md5:{SHA}",
        "a:" + "t" * 129,
        "r.example:port/a",
        "r.example/A",
        "App",
        "a:-t",
        "../a",
        "a/../b",
        "http://r.example/a",
        "a\n",
        SHA,
        "x" * 256,
    ],
)
def test_refused(text: str) -> None:
    """What is not a reference is an error that quotes it."""
    with pytest.raises(InvalidReference) as failure:
        parse(text)
    assert f'couldn\'t parse image name "{text}": ' in str(failure.value)


def test_upper_case_is_named() -> None:
    """The most common mistake has its own words."""
    with pytest.raises(
        InvalidReference, match=r"invalid reference format: repository name \(team/App\) must be lowercase"
    ):
        parse("team/App:1")


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_an_error(text: str) -> None:
    """Whatever is written, the answer is a stable full name or InvalidReference."""
    try:
        full = parse(text)
    except InvalidReference:
        return
    assert parse(str(full)) == full


def test_digests() -> None:
    """Only whole digests of known algorithms count."""
    assert [is_digest(t) for t in (f"sha256:{SHA}", f"sha256:{SHA}0", "sha256:xyz", f"sha1:{SHA}", SHA)] == [
        True,
        False,
        False,
        False,
        False,
    ]
