"""What a driver's answers come to. docs/facts/node-resources.md 12.3."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from nodeagent.resources.dra.driver import Driver, DriverError
from proto import dra_pb2 as api

CLAIMS = (api.Claim(namespace="ns", uid="u1", name="x"), api.Claim(namespace="ns", uid="u2", name="y"))


class FakeChannel:
    def __init__(self, answer: Callable[[], Awaitable[Any]]) -> None:
        self._answer = answer

    def unary_unary(self, method: str, **_: Any) -> Any:
        return lambda request, *, timeout: self._answer()


async def driver_that(answer: Callable[[], Awaitable[Any]]) -> tuple[Driver, list[tuple[str, str, str]]]:
    """And what was heard of its calls: (driver, method, code)."""
    heard: list[tuple[str, str, str]] = []
    observe = lambda driver, method, code, seconds: heard.append((driver, method, code))  # noqa: E731
    driver = Driver("a.example", Path("/none.sock"), ["v1.DRAPlugin"], observe)
    await driver.close()
    channel: Any = FakeChannel(answer)
    driver._channel = channel
    return driver, heard


def answered(**errors: str) -> Callable[[], Awaitable[Any]]:
    """By the claim's UID; empty: it is prepared."""

    async def answer() -> api.NodePrepareResourcesResponse:
        claims = {uid: api.NodePrepareResourceResponse(error=error) for uid, error in errors.items()}
        return api.NodePrepareResourcesResponse(claims=claims)

    return answer


async def test_every_claim_has_its_answer() -> None:
    """By its UID."""
    driver, heard = await driver_that(answered(u1="", u2=""))
    assert set(await driver.prepare(CLAIMS)) == {"u1", "u2"}
    assert heard == [("a.example", "NodePrepareResources", "OK")]


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        ({"u1": "", "u2": "broken"}, "NodePrepareResources failed for ResourceClaim y: broken"),
        ({"u1": "", "other": ""}, "NodePrepareResources returned result for unknown claim UID other"),
        ({"u1": ""}, "NodePrepareResources skipped 1 ResourceClaims"),
    ],
)
async def test_answers_that_are_none(errors: dict[str, str], text: str) -> None:
    """A claim that failed, that nobody asked for, or that was left out; the call as such was answered."""
    driver, heard = await driver_that(answered(**errors))
    with pytest.raises(DriverError) as caught:
        await driver.prepare(CLAIMS)
    assert (str(caught.value), heard) == (text, [("a.example", "NodePrepareResources", "OK")])


async def test_a_call_that_fails() -> None:
    """In Go's words."""

    async def answer() -> None:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing, details="too late")

    driver, heard = await driver_that(answer)
    with pytest.raises(DriverError) as caught:
        await driver.unprepare(CLAIMS)
    text = "NodeUnprepareResources: rpc error: code = DeadlineExceeded desc = too late"
    assert (str(caught.value), heard) == (text, [("a.example", "NodeUnprepareResources", "DEADLINE_EXCEEDED")])


async def test_a_call_that_is_cancelled() -> None:
    """It was not answered, and does not count as if it was."""
    driver, heard = await driver_that(asyncio.Event().wait)
    call = asyncio.create_task(driver.prepare(CLAIMS))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert heard == [("a.example", "NodePrepareResources", "CANCELLED")]
