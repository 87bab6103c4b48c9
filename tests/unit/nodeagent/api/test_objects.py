"""The secret and config map cache: one watch per object, counted by pods."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agent_pods import agent_pod

from nodeagent.api import errors
from nodeagent.api.objects import ObjectCache, ObjectNotReady, StaticOnly
from nodeagent.podspec.pod import AgentPod


def pod(uid: str, *config_maps: str, secrets: tuple[str, ...] = ()) -> AgentPod:
    volumes = [{"name": f"v{index}", "configMap": {"name": name}} for index, name in enumerate(config_maps)]
    volumes += [{"name": f"s{index}", "secret": {"secretName": name}} for index, name in enumerate(secrets)]
    return agent_pod(
        {"metadata": {"uid": uid, "namespace": "ns", "name": uid}, "spec": {"containers": [], "volumes": volumes}}
    )


@pytest.fixture
async def cache(client: Any) -> AsyncIterator[ObjectCache]:
    cache = ObjectCache(client)
    yield cache
    await cache.close()


async def test_reads_are_served_by_one_watch(make: Any, script: Any, cache: ObjectCache) -> None:
    """The first pod starts a single-name list and watch; every further read and pod costs no request."""
    script.answer(make.listing(5, make.config_map("a", 1, data={"k": "v"})))
    script.watch(end="stay")
    cache.register(pod("p1", "a"))
    assert (await cache.get_config_map("ns", "a")).data == {"k": "v"}
    await script.asked(2)
    cache.register(pod("p2", "a"))
    await cache.get_config_map("ns", "a")
    assert [(r.path, r.query["fieldSelector"], r.query.get("resourceVersion")) for r in script.seen] == [
        ("/api/v1/namespaces/ns/configmaps", "metadata.name=a", None),
        ("/api/v1/namespaces/ns/configmaps", "metadata.name=a", "5"),
    ]


async def test_unknown_and_missing_objects(make: Any, script: Any, cache: ObjectCache) -> None:
    """Not registered and not existing are told apart, in the upstream words."""
    with pytest.raises(ObjectNotReady, match=r'^object "ns"/"x" not registered$'):
        await cache.get_secret("ns", "x")
    script.answer(make.listing(5, kind="Secret"))
    script.watch(end="stay")
    cache.register(pod("p", secrets=("x",)))
    with pytest.raises(errors.NotFound, match=r'^secrets "x" not found$'):
        await cache.get_secret("ns", "x")


@pytest.mark.parametrize(("noun", "secrets"), [("configmap", ()), ("secret", ("a",))])
async def test_a_slow_api_gives_up_the_wait(client: Any, noun: str, secrets: tuple[str, ...]) -> None:
    """Without a first answer in time the reader is told to come back."""
    cache = ObjectCache(client, first_sync_seconds=0.001)
    cache.register(pod("p", *(() if secrets else ("a",)), secrets=secrets))
    with pytest.raises(ObjectNotReady, match=f"^failed to sync {noun} cache: timed out waiting for the condition$"):
        await (cache.get_secret("ns", "a") if secrets else cache.get_config_map("ns", "a"))
    await cache.close()


async def test_what_may_not_be_listed_may_still_be_read(make: Any, script: Any, client: Any) -> None:
    """Where lists of an object are refused, it is read by itself; where that is refused too, the reader is told why."""
    cache = ObjectCache(client, first_sync_seconds=0.5)
    forbidden = make.failure(403, "Forbidden", "configmaps is forbidden")
    for answer in ((forbidden, 403), (make.config_map("a", 1), 200)):
        script.answer(*answer)
    cache.register(pod("p", "a"))
    assert (await cache.get_config_map("ns", "a")).metadata.name == "a"
    script.answer(forbidden, 403)
    script.answer(forbidden, 403)
    with pytest.raises(ObjectNotReady, match=r"waiting for the condition: configmaps is forbidden$"):
        await cache.get_config_map("ns", "a")
    await cache.close()


async def test_updates_are_seen(make: Any, script: Any, cache: ObjectCache) -> None:
    """A change on the watch is what the next read returns."""
    script.answer(make.listing(5))
    script.watch(make.event("ADDED", make.config_map("a", 6, data={"k": "new"})), end="stay")
    cache.register(pod("p", "a"))
    found = None
    while found is None:
        try:
            found = await cache.get_config_map("ns", "a")
        except errors.NotFound:
            await asyncio.sleep(0)
    assert found.data == {"k": "new"}


async def test_immutable_objects_are_read_once(make: Any, script: Any, cache: ObjectCache) -> None:
    """Once read, an immutable object's watch is stopped and the copy is served for good."""
    script.answer(make.listing(5, make.config_map("a", 1, immutable=True)))
    script.watch(end="stay")
    cache.register(pod("p", "a"))
    first = await cache.get_config_map("ns", "a")
    assert await cache.get_config_map("ns", "a") is first
    cache.register(pod("p2", "a"))
    assert await cache.get_config_map("ns", "a") is first
    assert [request.method for request in script.seen if "watch" not in request.query] == ["GET"]


