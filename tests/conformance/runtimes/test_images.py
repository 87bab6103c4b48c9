"""Images: from a registry into the store, by every name, into a container, and out again."""

import asyncio
import os
import secrets
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
