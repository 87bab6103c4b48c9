"""Images: from a registry into the store, by every name, into a container, and out again."""

import asyncio
import gzip
import io
import os
import secrets
import tarfile
from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors

pytestmark = pytest.mark.node
# What is about the store alone: the engine's is one for all its handlers.
each_store = pytest.mark.parametrize("runtime", ["runc", "containerd"], indirect=True)


def spec(name):
    return cri.ImageSpec(image=name)


async def pull(runtime, name):
    return (await runtime.images.pull_image(cri.PullImageRequest(image=spec(name)))).image_ref


async def find(runtime, name):
    """The image of that name, or None."""
    answer = await runtime.images.image_status(cri.ImageStatusRequest(image=spec(name)))
    return answer.image if answer.HasField("image") else None


async def listed(runtime, name=""):
    answer = await runtime.images.list_images(cri.ListImagesRequest(filter=cri.ImageFilter(image=spec(name))))
    return {image.id: image for image in answer.images}


async def remove(runtime, name):
    await runtime.images.remove_image(cri.RemoveImageRequest(image=spec(name)))


@pytest.fixture
async def pushed(runtime, registry):
    """pushed(name, **config) -> (reference, id, digest) of a new image in the registry; gone from the store afterwards."""
    ids = []

    def push(name="app:1", **config):
        repository = f"team-{secrets.token_hex(4)}/{name}"
        config.setdefault("Labels", {"unique": secrets.token_hex(8)})
        reference, image_id, digest = registry.push(repository, **config)
        ids.append(image_id)
        return reference, image_id, digest

    yield push
    for image_id in ids:
        await remove(runtime, image_id)


def by_digest(reference, digest):
    return f"{reference.rpartition(':')[0]}@{digest}"


async def test_pull_by_tag(runtime, pushed):
    """The image is known by its tag, its digest, its id and by what the pull answered; a container runs from that."""
    reference, image_id, digest = pushed()
    assert await find(runtime, reference) is None
    pulled = await pull(runtime, reference)
    for name in (reference, by_digest(reference, digest), image_id, pulled):
        found = await find(runtime, name)
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


@each_store
async def test_pull_by_digest(runtime, pushed):
    """Without a tag, so it has none; a digest of nothing is NotFound."""
    reference, image_id, digest = pushed()
    name = by_digest(reference, digest)
    await pull(runtime, name)
    found = await find(runtime, name)
    assert (found.id, list(found.repo_tags), list(found.repo_digests)) == (image_id, [], [name])
    assert await find(runtime, reference) is None
    with pytest.raises(errors.NotFound):
        await pull(runtime, by_digest(reference, f"sha256:{'0' * 64}"))


@each_store
async def test_pulling_again_changes_nothing(runtime, pushed):
    """One after the other or all at once: the same answer, and one image."""
    reference, image_id, _ = pushed()
    first = await pull(runtime, reference)
    assert set(await asyncio.gather(*(pull(runtime, reference) for _ in range(5)))) == {first}
    found = await listed(runtime)
    assert [entry for entry, image in found.items() if reference in image.repo_tags] == [image_id]
    assert list(found[image_id].repo_tags) == [reference]


@each_store
async def test_two_tags_of_one_image(runtime, pushed, registry):
    """One image with two names; removing it by one of them removes both."""
    labels = {"unique": secrets.token_hex(8)}
    one, image_id, _ = pushed("app:1", Labels=labels)
    other, same, _ = pushed("app:2", Labels=labels)
    assert image_id == same
    for name in (one, other):
        await pull(runtime, name)
    assert sorted((await find(runtime, one)).repo_tags) == sorted([one, other])
    await remove(runtime, other)
    assert [await find(runtime, name) for name in (one, other, image_id)] == [None, None, None]


@each_store
@pytest.mark.parametrize("name", ["tag", "digest", "id"])
async def test_remove(runtime, pushed, name):
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
    assert (await find(runtime, other)).id == other_id
    await remove(runtime, "localhost/never/was:1")


async def test_removing_an_image_in_use(runtime, pushed):
    """The container goes on, with its files."""
    reference, image_id, _ = pushed()
    config = runtime.container_config()
    config.image.image = await pull(runtime, reference)
    container_id = await runtime.launch(await runtime.run_sandbox(), config)
    await remove(runtime, reference)
    assert await find(runtime, image_id) is None
    assert "It runs" in await runtime.sh(container_id, "cat /www/index.html")


@each_store
async def test_what_is_not_there(runtime, registry):
    """An absent image is an answer without one; pulling what a registry does not have is NotFound; a registry that is not
    there is an error that names it."""
    for name in ("localhost/no/such:1", f"localhost/no/such@sha256:{'0' * 64}", f"sha256:{'0' * 64}"):
        assert await find(runtime, name) is None
        if runtime.can("list one image"):
            assert await listed(runtime, name) == {}
    with pytest.raises(errors.NotFound):
        await pull(runtime, f"{registry.host}/no/such:1")
    with pytest.raises(errors.RuntimeFault, match=r"127\.0\.0\.1:1"):
        await pull(runtime, "127.0.0.1:1/no/such:1")


