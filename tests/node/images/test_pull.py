"""Pulls from a real registry."""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hand_made_images import OCILayout, for_platform

from proto import cri_pb2 as cri
from runtimes.errors import InvalidArgument, NotFound, NotSupported, RuntimeFault, Timeout, Unavailable
from runtimes.oci.images.contract import ImageRecord, PullProgress
from runtimes.oci.images.platforms import this_host
from runtimes.oci.images.registries import Registries, Registry
from runtimes.oci.images.store import DiskImageStore

pytestmark = pytest.mark.node

Layer = Callable[..., bytes]
Image = Callable[..., Path]
Leftovers = Callable[[Path], set[str]]
ARCHITECTURE = this_host().architecture
GOOD = cri.AuthConfig(username="alice", password="s3cret")


def run(*argv: str | Path) -> bytes:
    return subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout


def inspected(reference: str) -> dict[str, Any]:
    return dict(json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{reference}")))


def spec(name: str) -> cri.ImageSpec:
    return cri.ImageSpec(image=name)


async def status(store: DiskImageStore, name: str) -> cri.Image:
    return (await store.image_status(cri.ImageStatusRequest(image=spec(name)))).image


@pytest.mark.parametrize("form", ["oci", "v2s2"])
async def test_by_tag_and_by_digest(
    store: DiskImageStore, registry: Any, demo: tuple[Path, str], tmp_path: Path, form: str, leftovers: Leftovers
) -> None:
    """A pulled image has the id and the digest that it has in the registry, whatever its format, and runs."""
    archive, image_id = demo
    reference = registry.push(archive, f"team/{form}:1", "--format", form)
    repository, digest = reference.rpartition(":")[0], inspected(reference)["Digest"]
    response = await store.pull_image(cri.PullImageRequest(image=spec(reference)))
    assert response.image_ref == image_id
    by_digest = await store.pull_image(cri.PullImageRequest(image=spec(f"{repository}@{digest}")))
    assert by_digest == response
    expected = cri.Image(id=image_id, repo_tags=[reference], repo_digests=[f"{repository}@{digest}"])
    found = await status(store, reference)
    assert found.size > 1_000_000
    expected.size = found.size
    for name in (reference, f"{repository}@{digest}", image_id, image_id[7:], image_id[7:19]):
        assert await status(store, name) == expected
    assert list((await store.list_images(cri.ListImagesRequest())).images) == [expected]
    merged = await store.prepare_rootfs(image_id, tmp_path / "c")
    assert b"It runs." in run("chroot", merged, "/bin/cat", "/www/index.html")
    await store.remove_rootfs(tmp_path / "c")
    await store.remove_image(cri.RemoveImageRequest(image=spec(reference)))
    await store.remove_image(cri.RemoveImageRequest(image=spec(reference)))
    await store.stop()
    assert leftovers(tmp_path / "store") == set()


def files_of(record: ImageRecord) -> dict[str, str]:
    return {str(path.relative_to(record.rootfs)): path.read_text()[:9] for path in record.rootfs.rglob("*")}


@pytest.mark.parametrize("form", ["oci", "docker"])
async def test_index(store: DiskImageStore, registry: Any, layer: Layer, form: str) -> None:
    """Of a multi-platform image this machine's part is taken, whatever its layers are compressed with, under the digest of
    the whole; attestations and indexes within it are no hindrance. Again by its digest it is the same image."""
    docker = form == "docker"
    layout = OCILayout()
    kinds = ["gzip", "", "estargz"] + ([] if docker else ["zstd", "zstd-unknown", "zstd:chunked"])
    layers = [(layer(("file", f"of-{kind}", f"{n}" * 300_000)), kind) for n, kind in enumerate(kinds)]
    mine = for_platform(layout.image(*layers, platform=f"linux/{ARCHITECTURE}", docker=docker), f"linux/{ARCHITECTURE}")
    other = for_platform(
        layout.image((layer(("file", "other")), "gzip"), platform="linux/s390x", docker=docker), "linux/s390x"
    )
    inner = [mine] if docker else [layout.index(mine, layout.attestation())]
    index = layout.index(other, *([] if docker else [layout.attestation()]), *inner, docker=docker)
    reference = registry.put(layout.files, index, f"multi-{form}:1")
    record = await store.pull(reference)
    repository = reference.rpartition(":")[0]
    assert record.digests == (f"{repository}@{index['digest']}",)
    assert record.manifest_digest == mine["digest"]
    assert files_of(record) == {f"of-{kind}": f"{n}" * 9 for n, kind in enumerate(kinds)}
    assert await store.pull(f"{repository}@{index['digest']}") == record
    with pytest.raises(NotFound) as failure:
        await store.pull(registry.put(layout.files, layout.index(other, docker=docker), f"foreign-{form}:1"))
    assert f"no manifest for linux/{ARCHITECTURE} in its list (linux/s390x)" in failure.value.message


async def test_docker_manifest_with_zstd(store: DiskImageStore, registry: Any, layer: Layer) -> None:
    """What skopeo cannot fetch is told as not supported, with the media type."""
    layout = OCILayout()
    target = layout.image((layer(("file", "a")), "zstd"), platform=f"linux/{ARCHITECTURE}", docker=True)
    with pytest.raises(NotSupported, match=r"diff\.tar\.zstd"):
        await store.pull(registry.put(layout.files, target, "docker-zstd:1"))


async def test_shared_layers(
    open_store: Any, wrapped: Any, registry: Any, image: Image, layer: Layer, tmp_path: Path
) -> None:
    """A layer that is there is not fetched again, and an image that is there costs one look at its tag."""
    base = layer(("file", "base", "1" * 1000))
    one = registry.push(image(base, layer(("file", "one", "1"))), "shared/one:1")
    two = registry.push(image(base, layer(("file", "two", "2"))), "shared/two:1")
    program, log = wrapped("skopeo")
    store = await open_store(program=program)
    await store.pull(one)
    blobs = set((tmp_path / "store" / "blobs" / "sha256").iterdir())
    stamps = {path: path.stat().st_ino for path in blobs}
    await store.pull(two)
    await store.stop()
    common = store.resolve(one).layers[0]
    path = tmp_path / "store" / "blobs" / common.replace(":", "/")
    assert path.stat().st_ino == stamps[path]
    log.write_text("")
    await store.pull(one)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["inspect"]


async def test_progress(store: DiskImageStore, registry: Any, demo: tuple[Path, str]) -> None:
    """Every stage is told, in order, and at the end all bytes are there."""
    seen: list[PullProgress] = []
    reference = registry.push(demo[0], "progress:1")
    await store.pull(reference, progress=seen.append)
    assert list(dict.fromkeys(p.stage for p in seen)) == ["resolving", "fetching", "unpacking", "done"]
    assert seen[-1].bytes_done == seen[-1].bytes_total > 1_000_000
    assert (seen[-1].layers_done, seen[-1].layers_total) == (1, 1)


async def test_many_wait_for_one(open_store: Any, wrapped: Any, registry: Any, demo: tuple[Path, str]) -> None:
    """However many pods want an image at once, it is fetched once."""
    reference = registry.push(demo[0], "popular:1")
    program, log = wrapped("skopeo")
    store = await open_store(program=program)
    records = await asyncio.gather(*(store.pull(reference) for _ in range(6)))
    assert {record.id for record in records} == {demo[1]}
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["inspect", "inspect", "copy"]


async def test_two_names_of_one_image(open_store: Any, wrapped: Any, registry: Any, demo: tuple[Path, str]) -> None:
    """Two pulls that turn out to be one image unpack it once; it has both names."""
    first, second = (registry.push(demo[0], f"alias/{name}:1") for name in ("a", "b"))
    python, log = wrapped("python")
    store = await open_store(python=python)
    await asyncio.gather(store.pull(first), store.pull(second))
    assert set(store.resolve(demo[1]).tags) == {first, second}
    assert len(log.read_text().splitlines()) == 1


async def test_moved_tag(store: DiskImageStore, registry: Any, image: Image, layer: Layer) -> None:
    """Pulled again after the tag moved, the tag names the new image and the old one is still there, by id."""
    reference = registry.push(image(layer(("file", "old", "1"))), "moving:1")
    old = await store.pull(reference)
    registry.push(image(layer(("file", "new", "1"))), "moving:1")
    new = await store.pull(reference)
    assert new.id != old.id
    left = store.resolve(old.id)
    assert left is not None
    assert (new.tags, left.tags) == ((reference,), ())


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        (
            "absent:1",
            NotFound,
            'failed to pull image "{host}/absent:1": reading manifest 1 in {host}/absent: manifest unknown',
        ),
        ("absent@sha256:" + "0" * 64, NotFound, "manifest unknown"),
    ],
)
async def test_absent(store: DiskImageStore, registry: Any, name: str, kind: type[RuntimeFault], words: str) -> None:
    """The registry's answer is in the error."""
    with pytest.raises(kind) as failure:
        await store.pull(f"{registry.host}/{name}")
    assert words.format(host=registry.host) in failure.value.message


