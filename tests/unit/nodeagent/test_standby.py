"""What the agent and the embedded API's process share."""

import json
import subprocess
import sys

import pytest

from nodeagent.standby import SHARED

OWN = ("nodeagent", "runtimes", "cni", "csi", "proto")


def imported_by(*modules: str) -> set[str]:
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.fixture(scope="module")
def both() -> set[str]:
    return imported_by("nodeagent.main") & imported_by("nodeagent.apiserver.__main__")


def test_nothing_is_imported_for_one_of_them_alone(both: set[str]) -> None:
    """What is imported before the fork is what both would import anyway."""
    assert set(SHARED) - both == set()


def test_grpc_is_not_for_every_agent() -> None:
    """It takes 10 MB, and comes with the first plugin, driver or probe that speaks it."""
    assert not {name for name in imported_by("nodeagent.main") if name.partition(".")[0] == "grpc"}


def test_no_library_of_both_is_imported_twice(both: set[str]) -> None:
    """A library that both use is there when they part, with all of it that both use."""
    libraries = {name for name in both if name.partition(".")[0] not in {*sys.stdlib_module_names, *OWN}}
    assert libraries - imported_by(*SHARED) == set()


AUTHORITIES = """
from nodeagent.cli import run
from nodeagent import standby
standby.share()
import aiohttp.connector, ssl
print(len(aiohttp.connector._SSL_CONTEXT_VERIFIED.get_ca_certs()), len(ssl.create_default_context().get_ca_certs()) > 0)
print(aiohttp.connector._SSL_CONTEXT_VERIFIED.verify_mode == ssl.CERT_REQUIRED)
"""


def test_the_machines_authorities_are_not_read() -> None:
    """Not by aiohttp, which without them believes nobody; who asks for them still gets them."""
    done = subprocess.run([sys.executable, "-c", AUTHORITIES], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "True", "True"]


PROCESS = """
import asyncio, os, signal
from pathlib import Path
from nodeagent import standby

async def heard(process):
    await process.watch()
    return (await process.stdout.read()).decode(), await process.wait()

async def main(waiting, told, struck):
    print("told:", (await heard(told))[0].split()[:2], told.returncode)
    os.close(waiting._orders)
    print("not told:", await heard(waiting))
    struck.kill()
    print("struck:", await heard(struck))
    try:
        struck.terminate()
    except ProcessLookupError:
        print("gone")

told, struck, waiting = standby.fork(), standby.fork(), standby.fork()
told.begin(["--help"])
while not Path(f"/proc/{waiting.pid}/cmdline").read_bytes().startswith(b"nodeagent.apiserver\\0"):
    pass
asyncio.run(main(waiting, told, struck))
"""


def test_a_process_stands_by() -> None:
    """Told its arguments it is the server's program; without a word it leaves, and its end is heard whatever it was."""
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True, timeout=100)
    assert (done.stdout.splitlines(), done.stderr) == (
        ["told: ['usage:', 'nodeagent.apiserver'] 0", "not told: ('', 0)", "struck: ('', -9)", "gone"],
        "",
    )
