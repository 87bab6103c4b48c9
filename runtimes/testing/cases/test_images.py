"""Images: from a registry into the store, by every name, into a container, and out again."""

import asyncio
import io
import secrets
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.testing.registry import Registry
from runtimes.testing.subject import Subject

pytestmark = pytest.mark.asyncio
Push = Callable[..., tuple[str, str, str]]


def spec(name: str) -> cri.ImageSpec:
    return cri.ImageSpec(image=name)


async def pull(runtime: Subject, name: str) -> str:
    return (await runtime.images.pull_image(cri.PullImageRequest(image=spec(name)))).image_ref


async def find(runtime: Subject, name: str) -> cri.Image | None:
    """The image of that name, or None."""
    answer = await runtime.images.image_status(cri.ImageStatusRequest(image=spec(name)))
    return answer.image if answer.HasField("image") else None


async def present(runtime: Subject, name: str) -> cri.Image:
    """The image of that name, which must be there."""
    found = await find(runtime, name)
    assert found is not None, f"{name} is absent"
    return found


async def listed(runtime: Subject, name: str = "") -> dict[str, cri.Image]:
    answer = await runtime.images.list_images(cri.ListImagesRequest(filter=cri.ImageFilter(image=spec(name))))
    return {image.id: image for image in answer.images}


async def remove(runtime: Subject, name: str) -> None:
    await runtime.images.remove_image(cri.RemoveImageRequest(image=spec(name)))


@pytest_asyncio.fixture
async def pushed(runtime: Subject, registry: Registry) -> AsyncIterator[Push]:
    """pushed(name, **config) -> (reference, id, digest) of a new image in the registry; gone from the store afterwards."""
    runtime.needs("registries")
    ids = []

    def push(name: str = "app:1", **config: Any) -> tuple[str, str, str]:
        repository = f"team-{secrets.token_hex(4)}/{name}"
        config.setdefault("Labels", {"unique": secrets.token_hex(8)})
        reference, image_id, digest = registry.push(repository, **config)
        ids.append(image_id)
        return reference, image_id, digest

    yield push
    for image_id in ids:
        await remove(runtime, image_id)


def by_digest(reference: str, digest: str) -> str:
    return f"{reference.rpartition(':')[0]}@{digest}"


async def test_pull_by_tag(runtime: Subject, pushed: Push) -> None:
    """The image is known by its tag, its digest, its id and by what the pull answered; a container runs from that."""
    reference, image_id, digest = pushed()
    assert await find(runtime, reference) is None
    pulled = await pull(runtime, reference)
    for name in (reference, by_digest(reference, digest), image_id, pulled):
        found = await present(runtime, name)
        assert (found.id, list(found.repo_tags)) == (image_id, [reference]), name
        assert list(found.repo_digests) == [by_digest(reference, digest)]
        assert found.size > 100_000
        if runtime.can("list one image"):
            assert set(await listed(runtime, name)) == {image_id}
    assert image_id in await listed(runtime)
    pod, config = await runtime.run_sandbox(), runtime.container_config("echo it runs")
    config.image.CopyFrom(cri.ImageSpec(image=pulled, user_specified_image=reference))
    status, text = await runtime.run_in(pod, config)
    assert text == "it runs\n"
    assert digest in status.image_ref or image_id in status.image_ref


@pytest.mark.image_store
async def test_pull_by_digest(runtime: Subject, pushed: Push) -> None:
    """Without a tag, so it has none; a digest of nothing is NotFound."""
    reference, image_id, digest = pushed()
    name = by_digest(reference, digest)
    await pull(runtime, name)
    found = await present(runtime, name)
    assert (found.id, list(found.repo_tags), list(found.repo_digests)) == (image_id, [], [name])
    assert await find(runtime, reference) is None
    with pytest.raises(errors.NotFound):
        await pull(runtime, by_digest(reference, f"sha256:{'0' * 64}"))


@pytest.mark.image_store
async def test_pulling_again_changes_nothing(runtime: Subject, pushed: Push) -> None:
    """One after the other or all at once: the same answer, and one image."""
    reference, image_id, _ = pushed()
    first = await pull(runtime, reference)
    assert set(await asyncio.gather(*(pull(runtime, reference) for _ in range(5)))) == {first}
    found = await listed(runtime)
    assert [entry for entry, image in found.items() if reference in image.repo_tags] == [image_id]
    assert list(found[image_id].repo_tags) == [reference]


@pytest.mark.image_store
async def test_two_tags_of_one_image(runtime: Subject, pushed: Push, registry: Registry) -> None:
    """One image with two names; removing it by one of them removes both."""
    labels = {"unique": secrets.token_hex(8)}
    one, image_id, _ = pushed("app:1", Labels=labels)
    other, same, _ = pushed("app:2", Labels=labels)
    assert image_id == same
    for name in (one, other):
        await pull(runtime, name)
    assert sorted((await present(runtime, one)).repo_tags) == sorted([one, other])
    await remove(runtime, other)
    assert [await find(runtime, name) for name in (one, other, image_id)] == [None, None, None]


