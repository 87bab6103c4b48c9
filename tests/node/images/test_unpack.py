"""Layers become trees: what images really contain is kept, what reaches outside is refused."""

import gzip
import json
import os
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hand_made_images import OCILayout, compressed, named

import runtimes
from runtimes.errors import Internal, InvalidArgument, NotFound
from runtimes.oci.images.platforms import this_host
from runtimes.oci.images.store import DiskImageStore

pytestmark = pytest.mark.node

Layer = Callable[..., bytes]
Image = Callable[..., Path]


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


async def unpacked(store: DiskImageStore, archive: Path) -> Path:
    (record,) = await store.import_archive(archive)
    return record.rootfs


async def test_whiteouts(store: DiskImageStore, image: Image, layer: Layer) -> None:
    """A layer deletes files and folders of those below, or hides a folder's old content, and nothing else."""
    root = await unpacked(
        store,
        image(
            layer(*(("file", name, "1") for name in ("a/b", "a/c", "x/old/deep", "x/old2", "gone/f", ".wh", "keep"))),
            layer(("file", "a/.wh.b"), ("file", "x/new", "2"), ("file", "x/.wh..wh..opq"), ("file", ".wh.gone")),
            layer(("file", "gone", "now a file"), ("file", "a/b", "back")),
        ),
    )
    assert names(root) == [".wh", "a", "a/b", "a/c", "gone", "keep", "x", "x/new"]
    assert ((root / "gone").read_text(), (root / "a/b").read_text()) == ("now a file", "back")


async def test_attributes(store: DiskImageStore, image: Image, layer: Layer) -> None:
    """Owners, modes with setuid and sticky bits, hard links, xattrs, capabilities, devices and fifos arrive as they were."""
    capability = "\x01\x00\x00\x02\x00\x04\x00\x00" + "\x00" * 12
    root = await unpacked(
        store,
        image(
            layer(
                ("dir", "tmp", "", {"mode": 0o1777}),
                ("file", "su", "#!", {"mode": 0o4755, "uid": 0}),
                ("file", "sg", "#!", {"mode": 0o2755, "uid": 1000, "gid": 2000}),
                ("link", "bin/su", "su"),
                ("file", "cap", "x", {"xattrs": {"user.note": "hello", "security.capability": capability}}),
                ("char", "dev/null", "", {"device": (1, 3), "mode": 0o666}),
                ("fifo", "pipe", "", {"mode": 0o600}),
                ("dir", "private", "", {"mode": 0o700, "uid": 7, "gid": 8}),
            ),
            layer(("link", "private/su", "/su")),
        ),
    )

    def facts(name: str) -> tuple[str, int, int]:
        info = os.lstat(root / name)
        return stat.filemode(info.st_mode), info.st_uid, info.st_gid

    assert {name: facts(name) for name in ("tmp", "su", "sg", "cap", "dev/null", "pipe", "private")} == {
        "tmp": ("drwxrwxrwt", 0, 0),
        "su": ("-rwsr-xr-x", 0, 0),
        "sg": ("-rwxr-sr-x", 1000, 2000),
        "cap": ("-rw-r--r--", 0, 0),
        "dev/null": ("crw-rw-rw-", 0, 0),
        "pipe": ("prw-------", 0, 0),
        "private": ("drwx------", 7, 8),
    }
    assert len({os.lstat(root / name).st_ino for name in ("su", "bin/su", "private/su")}) == 1
    assert os.lstat(root / "dev/null").st_rdev == os.makedev(1, 3)
    assert os.getxattr(root / "cap", "user.note") == b"hello"
    assert os.getxattr(root / "cap", "security.capability") == capability.encode("latin-1")


async def test_odd_names(store: DiskImageStore, image: Image, layer: Layer) -> None:
    """Names are bytes: spaces, line ends, colons, backslashes, leading dashes, other encodings, the longest possible."""
    odd = [
        " a ",
        "b\nc",
        "c:d,e",
        "d\\e",
        "-rf",
        "\u00fc\u4e2d",
        "raw\udcff",
        "n" * 255,
        "d/" * 60 + "deep",
        "..x",
        "...",
    ]
    root = await unpacked(store, image(layer(*(("file", name, "1") for name in odd))))
    assert {name for name in odd if (root / name).read_text() == "1"} == set(odd)


