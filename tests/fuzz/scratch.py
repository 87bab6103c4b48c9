"""A folder for what readers take only from a file: one a process, on memory where there is some."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")


def memory() -> str | None:
    """Where temporary files are on no disk; None: wherever they usually are."""
    return str(_MEMORY) if os.access(_MEMORY, os.W_OK) else None


@cache
def folder(process: int) -> Path:
    given = os.environ.get("FUZZ_FOLDER")  # of a process that cleans up behind us, however we end
    made = Path(tempfile.mkdtemp(prefix="nodeagent-fuzz-", dir=given or memory()))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def file(name: str, data: bytes) -> Path:
    """Write `data` to the file `name`, folders included; always the same one, so that nothing piles up."""
    path = folder(os.getpid()) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
