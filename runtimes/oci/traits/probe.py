"""Which runtime a program is, found out by asking it; and the traits of that one."""

import logging
from collections.abc import Sequence

import msgspec

from runtimes import errors
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process
from runtimes.oci.program import ENVIRONMENT
from runtimes.oci.traits.contract import Probed, RuntimeTraits
from runtimes.oci.traits.runc import Crun, Runc
from runtimes.oci.traits.runsc import Runsc

log = logging.getLogger(__name__)

_PROBE_SECONDS = 20.0
_VARIANTS: dict[str, type[RuntimeTraits]] = {variant.name: variant for variant in (Runc, Crun, Runsc)}


class _Features(msgspec.Struct):
    """The part of `runtime features` (OCI runtime-spec, features.md) that is looked at."""

    mountOptions: list[str] = []  # noqa: N815 - the document's own name


def traits_of(name: str) -> type[RuntimeTraits]:
    """Of a runtime by the name it gives itself; of an unknown one: nothing but the OCI command line."""
    return _VARIANTS.get(name, RuntimeTraits)


async def probe(path: str) -> Probed:
    """Ask a runtime program. Raises Unavailable when it cannot be run or does not know --version."""
    answer = await _ask([path, "--version"])
    if answer is None:
        raise errors.Unavailable(f"{path} cannot be run")
    name, _, number = answer.partition("\n")[0].partition(" version ")
    traits = traits_of(name)
    options = await _mount_options(path) if traits.asks_features else ()
    return Probed(name=traits.name, version=number.strip() or answer.strip(), mount_options=frozenset(options))


async def _mount_options(path: str) -> Sequence[str]:
    answer = await _ask([path, "features"])
    if answer is None:
        return ()
    try:
        return msgspec.json.decode(answer, type=_Features).mountOptions
    except UNREADABLE:
        log.debug("%s features: not JSON", path)
        return ()


async def _ask(argv: Sequence[str]) -> str | None:
    try:
        done = await process.run(argv, timeout_seconds=_PROBE_SECONDS, env=ENVIRONMENT)
    except process.ProcessError as error:
        log.debug("%s", error)
        return None
    return done.stdout.decode(errors="replace") if done.ok else None
