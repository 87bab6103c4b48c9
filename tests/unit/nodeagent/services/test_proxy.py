"""From what the API tells to what the kernel is asked for: when, how often, and again after an error."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any, cast

import pytest
from lightkube.models.core_v1 import Service
from lightkube.models.discovery_v1 import EndpointSlice

from cni.native.nftables.errors import NftablesError, NftablesUnavailable
from nodeagent.api.informer import Informer
from nodeagent.services.elements import Aim
from nodeagent.services.frontends import View
from nodeagent.services.proxy import ServiceProxy


class Told:
    """An informer of whose objects the test decides."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Any] = {}
        self._synced = asyncio.Event()
        self._callbacks: list[Callable[..., None]] = []

    def subscribe(self, callback: Callable[..., None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        for obj in self.objects.values():
            callback("", None, obj)
        return lambda: self._callbacks.remove(callback)

    def get(self, namespace: str, name: str) -> Any:
        return self.objects.get((namespace, name))

    async def synced(self) -> None:
        await self._synced.wait()

    def sync(self) -> None:
        self._synced.set()

    def tell(self, obj: Any, *, gone: bool = False) -> None:
        key = (obj.metadata.namespace, obj.metadata.name)
        old = self.objects.pop(key, None)
        if not gone:
            self.objects[key] = obj
        for callback in self._callbacks:
            callback("", old, None if gone else obj)


Asked = list[tuple[str, list[str]]]


class Kernel:
    """Writes down what it was asked for; refuses as often as the test wants."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Asked] = asyncio.Queue()
        self.refusals: list[Exception] = []
        self._loop = asyncio.get_running_loop()

    def apply(self, aim: Aim) -> int:
        places = [place for wants in aim.values() for place in wants.places]
        asked = [(place.address, [endpoint.address for endpoint in place.behind.endpoints]) for place in places]
        self._loop.call_soon_threadsafe(self.asked.put_nowait, asked)
        if self.refusals:
            raise self.refusals.pop()
        return 1

    def was_touched(self) -> bool:
        return False


class Condition:
    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def failed(self, reason: str) -> None:
        self.told.put_nowait(reason)

    def works(self) -> None:
        self.told.put_nowait("")


async def no_time(_: float) -> None:
    return


class Rig:
    def __init__(self) -> None:
        self.services, self.slices, self.kernel, self.condition = Told(), Told(), Kernel(), Condition()
        self.proxy = ServiceProxy(
            self.kernel,
            cast("Informer[Service]", self.services),
            cast("Informer[EndpointSlice]", self.slices),
            View(node_name="here"),
            self.condition,
            sleep=no_time,
        )

    async def asked(self) -> Asked:
        """What the kernel is asked for next."""
        async with asyncio.timeout(20):
            return await self.kernel.asked.get()


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_from_the_first_list_on(
    rig: Rig, service: Callable[..., Service], piece: Callable[..., EndpointSlice]
) -> None:
    """Nothing before both kinds are known: the rules of the agent before stay. Then one request for all, one a change."""
    task = asyncio.create_task(rig.proxy.run())
    rig.services.tell(service())
    rig.services.sync()
    for _ in range(5):
        await asyncio.sleep(0)
    assert rig.kernel.asked.empty()
    rig.slices.tell(piece("10.0.0.1"))
    rig.slices.tell(piece("10.0.0.2", name="web-2"))
    rig.slices.sync()
    assert await rig.asked() == [("10.96.0.20", ["10.0.0.1", "10.0.0.2"])]
    rig.slices.tell(piece("10.0.0.2", name="web-2"), gone=True)
    assert await rig.asked() == [("10.96.0.20", ["10.0.0.1"])]
    rig.services.tell(service(), gone=True)
    assert await rig.asked() == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


BUSY = NftablesError("table t", errno.EBUSY)


@pytest.mark.parametrize("error", [BUSY, NftablesUnavailable(NftablesError("table t", errno.EOPNOTSUPP))])
async def test_an_error_is_told_and_tried_again(
    rig: Rig, service: Callable[..., Service], error: NftablesError | NftablesUnavailable
) -> None:
    """With all that was wanted; and when it works, that is told. So is a kernel without such tables: modules can be loaded."""
    rig.kernel.refusals = [error]
    rig.services.tell(service())
    rig.services.sync()
    rig.slices.sync()
    task = asyncio.create_task(rig.proxy.run())
    assert await rig.asked() == await rig.asked() == [("10.96.0.20", [])]
    told = [await rig.condition.told.get() for _ in range(2)]
    assert told == [str(error), ""]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_whether_anything_is_led_to_pods(
    rig: Rig, service: Callable[..., Service], piece: Callable[..., EndpointSlice]
) -> None:
    """It is not known before the first list; the API alone does not count; then what the endpoints say."""
    assert rig.proxy.leads_to_pods
    task = asyncio.create_task(rig.proxy.run())
    rig.services.tell(service())
    rig.services.sync()
    rig.slices.sync()
    await rig.condition.told.get()
    assert not rig.proxy.leads_to_pods
    rig.slices.tell(piece("10.0.0.1"))
    await rig.condition.told.get()
    assert rig.proxy.leads_to_pods
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