async def test_bad_reference(store: DiskImageStore) -> None:
    """A name that is none never reaches a registry."""
    with pytest.raises(InvalidArgument, match='couldn\'t parse image name "Not A Name": '):
        await store.pull_image(cri.PullImageRequest(image=spec("Not A Name")))


async def test_unreachable(store: DiskImageStore, tmp_path: Path, leftovers: Leftovers) -> None:
    """Nobody listens: Unavailable, with what the network said."""
    with pytest.raises(Unavailable, match="connection refused"):
        await store.pull("127.0.0.1:1/a:1")
    await store.stop()
    assert leftovers(tmp_path / "store") == set()


async def test_silent_registry(open_store: Any) -> None:
    """A registry that accepts and says nothing ends the pull after the limit, by name."""
    server = await asyncio.start_server(lambda r, w: asyncio.sleep(3600), "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    store = await open_store(resolve_seconds=1.0)
    with pytest.raises(Timeout, match=f"no answer from the registry {host} for 1s"):
        await store.pull(f"{host}/a:1")
    server.close()


async def test_stalled_layer(
    open_store: Any, registry: Any, image: Image, layer: Layer, tmp_path: Path, leftovers: Leftovers
) -> None:
    """A layer that stops to arrive ends the pull; one that trickles goes on as long as it does. Nothing stays."""
    reference = registry.push(image(layer(("file", "big", os.urandom(300_000).hex()))), "stalled:1")
    port = int(registry.host.rpartition(":")[2])
    stalling = asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)

        async def down() -> None:
            sent = 0
            while data := await upstream_reader.read(65536):
                sent += len(data)
                if sent > 200_000 and stalling.is_set():
                    await asyncio.sleep(3600)
                writer.write(data)
                await writer.drain()
            writer.close()

        task = asyncio.create_task(down())
        while data := await reader.read(65536):
            upstream_writer.write(data)
        upstream_writer.close()
        task.cancel()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    store = await open_store(stall_seconds=1.5)
    stalling.set()
    with pytest.raises(Timeout, match=r"no data from the registry for 1\.5s"):
        await store.pull(reference.replace(registry.host, host))
    await store.stop()
    assert leftovers(tmp_path / "store") == set()
    stalling.clear()
    await store.pull(reference.replace(registry.host, host))
    server.close()


