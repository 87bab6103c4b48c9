"""An endpoint as an orchestrator uses it: secrets go with the calls, and an operation that is under way is asked for again."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from google.protobuf.message import Message
from typing_extensions import override

from csi import errors
from csi.endpoint import Endpoint, shown
from csi.testing.implementation import Implementation
from runtimes.linux.retry import RetryPolicy

_AGAIN = RetryPolicy(first_seconds=0.1, cap_seconds=5.0)
_KEPT_CALLS = 200
Answer = TypeVar("Answer", bound=Message)


class PatientEndpoint(Endpoint):
    """`calls`: what was asked and answered, for people, the last ones."""

    def __init__(self, address: str, implementation: Implementation, calls: list[str]) -> None:
        super().__init__(address)
        self._implementation = implementation
        self.calls = calls

    @override
    async def call(self, request: Message, answer: type[Answer], *, deadline_seconds: float | None = None) -> Answer:
        sent = self._with_secrets(request)
        attempt, waited = 0, 0.0
        while True:
            if self._implementation.before_call is not None:
                await self._implementation.before_call(type(request).__name__.removesuffix("Request"))
            try:
                found = await super().call(sent, answer, deadline_seconds=deadline_seconds)
            except errors.CSIError as error:
                self._note(sent, f"{error.code}: {error.message}")
                over = waited >= self._implementation.patience_seconds
                # ABORTED to a list is the answer to a wrong token
                if not isinstance(error, errors.Pending) or over or hasattr(request, "starting_token"):
                    raise
            else:
                self._note(sent, " ".join(str(found).split()) or "OK")
                return found
            delay = _AGAIN.next_delay(attempt)
            await asyncio.sleep(delay)
            attempt, waited = attempt + 1, waited + delay

    @override
    async def stream(
        self, request: Message, answer: type[Answer], *, deadline_seconds: float | None = None
    ) -> AsyncGenerator[Answer, None]:
        if self._implementation.before_call is not None:
            await self._implementation.before_call(type(request).__name__.removesuffix("Request"))
        sent = self._with_secrets(request)
        try:
            async with contextlib.aclosing(super().stream(sent, answer, deadline_seconds=deadline_seconds)) as answers:
                async for each in answers:
                    self._note(sent, " ".join(str(each).split()))
                    yield each
        except errors.CSIError as error:
            self._note(sent, f"{error.code}: {error.message}")
            raise

    def _note(self, sent: Message, came: str) -> None:
        self.calls.append(f"{shown(sent)}\n    -> {came[:1000]}")
        del self.calls[:-_KEPT_CALLS]

    def _with_secrets(self, request: Message) -> Message:
        method = type(request).__name__.removesuffix("Request")
        secrets = self._implementation.secrets.get(method)
        if not secrets or "secrets" not in request.DESCRIPTOR.fields_by_name:
            return request
        copy: Any = type(request)()
        copy.CopyFrom(request)
        copy.secrets.update(secrets)
        sent: Message = copy
        return sent
