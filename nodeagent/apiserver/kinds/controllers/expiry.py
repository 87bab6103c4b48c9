"""What has served its time goes: decided and forgotten certificate requests, and bootstrap tokens that have ended.

Times as upstream's cleaners have them.
"""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable

from cryptography import x509

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import name_of, namespace_of, uid_of
from nodeagent.apiserver.kinds.bootstrap_tokens import NAMESPACE, SECRET_TYPE, expires_at
from nodeagent.apiserver.kinds.controllers.certificates import RESOURCE
from nodeagent.apiserver.kinds.timestamps import epoch
from runtimes.kube.json_object import JsonObject

CHECK_SECONDS = 60.0
DECIDED_SECONDS = 3600.0
PENDING_SECONDS = 24 * 3600.0


class Expiry:
    def __init__(self, api: LocalApi, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._api = api
        self._sleep = sleep

    async def run(self) -> None:
        while True:
            now = time.time()
            for request in await self._api.list(RESOURCE):
                if is_over(request, now):
                    await self._delete(RESOURCE, request)
            for secret in await self._api.list("secrets", NAMESPACE, field_selector=f"type={SECRET_TYPE}"):
                if expires_at(secret) <= now:
                    await self._delete("secrets", secret)
            await self._sleep(CHECK_SECONDS)

    async def _delete(self, resource: str, obj: JsonObject) -> None:
        try:
            await self._api.delete(resource, namespace_of(obj), name_of(obj), uid=uid_of(obj))
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def is_over(request: JsonObject, now: float) -> bool:
    """Whether nobody waits for a certificate request any longer: an hour after its decision, a day without one, or when the
    certificate has ended."""
    status = request.get("status") or {}
    if (certificate := status.get("certificate")) and _end(str(certificate)) <= now:
        return True
    conditions = status.get("conditions") or ()
    if not conditions:
        return _moment(request["metadata"].get("creationTimestamp"), now) + PENDING_SECONDS < now
    return any(_moment(each.get("lastUpdateTime"), now) + DECIDED_SECONDS < now for each in conditions)


def _moment(text: object, otherwise: float) -> float:
    try:
        return epoch(str(text or ""))
    except ValueError:
        return otherwise


def _end(certificate: str) -> float:
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(certificate)).not_valid_after_utc.timestamp()
    except ValueError:
        return float("inf")
