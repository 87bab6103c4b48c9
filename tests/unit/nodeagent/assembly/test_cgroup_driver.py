"""Whose word about cgroups counts: the runtime's, where it has one."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodeagent.assembly.cgroup_driver import CgroupDriver, driver_of
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotSupported, Unavailable

SYSTEMD = cri.RuntimeConfigResponse(linux=cri.LinuxRuntimeConfiguration(cgroup_driver=cri.SYSTEMD))
CGROUPFS = cri.RuntimeConfigResponse(linux=cri.LinuxRuntimeConfiguration(cgroup_driver=cri.CGROUPFS))
DOWN = Unavailable("down")


@pytest.mark.parametrize(
    ("answers", "configured", "expected", "asked"),
    [
        ([SYSTEMD], CgroupDriver.CGROUPFS, CgroupDriver.SYSTEMD, 1),
        ([CGROUPFS], CgroupDriver.SYSTEMD, CgroupDriver.CGROUPFS, 1),
        ([cri.RuntimeConfigResponse()], CgroupDriver.SYSTEMD, CgroupDriver.SYSTEMD, 1),
        ([NotSupported("unknown method RuntimeConfig")], CgroupDriver.SYSTEMD, CgroupDriver.SYSTEMD, 1),
        ([DOWN, TimeoutError(), SYSTEMD], CgroupDriver.CGROUPFS, CgroupDriver.SYSTEMD, 3),
        ([DOWN, DOWN, DOWN, SYSTEMD], CgroupDriver.CGROUPFS, CgroupDriver.CGROUPFS, 3),
    ],
)
async def test_the_runtimes_word_counts(
    answers: list[Any], configured: CgroupDriver, expected: CgroupDriver, asked: int
) -> None:
    """Over the configuration's; a peer that has no word, or does not answer three times, leaves it as it is configured."""
    calls, pauses = [], []

    async def runtime_config(request: cri.RuntimeConfigRequest) -> cri.RuntimeConfigResponse:
        answer = answers[len(calls)]
        calls.append(request)
        if isinstance(answer, Exception):
            raise answer
        return cast(cri.RuntimeConfigResponse, answer)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    service = cast(RuntimeService, SimpleNamespace(runtime_config=runtime_config))
    assert await driver_of(service, configured, sleep) is expected
    assert (len(calls), pauses) == (asked, [2.0] * (asked - 1))
