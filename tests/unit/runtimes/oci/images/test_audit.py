import contextlib
import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtimes.errors import InvalidArgument
from runtimes.oci.images.layer_entries import LayerEntries, Usage
from runtimes.oci.images.plain_layer import PlainLayer

Tar = Callable[..., bytes]


def check(data: bytes, *, diff_id: str = "", plain: bytes | None = None) -> Usage:
    digest = "sha256:" + hashlib.sha256(plain if plain is not None else data).hexdigest()
    with contextlib.closing(PlainLayer(io.BytesIO(data), "sha256")) as layer:
        entries = LayerEntries(layer, digest="sha256:blob", diff_id=diff_id or digest)
        for _ in entries:
            pass
        return entries.usage


GOOD = [
    ("dir", "etc"),
    ("file", "etc/passwd", "x" * 5000),
    ("file", "./etc/group", ""),
    ("symlink", "run", "/var/run"),
    ("symlink", "up", "../../../etc"),
    ("link", "etc/passwd-", "etc/passwd"),
    ("link", "etc/passwd--", "/etc/passwd"),
    ("file", "etc/../etc/x", "1"),
    ("file", "a/.wh.b"),
    ("file", "a/.wh..wh..opq"),
    ("char", "dev/null"),
    ("file", "sp ace\n\udcff/\u00fc", "odd"),
    ("file", "n/" * 100 + "deep", "1"),
    ("file", "x" * 255, "longest"),
    ("file", "cap", "1", {"SCHILY.xattr.security.capability": "\x01", "SCHILY.xattr.user.a": "b"}),
]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_good_layer(tar: Tar, form: int) -> None:
    """Everything that images really contain passes, plain and gzip, and is counted."""
    plain = tar(GOOD, form)
    expected = Usage(bytes=4096 + 2 * 4096 + 5 * 4096, inodes=len(GOOD) - 2)
    assert check(plain) == expected
    assert check(gzip.compress(plain), plain=plain) == expected
    two_members = gzip.compress(plain[:3000]) + gzip.compress(plain[3000:]) + bytes(512)
    assert check(two_members, plain=plain) == expected


def test_old_unix_tar(tar: Tar) -> None:
    """ustar with a split name passes."""
    name = "p" * 90 + "/" + "n" * 90
    assert check(tar([("file", name, "1")], tarfile.USTAR_FORMAT)) == Usage(bytes=4096, inodes=1)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (("file", "../x", ""), "entry '../x' leads out of the image's root"),
        (("file", "/../x", ""), "entry '/../x' leads out of the image's root"),
        (("file", "a/../../x", ""), "entry 'a/../../x' leads out of the image's root"),
        (("dir", ".."), "entry '../' leads out of the image's root"),
        (("symlink", "../../tmp/x", "y"), "entry '../../tmp/x' leads out of the image's root"),
        (("file", "../.wh.x", ""), "entry '../.wh.x' leads out of the image's root"),
        (("link", "h", "../etc/passwd"), "hard link 'h' to '../etc/passwd' leads out of the image's root"),
        (("link", "a/h", "../etc/passwd"), "hard link 'a/h' to '../etc/passwd' leads out of the image's root"),
        (("symlink", ".", "/tmp"), "it replaces the root by a symbolic link"),
        (("file", ".", "x"), "it replaces the root by what is no folder"),
        (("file", "a/.wh../x/..", ""), "a whiteout of a folder itself: 'a/.wh../x/..'"),
        (("file", "t", "", {"mtime": "soon"}), "a malformed time: 'soon'"),
        (("file", "u", "", {"uid": "4294967295"}), "an owner that cannot be: 4294967295"),
        (("symlink", "/", "/tmp"), "it replaces the root by a symbolic link"),
        (("file", "a/.wh...", ""), "a whiteout of a folder itself: 'a/.wh...'"),
        (("file", ".wh..", ""), "a whiteout of a folder itself: '.wh..'"),
        (("file", "a/.wh.", ""), "a whiteout of a folder itself: 'a/.wh.'"),
        (("file", "y" * 256, ""), "a name of 256 bytes, of which 255 are possible"),
        (
            ("file", "r", "", {"SCHILY.xattr.trusted.overlay.redirect": "/etc"}),
            "extended attribute 'SCHILY.xattr.trusted.overlay.redirect'",
        ),
        (("file", "r", "", {"path": "../x"}), "entry '../x' leads out of the image's root"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_hostile_entry(tar: Tar, entry: tuple[str, ...], why: str, form: int) -> None:
    """A layer with one entry that reaches for the world outside is refused as a whole, and told why."""
    if len(entry) == 4:
        form = tarfile.PAX_FORMAT
    with pytest.raises(InvalidArgument) as failure:
        check(tar([("file", "good", "1"), entry, ("file", "later", "1")], form))
    assert failure.value.message == f"layer sha256:blob is refused: {why}"


def test_other_content_than_promised(tar: Tar) -> None:
    """A layer that is not the one of the image configuration is refused."""
    with pytest.raises(InvalidArgument) as failure:
        check(tar(GOOD), diff_id="sha256:" + "0" * 64)
    assert failure.value.message == (
        f"layer sha256:blob is refused: its content is not sha256:{'0' * 64}, which the image configuration promises"
    )


def test_hostile_sizes_do_not_fill_memory(tar: Tar) -> None:
    """A header that announces gigabytes of metadata is refused before a byte of it is read."""
    header = bytearray(tar([("file", "x", "")], tarfile.USTAR_FORMAT)[:512])
    header[156:157] = b"x"
    header[124:136] = b"77777777777\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(InvalidArgument, match="refused: a header of 8589934591 bytes"):
        check(bytes(header))


@pytest.mark.parametrize("cut", [100, 512, 600, 1500])
def test_cut_short(tar: Tar, cut: int) -> None:
    """A layer that ends in the middle is damaged, not half an image."""
    plain = tar([("file", "a", "x" * 2000)])
    with pytest.raises(InvalidArgument, match="is damaged: it ends in the middle"):
        check(plain[:cut])
    with pytest.raises(InvalidArgument, match="is damaged"):
        check(gzip.compress(plain)[:-30])


@given(st.binary(max_size=2000), st.integers(0, 5000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_rubbish(tar: Tar, rubbish: bytes, at: int) -> None:
    """Whatever bytes a registry sends, the answer is a count or InvalidArgument."""
    data = tar(GOOD)
    mangled = data[:at] + rubbish + data[at + len(rubbish) :]
    for candidate in (rubbish, mangled, b"\x1f\x8b" + rubbish, gzip.compress(mangled, 1)):
        try:
            check(candidate, plain=mangled)
        except InvalidArgument:
            continue