@pytest.mark.parametrize(
    "entries",
    [
        [("file", "../escape", "x")],
        [("file", "/../../escape", "x")],
        [("file", "a/../../../escape", "x")],
        [("dir", "../escape")],
        [("symlink", "../escape", "/etc")],
        [("link", "passwd", "../../../../../../etc/passwd")],
        [("file", "a", "1"), ("file", "../.wh.victim")],
        [("file", "a/b", "1"), ("file", "a/.wh...")],
        [("symlink", ".", "/tmp"), ("file", "escape", "x")],
    ],
)
async def test_escapes_are_refused(
    store: DiskImageStore,
    image: Image,
    layer: Layer,
    tmp_path: Path,
    leftovers: Callable[[Path], set[str]],
    entries: list[tuple[Any, ...]],
) -> None:
    """An image with an entry outside of its root is not taken in, touches nothing outside, and leaves nothing."""
    (tmp_path / "victim").write_text("safe")
    before = set(names(tmp_path))
    archive = image(layer(*entries))
    with pytest.raises(InvalidArgument, match=r"failed to import: layer sha256:\w{64} is refused: "):
        await store.import_archive(archive)
    await store.stop()
    new = {n for n in set(names(tmp_path)) - before if not n.startswith("image-")}
    assert {n for n in new if not n.startswith("store")} == set()
    assert (tmp_path / "victim").read_text() == "safe"
    assert leftovers(tmp_path / "store") == set()
    assert store.resolve("localhost/test:1") is None


async def test_links_are_followed_inside_only(
    store: DiskImageStore, image: Image, layer: Layer, tmp_path: Path
) -> None:
    """Writing, deleting and linking through an image's own symbolic links stays inside its root, where they would lead
    in the container."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    root = await unpacked(
        store,
        image(
            layer(
                ("symlink", "absolute", str(outside)),
                ("symlink", "relative", "../../../../.." + str(outside)),
                ("symlink", "etc", "/"),
                ("file", "absolute/one", "1"),
                ("file", "relative/two", "2"),
                ("file", "etc/three", "3"),
                ("symlink", "loop", "loop"),
            ),
            layer(("file", "absolute/.wh.victim"), ("file", "absolute/.wh..wh..opq"), ("file", "relative/four", "4")),
        ),
    )
    assert sorted(os.listdir(outside)) == ["victim"]
    assert (outside / "victim").read_text() == "safe"
    assert os.readlink(root / "loop") == "loop"
    assert (root / "three").read_text() == "3"


async def test_hard_link_through_a_symbolic_link(
    store: DiskImageStore, image: Image, layer: Layer, tmp_path: Path
) -> None:
    """A hard link cannot bring a file of the host into the image."""
    secret = tmp_path / "secret"
    secret.write_text("host's")
    archive = image(layer(("symlink", "door", str(tmp_path)), ("link", "mine", "door/secret")))
    why = r"is refused: hard link 'mine' to 'door/secret': No such file"
    with pytest.raises(InvalidArgument, match=why):
        await store.import_archive(archive)
    assert secret.stat().st_nlink == 1


async def test_file_over_link(store: DiskImageStore, image: Image, layer: Layer, tmp_path: Path) -> None:
    """A file that replaces a symbolic link replaces the link, not what it points to."""
    victim = tmp_path / "victim"
    victim.write_text("safe")
    root = await unpacked(store, image(layer(("symlink", "a", str(victim))), layer(("file", "a", "mine"))))
    assert ((root / "a").read_text(), victim.read_text()) == ("mine", "safe")


@pytest.mark.parametrize("count", [0, 1])
async def test_empty(store: DiskImageStore, image: Image, layer: Layer, count: int) -> None:
    """An image without layers, or with an empty one, is an empty tree."""
    root = await unpacked(store, image(*[layer()] * count))
    assert names(root) == []


async def test_same_layer_twice(store: DiskImageStore, image: Image, layer: Layer) -> None:
    """A layer may occur twice."""
    one = layer(("file", "a", "1"))
    assert names(await unpacked(store, image(one, layer(("file", ".wh.a")), one))) == ["a"]


async def test_wrong_architecture(store: DiskImageStore, image: Image, layer: Layer) -> None:
    """An image for another machine is refused before it is unpacked."""
    with pytest.raises(NotFound) as failure:
        await store.import_archive(image(layer(("file", "a")), architecture="s390x"))
    assert "localhost/test:1: no manifest for linux/" in failure.value.message
    assert "in its list (linux/s390x)" in failure.value.message


async def test_several_gzip_members(
    store: DiskImageStore, image: Image, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that was compressed in pieces, whose end does not tell its length, is unpacked all the same."""
    compress = gzip.compress
    monkeypatch.setattr(
        gzip, "compress", lambda data, **_: compress(data[:700], mtime=0) + compress(data[700:], mtime=0)
    )
    archive = image(layer(("file", "a", "x" * 5000), ("file", "b", "y")), layer(("file", "c", "z")))
    monkeypatch.undo()
    (record,) = await store.import_archive(archive)
    assert [(record.rootfs / name).read_text()[:1] for name in "abc"] == ["x", "y", "z"]
    assert (record.rootfs / "a").stat().st_size == 5000