@each_store
@pytest.mark.parametrize(
    "name", ["", "localhost/UPPER:1", "bad name:1", "localhost/x:bad tag", "localhost/x@sha256:12"]
)
async def test_names_that_are_none(runtime, name):
    """Refused by a pull, before anybody is asked."""
    with runtime.refusal(errors.InvalidArgument):
        await pull(runtime, name)


@each_store
async def test_whose_image_it_is(runtime, pushed):
    """A number is told as the user's id, a word as its name: what runAsNonRoot is checked against."""
    expected = {"1000": (1000, ""), "1000:7": (1000, ""), "web": (None, "web"), "web:staff": (None, "web")}
    for user, wanted in expected.items():
        reference, _, _ = pushed(User=user)
        await pull(runtime, reference)
        found = await find(runtime, reference)
        assert (found.uid.value if found.HasField("uid") else None, found.username) == wanted, user


async def test_what_an_image_says_of_its_containers(runtime, pushed):
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
    config.image.image = (await find(runtime, reference)).id
    del config.command[:]
    config.args[:] = ["other"]
    other = await runtime.launch(pod, config)
    log = Path((await runtime.status(other)).log_path)
    await runtime.until(lambda: log.exists() and log.read_text().count("\n") == 4)
    assert log.read_text().splitlines()[0].split(" ", 3)[3].strip() == "other"


@each_store
async def test_the_stores_file_system(runtime):
    """Where images lie, and what they take of it."""

    async def counted():
        answer = await runtime.images.image_fs_info(cri.ImageFsInfoRequest())
        usage = answer.image_filesystems[0]
        return usage if usage.used_bytes.value and usage.inodes_used.value else None

    usage = await runtime.eventually(counted)
    assert usage.timestamp > 0
    assert os.path.isdir(usage.fs_id.mountpoint)
    assert usage.used_bytes.value > 100_000
    assert usage.inodes_used.value > 10


async def test_volumes_that_an_image_declares(runtime, registry, folder):
    """Each is a folder of the container's own, with the image's content, writable whatever the root is, and gone with it;
    where the pod mounts something itself, that is there."""
    places = {"/www": {}, "/etc/ssl/": {}, "/new/place": {}, "/mine": {}}
    reference, _, _ = registry.push(f"volumes:{secrets.token_hex(4)}", Volumes=places)
    pod = await runtime.run_sandbox()
    (folder / "mine").mkdir()
    (folder / "mine" / "given").write_text("")
    pulled = await pull(runtime, reference)

    async def launched(name):
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
async def test_declared_volumes_of_any_kind(runtime, demo_image, folder, own_users):
    """A file, what links lead to and where they lead to nothing, names with odd characters; owners and modes are the
    image's, for pods with users of their own as well."""
    runtime.needs("declared volumes of any kind")
    features = (await runtime.service.status(cri.StatusRequest())).runtime_handlers[0].features
    if own_users and not features.user_namespaces:
        pytest.skip(f"{runtime.name} has no user namespaces here")
    links = {"link": "/www", "dangling": "/nowhere", "out": "../../../outside/x", "var/run": "/run"}
    places = ["/own", "/link", "/dangling", "/out", "/var/run/x", "/dev/mine", "/a b:c,d"]
    archive = folder / "image.tar"
    build_odd(demo_image, archive, links, {path: {} for path in [*places, "/etc/passwd", "/proc", "/"]})
    await runtime.images.import_archive(archive)
    pod_config = runtime.sandbox_config()
    listed_places = " ".join(f"'{path}'" for path in places)
    script = f'for i in {listed_places}; do touch "$i/x" && ls "$i"; done'
    config = runtime.container_config(f"{script}; echo >> /etc/passwd && echo written; stat -c '%a %u %g' /own")
    config.image.image = "localhost/odd:1"
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
    await remove(runtime, "localhost/odd:1")


def build_odd(demo_image, archive, links, volumes):
    """The demo image with links and a folder of somebody's, as localhost/odd:1."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        member = tarfile.TarInfo("own")
        member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, 0o2750, 1000, 1001
        tar.addfile(member)
    plain = archive.with_name("plain.tar")
    demo_image.build(plain, tag="localhost/odd:1")
    with tarfile.open(plain) as tar:
        blobs = {name: tar.extractfile(name).read() for name in tar.getnames() if name.startswith("blobs/")}
    lowest = next(gzip.decompress(data) for data in blobs.values() if data.startswith(b"\x1f\x8b"))
    config = {"Env": ["PATH=/bin:/usr/bin"], "Volumes": volumes}
    demo_image.write_archive(archive, [lowest, layer.getvalue()], tag="localhost/odd:1", config=config)