async def test_credentials(
    open_store: Any, wrapped: Any, guarded_registry: Any, demo: tuple[Path, str], tmp_path: Path, leftovers: Leftovers
) -> None:
    """Right credentials get the image, wrong ones and none get the registry's refusal; no command line shows a secret."""
    reference = guarded_registry.push(demo[0], "secret/demo:1")
    program, log = wrapped("skopeo")
    entry = Registry(prefix=guarded_registry.host, certs_dir=guarded_registry.certs)
    store = await open_store(program=program, registries=Registries(entries=(entry,)))
    for auth in (None, cri.AuthConfig(username="alice", password="wrong")):
        with pytest.raises(Unavailable, match="unauthorized: authentication required"):
            await store.pull(reference, auth=auth)
    response = await store.pull_image(cri.PullImageRequest(image=spec(reference), auth=GOOD))
    assert response.image_ref == demo[1]
    assert "s3cret" not in log.read_text()
    assert "wrong" not in log.read_text()
    await store.stop()
    assert leftovers(tmp_path / "store") == set()


async def test_unknown_certificate(open_store: Any, guarded_registry: Any) -> None:
    """A registry whose certificate nobody vouches for is not spoken to, unless it is configured as insecure."""
    strict = await open_store(registries=Registries(entries=(Registry(prefix=guarded_registry.host),)))
    with pytest.raises(Unavailable, match="certificate signed by unknown authority"):
        await strict.pull(f"{guarded_registry.host}/secret/demo:1", auth=GOOD)
    loose = await open_store(registries=Registries(entries=(Registry(prefix=guarded_registry.host, insecure=True),)))
    with pytest.raises(Unavailable, match="unauthorized"):
        await loose.pull(f"{guarded_registry.host}/secret/demo:1")


