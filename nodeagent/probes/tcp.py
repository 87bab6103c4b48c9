"""The tcpSocket probe: whether a connection can be made. Source: docs/facts/pod-lifecycle.md 7.3."""

import asyncio

from nodeagent.probes.outcome import Outcome, dial_error, failure, success


async def probe_tcp(host: str, port: int, *, timeout_seconds: float) -> Outcome:
    """Connect and close. The closing does not linger: on the agent's one loop it must never wait."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_seconds):
            transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
    except TimeoutError:
        return failure(dial_error(host, port, None))
    except OSError as error:
        return failure(dial_error(host, port, error))
    transport.abort()
    return success()