async def test_secrets_end_with_their_last_pod(make: Any, script: Any, cache: ObjectCache) -> None:
    """The last pod takes a secret's watch with it; a pod that drops the reference counts as gone."""
    script.answer(make.listing(5, make.config_map("s", 1), kind="Secret"))
    script.watch(end="stay")
    cache.register(pod("p1", secrets=("s",)))
    cache.register(pod("p2", secrets=("s",)))
    await cache.get_secret("ns", "s")
    cache.unregister("p1")
    cache.unregister("p1")
    await cache.get_secret("ns", "s")
    cache.register(pod("p2"))
    with pytest.raises(ObjectNotReady):
        await cache.get_secret("ns", "s")


async def test_config_maps_linger_for_the_next_pod(make: Any, script: Any, cache: ObjectCache) -> None:
    """The next pod of a namespace finds kube-root-ca.crt warm: no new request."""
    script.answer(make.listing(5, make.config_map("kube-root-ca.crt", 1)))
    script.watch(end="stay")
    cache.register(pod("p1", "kube-root-ca.crt"))
    await cache.get_config_map("ns", "kube-root-ca.crt")
    await script.asked(2)
    cache.unregister("p1")
    cache.register(pod("p2", "kube-root-ca.crt"))
    await cache.get_config_map("ns", "kube-root-ca.crt")
    assert len(script.seen) == 2


async def test_lingering_ends(make: Any, script: Any, client: Any) -> None:
    """After the linger time the watch is gone."""
    cache = ObjectCache(client, linger_seconds=0.001)
    script.answer(make.listing(5, make.config_map("a", 1)))
    cache.register(pod("p1", "a"))
    await cache.get_config_map("ns", "a")
    cache.unregister("p1")
    with pytest.raises(ObjectNotReady):
        while True:
            await cache.get_config_map("ns", "a")
            await asyncio.sleep(0)
    await cache.close()


async def test_a_watch_nobody_reads_stops_and_starts_again(make: Any, script: Any, client: Any) -> None:
    """Idle watches stop; the next read starts over with a fresh list."""
    cache = ObjectCache(client, idle_seconds=0.005)
    versions = [1, 2]
    for version in versions:
        script.answer(make.listing(5, make.config_map("a", version)))
        script.watch(end="stay")
    cache.register(pod("p", "a"))
    seen = set()
    while len(seen) < 2:
        found = await cache.get_config_map("ns", "a")
        assert found.metadata is not None
        seen.add(found.metadata.resourceVersion)
        await asyncio.sleep(0.02)
    await cache.close()
    assert seen == {"1", "2"}


async def test_without_an_api_there_is_nothing() -> None:
    """The null object knows no object and minds no pod."""
    nothing = StaticOnly()
    nothing.register(pod("p", "a"))
    nothing.unregister("p")
    with pytest.raises(ObjectNotReady):
        await nothing.get_config_map("ns", "a")


def mounting(uid: str, *, in_env: bool = False, projected: bool = False, secret: bool = False) -> AgentPod:
    """A pod that has the object `a` as files, or, `in_env`, as environment (and in a volume that nobody mounts)."""
    source = {"secret": {"name": "a"}} if secret else {"configMap": {"name": "a"}}
    whole = {"secret": {"secretName": "a"}} if secret else source
    volume = {"name": "v", **({"projected": {"sources": [source]}} if projected else whole)}
    container = {"name": "c", "image": "i"}
    if in_env:
        container["envFrom"] = [{"secretRef" if secret else "configMapRef": {"name": "a"}}]
    else:
        container["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    metadata = {"uid": uid, "namespace": "ns", "name": uid}
    return agent_pod({"metadata": metadata, "spec": {"containers": [container], "volumes": [volume]}})


@pytest.mark.parametrize("secret", [False, True])
async def test_pods_are_told_of_the_content_they_mount(make: Any, script: Any, client: Any, secret: bool) -> None:
    """Each change of the content, appearance and removal included, once for each pod that has it as files; not for what the first
    list brings, nor for a change of metadata alone; and not those that only have it in their environment.
    """
    told: list[str] = []
    heard = asyncio.Event()

    def hear(uid: str) -> None:
        told.append(uid)
        if len(told) == 6:
            heard.set()

    cache = ObjectCache(client, changed=hear)
    kind = "secret" if secret else "configmap"

    def version(number: int, **fields: Any) -> Any:
        return {**make.config_map("a", number, **fields), "kind": "Secret" if secret else "ConfigMap"}

    script.answer(make.listing(5, kind="Secret" if secret else "ConfigMap"))
    script.watch(
        make.event("ADDED", version(6, data={"k": "MQ=="})),
        make.event("MODIFIED", version(7, data={"k": "Mg=="})),
        make.event("MODIFIED", version(8, data={"k": "Mg=="})),
        make.event("DELETED", version(9, data={"k": "Mg=="})),
        end="stay",
    )
    cache.register(mounting("files", secret=secret))
    cache.register(mounting("projected", projected=True, secret=secret))
    cache.register(mounting("env", in_env=True, secret=secret))
    await heard.wait()
    assert sorted(told) == ["files"] * 3 + ["projected"] * 3
    assert script.seen[0].path.endswith(f"{kind}s")
    cache.register(mounting("files", in_env=True, secret=secret))
    cache.unregister("projected")
    watches = (cache._secrets if secret else cache._config_maps)._watches
    assert {key: found.mounted_by for key, found in watches.items()} == {("ns", "a"): set()}
    await cache.close()