async def test_mirror(open_store: Any, registry: Any, demo: tuple[Path, str]) -> None:
    """An image comes from the mirror under its own name; mirrors that are down or lack it are passed over."""
    registry.push(demo[0], "cache/team/app:1")
    mirrors = ("127.0.0.1:1", f"{registry.host}/empty", f"{registry.host}/cache")
    entries = (Registry(prefix="registry.invalid", mirrors=mirrors), Registry(prefix=registry.host, insecure=True))
    store = await open_store(registries=Registries(entries=entries))
    record = await store.pull("registry.invalid/team/app:1")
    assert (record.id, record.tags) == (demo[1], ("registry.invalid/team/app:1",))


async def test_mirror_with_its_own_ca_and_login(open_store: Any, guarded_registry: Any, demo: tuple[Path, str]) -> None:
    """A mirror is reached as its own entry says, with the node's login for it; without them it fails by name."""
    guarded_registry.push(demo[0], "app:1")
    host = guarded_registry.host
    origin = Registry(prefix="registry.invalid", mirrors=(host,), insecure=True)
    asked: list[str] = []

    def login(repository: str) -> cri.AuthConfig:
        asked.append(repository)
        return GOOD

    trusted = Registry(prefix=host, certs_dir=guarded_registry.certs)
    store = await open_store(registries=Registries(entries=(origin, trusted)), mirror_login=login)
    pods = cri.AuthConfig(username="pod", password="hidden")
    assert (await store.pull("registry.invalid/app:1", auth=pods)).id == demo[1]
    assert asked == [f"{host}/app"]
    for entries, words in (
        ((origin, trusted), "unauthorized"),
        ((origin, Registry(prefix=host)), "certificate signed by unknown authority"),
    ):
        store = await open_store(registries=Registries(entries=entries))
        with pytest.raises(Unavailable) as failure:
            await store.pull("registry.invalid/app:1", auth=GOOD)
        places = rf"every place failed: \[mirror {host}/app:1: .*{words}.*\], \[registry\.invalid/app:1: .*\]"
        assert re.search(places, failure.value.message)


async def test_silent_mirror(open_store: Any, registry: Any, demo: tuple[Path, str]) -> None:
    """A mirror that accepts and says nothing costs its deadline, and the registry is asked all the same; a mirror that asks
    for a login is not given that of the registry."""
    heard: list[str] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def curious(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.read(65536)).decode(errors="replace"))
        challenge = b'WWW-Authenticate: Basic realm="give"\r\n'
        writer.write(b"HTTP/1.1 401 Unauthorized\r\n" + challenge + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for serve in (silent, curious)]
    mirrors = tuple(f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers)
    reference = registry.push(demo[0], "mirrored:1")
    entry = Registry(prefix=registry.host, mirrors=mirrors, insecure=True)
    store = await open_store(registries=Registries(entries=(entry,)), resolve_seconds=6.0)
    assert (await store.pull(reference, auth=cri.AuthConfig(username="pod", password="hidden"))).id == demo[1]
    assert any("GET /v2/" in request for request in heard)
    secret = base64.b64encode(b"pod:hidden").decode()
    assert not any(secret in request for request in heard), "the registry's login was told to a mirror"
    for server in servers:
        server.close()


async def test_mirror_that_fails_in_the_middle(
    open_store: Any, registry: Any, demo: tuple[Path, str], wrapped: Any
) -> None:
    """A mirror that has the manifest and not the layers is passed over too, and nothing of it is taken for the image."""
    reference = registry.push(demo[0], "middle:1")
    port = int(registry.host.rpartition(":")[2])
    answers: list[bytes] = []

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(1)
        if request == b"\x16":  # TLS: it is tried first
            writer.close()
            return
        request += await reader.readuntil(b"\r\n\r\n")
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        upstream_writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = await upstream_reader.read()
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"/blobs/" in request.split(b"\r\n")[0] and len(body) > 10_000:
            body = b"x" * len(body)
            answers.append(body)
        writer.write(head + b"\r\n\r\n" + body)
        writer.close()
        upstream_writer.close()

    server = await asyncio.start_server(broken, "127.0.0.1", 0)
    mirror = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    entry = Registry(prefix=registry.host, mirrors=(mirror,), insecure=True)
    store = await open_store(registries=Registries(entries=(entry,)))
    assert (await store.pull(reference)).id == demo[1]
    assert answers
    server.close()


