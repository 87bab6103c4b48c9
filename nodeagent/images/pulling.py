"""Pulls take turns: how many at once, how many a second, and each credential that fits in order.

Source: docs/facts/pod-lifecycle.md 13, 13.1; serializeImagePulls, maxParallelImagePulls, registryPullQPS, registryBurst.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nodeagent.api.ratelimit import TokenBucket
from nodeagent.images.keyring import Credential
from proto import cri_pb2 as cri
from runtimes.contract import ImageService
from runtimes.errors import RuntimeFault

# How Go's gRPC writes its status codes; kubectl users and tools know errors in this form.
_CODE_NAMES = {
    "INVALID_ARGUMENT": "InvalidArgument",
    "UNIMPLEMENTED": "Unimplemented",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "UNAVAILABLE": "Unavailable",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "INTERNAL": "Internal",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PullLimits:
    """`max_parallel` None: no limit; 1: one after the other, first come first served. `qps` 0: no limit."""

    max_parallel: int | None = 1
    qps: float = 5.0
    burst: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """`seconds`: of the pull alone, without waiting for its turn. `credential` None: pulled anonymously."""

    image_ref: str
    seconds: float
    credential: Credential | None


class PullError(Exception):
    """No attempt succeeded; the text is what the attempts said, several as "[one, two]"."""


class Puller:
    """The node's pulls, over all of its runtimes."""

    def __init__(self, limits: PullLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._turns = None if limits.max_parallel is None else asyncio.Semaphore(limits.max_parallel)
        self._rate = TokenBucket(limits.qps if limits.qps > 0 else -1, limits.burst, clock=clock)
        self._clock = clock

    async def pull(
        self,
        service: ImageService,
        image: cri.ImageSpec,
        credentials: Sequence[Credential],
        sandbox_config: cri.PodSandboxConfig | None,
    ) -> Pulled:
        """Pull with each credential until one works; without any, anonymously. Raises PullError."""
        async with self._turns or contextlib.nullcontext():
            started = self._clock()
            errors: list[str] = []
            for credential in credentials or (None,):
                request = cri.PullImageRequest(image=image, sandbox_config=sandbox_config)
                if credential is not None:
                    request.auth.username, request.auth.password = credential.username, credential.password
                if not self._rate.take():
                    errors.append("pull QPS exceeded")
                    continue
                try:
                    answer = await service.pull_image(request)
                except RuntimeFault as error:
                    errors.append(describe(error))
                    continue
                return Pulled(image_ref=answer.image_ref, seconds=self._clock() - started, credential=credential)
        distinct = list(dict.fromkeys(errors))
        raise PullError(distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]")


def describe(error: RuntimeFault) -> str:
    """An error as a kubelet shows it: with its gRPC code, but for the code Unknown."""
    name = _CODE_NAMES.get(error.grpc_code)
    return error.message if name is None else f"rpc error: code = {name} desc = {error.message}"