@pytest.mark.image_store
@pytest.mark.parametrize("name", ["tag", "digest", "id"])
async def test_remove(runtime: Subject, pushed: Push, name: str) -> None:
    """By any of its names; again is fine, and another image stays."""
    reference, image_id, digest = pushed()
    other, other_id, _ = pushed("other:1")
    for wanted in (reference, other):
        await pull(runtime, wanted)
    chosen = {"tag": reference, "digest": by_digest(reference, digest), "id": image_id}[name]
    for _ in range(2):
        await remove(runtime, chosen)
    assert await find(runtime, reference) is None
    assert image_id not in await listed(runtime)
    assert (await present(runtime, other)).id == other_id
    await remove(runtime, "localhost/never/was:1")


async def test_removing_an_image_in_use(runtime: Subject, pushed: Push) -> None:
    """The container goes on, with its files."""
    reference, image_id, _ = pushed()
    config = runtime.container_config()
    config.image.image = await pull(runtime, reference)
    container_id = await runtime.launch(await runtime.run_sandbox(), config)
    await remove(runtime, reference)
    assert await find(runtime, image_id) is None
    assert "It runs" in await runtime.sh(container_id, "cat /www/index.html")


@pytest.mark.image_store
async def test_what_is_not_there(runtime: Subject, registry: Registry) -> None:
    """An absent image is an answer without one; pulling what a registry does not have is NotFound; a registry that is not
    there is an error that names it."""
    for name in ("localhost/no/such:1", f"localhost/no/such@sha256:{'0' * 64}", f"sha256:{'0' * 64}"):
        assert await find(runtime, name) is None
        if runtime.can("list one image"):
            assert await listed(runtime, name) == {}
    runtime.needs("registries")
    with pytest.raises(errors.NotFound):
        await pull(runtime, f"{registry.host}/no/such:1")
    with pytest.raises(errors.RuntimeFault, match=r"127\.0\.0\.1:1"):
        await pull(runtime, "127.0.0.1:1/no/such:1")


@pytest.mark.image_store
@pytest.mark.parametrize(
    "name", ["", "localhost/UPPER:1", "bad name:1", "localhost/x:bad tag", "localhost/x@sha256:12"]
)
async def test_names_that_are_none(runtime: Subject, name: str) -> None:
    """Refused by a pull, before anybody is asked."""
    with runtime.refusal(errors.InvalidArgument):
        await pull(runtime, name)


@pytest.mark.image_store
async def test_whose_image_it_is(runtime: Subject, pushed: Push) -> None:
    """A number is told as the user's id, a word as its name: what runAsNonRoot is checked against."""
    expected = {"1000": (1000, ""), "1000:7": (1000, ""), "web": (None, "web"), "web:staff": (None, "web")}
    for user, wanted in expected.items():
        reference, _, _ = pushed(User=user)
        await pull(runtime, reference)
        found = await present(runtime, reference)
        assert (found.uid.value if found.HasField("uid") else None, found.username) == wanted, user


async def test_what_an_image_says_of_its_containers(runtime: Subject, pushed: Push) -> None:
    """Entrypoint, command, user, folder, environment and stop signal of the image hold where the container says nothing."""
    script = 'trap "exit 9" USR1; trap "exit 8" TERM; echo $0 $1; id -un; pwd; echo $IN; while :; do sleep 0.05; done'
    reference, _, _ = pushed(
        Entrypoint=["/bin/sh", "-c", script],
        Cmd=["zero", "one"],
        User="web",
        WorkingDir="/www",
        Env=["PATH=/bin", "IN=image"],
        StopSignal="SIGUSR1",
    )
    config = runtime.container_config()
    config.image.image = await pull(runtime, reference)
    del config.command[:], config.args[:]
    pod = await runtime.run_sandbox()
    container_id = await runtime.launch(pod, config)
    log = Path((await runtime.status(container_id)).log_path)
    await runtime.until(lambda: log.exists() and log.read_text().count("\n") == 4)
    assert [line.split(" ", 3)[3] for line in log.read_text().splitlines()] == ["zero one", "web", "/www", "image"]
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=20))
    assert (await runtime.status(container_id)).exit_code == 9
    config = runtime.container_config(name="args")
    config.image.image = (await present(runtime, reference)).id
    del config.command[:]
    config.args[:] = ["other"]
    other = await runtime.launch(pod, config)
    log = Path((await runtime.status(other)).log_path)
    await runtime.until(lambda: log.exists() and log.read_text().count("\n") == 4)
    assert log.read_text().splitlines()[0].split(" ", 3)[3].strip() == "other"


@pytest.mark.image_store
async def test_the_stores_file_system(runtime: Subject) -> None:
    """Where images lie, and what they take of it."""
    runtime.needs("statistics")

    async def counted() -> cri.FilesystemUsage | None:
        answer = await runtime.images.image_fs_info(cri.ImageFsInfoRequest())
        usage = answer.image_filesystems[0]
        return usage if usage.used_bytes.value and usage.inodes_used.value else None

    usage = await runtime.eventually(counted)
    assert usage.timestamp > 0
    assert Path(usage.fs_id.mountpoint).is_dir()
    assert usage.used_bytes.value > 100_000
    assert usage.inodes_used.value > 10