async def test_other_architecture(
    store: DiskImageStore, registry: Any, image: Image, layer: Layer, tmp_path: Path, leftovers: Leftovers
) -> None:
    """An image for another machine is refused before its layers are fetched."""
    reference = registry.push(image(layer(("file", "a")), architecture="s390x"), "foreign:1", "--override-arch=s390x")
    with pytest.raises(InvalidArgument, match="image is for linux/s390x, this node is linux/"):
        await store.pull(reference)
    await store.stop()
    assert leftovers(tmp_path / "store") == set()


def wait_for(log: Path, word: str) -> None:
    deadline = time.monotonic() + 30
    while word not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("program", "verb"), [("skopeo", "copy"), ("python", "-P")])
async def test_cancelled(
    open_store: Any,
    wrapped: Any,
    registry: Any,
    demo: tuple[Path, str],
    tmp_path: Path,
    leftovers: Leftovers,
    program: str,
    verb: str,
) -> None:
    """A pull that nobody waits for any more ends with its programs and leaves nothing."""
    reference = registry.push(demo[0], "cancelled:1")
    script, log = wrapped(program, f'[ "$1" != {verb} ] || {{ echo sleeping >> $0.log; exec sleep 3600; }}')
    store = await open_store(**{"program" if program == "skopeo" else program: script})
    pull = asyncio.create_task(store.pull(reference))
    await asyncio.to_thread(wait_for, log, "sleeping")
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    await store.stop()
    assert leftovers(tmp_path / "store") == set()
    assert store.resolve(reference) is None


AGENT = """
import asyncio, sys
from pathlib import Path
from runtimes.oci.images.skopeo import SkopeoSettings
from runtimes.oci.images.store import DiskImageStore, StoreSettings

async def main():
    root, skopeo, python, reference = sys.argv[1:]
    store = DiskImageStore(Path(root), StoreSettings(python=python, skopeo=SkopeoSettings(program=skopeo)))
    await store.start()
    await store.pull(reference)

asyncio.run(main())
"""

KILL = 'case "$1" in {verb}*) n=$(grep -c -e "^{verb}" $0.log); [ $n != {count} ] || {{ {before} kill -9 $PPID; exit 1; }};; esac'


def pull_in_another_process(root: Path, programs: dict[str, str], reference: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", AGENT, str(root), programs["skopeo"], programs["python"], reference],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.parametrize(
    ("program", "verb", "count", "run_first"),
    [
        ("skopeo", "inspect", 1, False),
        ("skopeo", "inspect", 2, True),
        ("skopeo", "copy", 1, False),
        ("skopeo", "copy", 1, True),
        ("python", "-P", 1, False),
        ("python", "-P", 1, True),
    ],
)
async def test_killed(
    open_store: Any,
    wrapped: Any,
    registry: Any,
    demo: tuple[Path, str],
    tmp_path: Path,
    leftovers: Leftovers,
    program: str,
    verb: str,
    count: int,
    run_first: bool,
) -> None:
    """Killed with SIGKILL before or after any step of a pull, the next start finds a clean store and the pull works."""
    reference = registry.push(demo[0], "killed:1")
    real = sys.executable if program == "python" else program
    before = f'{real} "$@";' if run_first else ""
    script, _ = wrapped(program, KILL.format(verb=verb, count=count, before=before))
    programs = {"skopeo": "skopeo", "python": sys.executable} | {program: script}
    assert pull_in_another_process(tmp_path / "store", programs, reference) == -signal.SIGKILL
    store = await open_store()
    assert (await store.list_images(cri.ListImagesRequest())).images == []
    assert leftovers(tmp_path / "store") == set()
    assert (await store.pull(reference)).id == demo[1]
    await store.stop()
    assert leftovers(tmp_path / "store") == set()