COMPRESSIONS = ("", "gzip", "estargz", "zstd", "zstd-unknown", "zstd:chunked", "xz", "bzip2")


async def test_compressions(store: DiskImageStore, layer: Layer, tmp_path: Path) -> None:
    """Layers may be compressed in any way, each in another, and one may occur twice; what a later one hides is hidden."""
    made = OCILayout()
    layers = [(layer(("file", f"of{how}", how * 100_000), ("file", ".wh.gone")), how) for how in COMPRESSIONS]
    twice = [
        (layer(("file", "gone", "x"), ("file", "twice", "y" * 3_000_000)), how) for how in ("zstd", "gzip", "zstd")
    ]
    empty = (b"", "zstd")
    image = made.image(*twice[:2], empty, *layers, (layer(), "zstd"), platform=f"linux/{this_host().architecture}")
    (record,) = await store.import_archive(made.write(tmp_path / "mixed", named(image, short="localhost/mixed:1")))
    assert names(record.rootfs) == sorted(["twice", *(f"of{how}" for how in COMPRESSIONS)])
    assert all((record.rootfs / f"of{how}").read_text() == how * 100_000 for how in COMPRESSIONS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "it ends in the middle|not sha256"),
        (lambda data: data + b"rubbish", "zstd decompress error"),
        (lambda data: data[:20] + bytes(8) + data[28:], "damaged|not sha256"),
        (lambda data: compressed(b"other", "zstd"), "damaged|not sha256"),
    ],
)
async def test_damaged_zstd(
    store: DiskImageStore,
    layer: Layer,
    tmp_path: Path,
    leftovers: Callable[[Path], set[str]],
    damage: Callable[[bytes], bytes],
    message: str,
) -> None:
    """A zstd layer that is cut, mangled or another one is refused by its digest, and leaves nothing."""
    made = OCILayout()
    plain = layer(("file", "a", os.urandom(100_000).hex()))
    good = made.image((plain, "zstd"), platform=f"linux/{this_host().architecture}")
    manifest = json.loads(made.files["blobs/" + good["digest"].replace(":", "/")])
    bad = made.blob(damage(compressed(plain, "zstd")), manifest["layers"][0]["mediaType"])
    image = made.blob(json.dumps({**manifest, "layers": [bad]}).encode(), good["mediaType"])
    with pytest.raises(InvalidArgument, match=f"layer {bad['digest']} is .*({message})"):
        await store.import_archive(made.write(tmp_path / "damaged.tar", named(image, short="localhost/damaged:1")))
    await store.stop()
    assert leftovers(tmp_path / "store") == set()


async def test_unpacker_dies(
    open_store: Any, image: Image, layer: Layer, wrapped: Any, leftovers: Any, tmp_path: Path
) -> None:
    """An unpacker that ends without an answer is an error that says so; nothing hangs, nothing stays."""
    python, log = wrapped("python", "echo out of luck >&2; exit 1")
    store = await open_store(python=python)
    with pytest.raises(Internal, match="the image cannot be unpacked: out of luck"):
        await store.import_archive(image(layer(("file", "a", "x" * 3_000_000))))
    assert len(log.read_text().splitlines()) == 1
    await store.stop()
    assert leftovers(tmp_path / "store") == set()


def test_no_code_of_the_image_runs(tmp_path: Path) -> None:
    """The image is the unpacker's root: where Python would look for a module that is not imported yet, its files are."""
    library = tmp_path / "rootfs" / sysconfig.get_path("stdlib").lstrip("/")
    library.mkdir(parents=True)
    (library / "wave.py").write_text("open('/ran', 'x')")
    code = "from runtimes.oci.images import unpacker as u; u.unpack_layers = lambda *_: __import__('wave'); u.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps({"blobs": str(tmp_path), "layers": []}),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(runtimes.__file__).parents[1])},
        timeout=60,
    )
    assert "No module named 'wave'" in done.stderr
    assert not (tmp_path / "rootfs/ran").exists()