async def test_volumes_that_an_image_declares(runtime: Subject, registry: Registry, folder: Path) -> None:
    """Each is a folder of the container's own, with the image's content, writable whatever the root is, and gone with it;
    where the pod mounts something itself, that is there."""
    runtime.needs("processes")
    places: dict[str, object] = {"/www": {}, "/etc/ssl/": {}, "/new/place": {}, "/mine": {}}
    reference, _, _ = registry.push(f"volumes:{secrets.token_hex(4)}", Volumes=places)
    pod = await runtime.run_sandbox()
    (folder / "mine").mkdir()
    (folder / "mine" / "given").write_text("")
    pulled = await pull(runtime, reference)

    async def launched(name: str) -> str:
        config = runtime.container_config("sleep 1000", name=name)
        config.image.image = pulled
        config.linux.security_context.readonly_rootfs = True
        config.mounts.add(host_path=str(folder / "mine"), container_path="/mine/")
        return await runtime.launch(pod, config)

    first, second = await launched("first"), await launched("second")
    found = await runtime.sh(first, "cat /www/index.html; ls /mine; ls -ld /new/place /www; touch /x 2>&1 | wc -l")
    lines = found.splitlines()
    assert ("It runs" in lines[0], lines[1], lines[-1]) == (True, "given", "1")
    assert [line.split()[0] for line in lines[2:4]] == ["drwxr-xr-x", "drwxr-xr-x"]
    await runtime.sh(first, "echo changed > /www/index.html; touch /new/place/x /www/x /mine/x; cp /bin/busybox /www/")
    assert await runtime.sh(first, "/www/busybox echo it runs; ls /www /new/place") == (
        "it runs\n/new/place:\nx\n\n/www:\nbusybox\nindex.html\nx\n"
    )
    assert "It runs" in await runtime.sh(second, "cat /www/index.html; ls /new/place")
    if runtime.can("declared volumes of any kind"):
        figures = await runtime.service.container_stats(cri.ContainerStatsRequest(container_id=first))
        assert figures.stats.writable_layer.used_bytes.value >= Path("/bin/busybox").stat().st_size
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=first, timeout=0))
    await runtime.service.remove_container(cri.RemoveContainerRequest(container_id=first))
    assert "It runs" in await runtime.sh(await launched("third"), "cat /www/index.html; ls /new/place")
    assert sorted(path.name for path in (folder / "mine").iterdir()) == ["given", "x"]
    assert not list(folder.rglob("declared/*/busybox")), "nothing is left of the first"


@pytest.mark.parametrize("own_users", [False, True])
async def test_declared_volumes_of_any_kind(runtime: Subject, registry: Registry, own_users: bool) -> None:
    """A file, what links lead to and where they lead to nothing, names with odd characters; owners and modes are the
    image's, for pods with users of their own as well."""
    runtime.needs("declared volumes of any kind", "processes")
    features = (await runtime.service.status(cri.StatusRequest())).runtime_handlers[0].features
    if own_users and not features.user_namespaces:
        pytest.skip(f"{runtime.name} has no user namespaces here")
    links = {"link": "/www", "dangling": "/nowhere", "out": "../../../outside/x", "var/run": "/run"}
    places = ["/own", "/link", "/dangling", "/out", "/var/run/x", "/dev/mine", "/a b:c,d"]
    volumes: dict[str, object] = {path: {} for path in [*places, "/etc/passwd", "/proc", "/"]}
    name = f"odd:{secrets.token_hex(4)}"
    reference, _, _ = registry.push(name, odd_layer(links), Env=["PATH=/bin:/usr/bin"], Volumes=volumes)
    image = await pull(runtime, reference)
    pod_config = runtime.sandbox_config()
    listed_places = " ".join(f"'{path}'" for path in places)
    script = f'for i in {listed_places}; do touch "$i/x" && ls "$i"; done'
    config = runtime.container_config(f"{script}; echo >> /etc/passwd && echo written; stat -c '%a %u %g' /own")
    config.image.image = image
    config.linux.security_context.readonly_rootfs = True
    if own_users:
        for security in (pod_config.linux.security_context, config.linux.security_context):
            users = security.namespace_options.userns_options
            users.mode = cri.POD
            users.uids.add(host_id=200_000, container_id=0, length=65_536)
            users.gids.add(host_id=200_000, container_id=0, length=65_536)
    status, text = await runtime.run_in(await runtime.run_sandbox(pod_config), config)
    expected = ["x", "index.html", *["x"] * 6, "written", "2750 1000 1001"]
    assert (status.exit_code, text.splitlines()) == (0, expected)
    await remove(runtime, reference)


def odd_layer(links: Mapping[str, str]) -> bytes:
    """Those links, and a folder of somebody's."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        member = tarfile.TarInfo("own")
        member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, 0o2750, 1000, 1001
        tar.addfile(member)
    return layer.getvalue()
