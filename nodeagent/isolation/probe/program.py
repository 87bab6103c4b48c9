"""The probe program as a file: compiled at its first use, for this machine's own kernel headers, and kept in a cache."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from runtimes.linux import process

SOURCES = Path(__file__).parent
CACHE = Path("/var/cache/nodeagent/isolation")
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-std=gnu11", "-O2", "-static", "-s")
_COMPILE_SECONDS = 120.0
_LAST_NAMED = 450  # later numbers are those of every architecture, and named in syscalls.c
_DEFINED = re.compile(r"#define __NR(3264)?_(\w+) (\w+)")


class ProgramError(Exception):
    """There is no probe program, and none can be made; the text says what to install."""


def sources() -> list[Path]:
    """The C files and their headers."""
    return sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h")))


async def built(cache: Path = CACHE, search_path: str | None = None) -> Path:
    """The binary of these sources, made now if it is not in the cache. Raises ProgramError."""
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name, path=search_path))), None)
    if compiler is None:
        raise ProgramError(
            "the probe program is compiled at its first use, and there is no C compiler here (cc, gcc or clang): "
            "apt-get install gcc libc6-dev, or give --probe FILE, a binary made elsewhere"
        )
    out = cache / f"probe-{_digest(compiler)}"
    if out.is_file():
        return out
    try:
        cache.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=cache) as folder:
            made = await _compiled(compiler, Path(folder))
            made.rename(out)
    except OSError as error:
        raise ProgramError(f"{cache}: {error.strerror or error}") from error
    return out


def given(path: Path) -> Path:
    """A binary that was made elsewhere. Raises ProgramError."""
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ProgramError(f"--probe {path}: no program")
    return path


async def _compiled(compiler: str, folder: Path) -> Path:
    headers = folder / "headers.c"
    headers.write_text("#include <asm/unistd.h>\n")
    defined = await _run(compiler, "-E", "-dM", str(headers))
    names = syscall_names(defined)
    lines = "".join(f'[{number}] = "{name}",\n' for number, name in sorted(names.items()))
    (folder / "syscall_names.inc").write_text(lines)
    out = folder / "probe"
    code = [str(path) for path in sources() if path.suffix == ".c"]
    await _run(compiler, *_FLAGS, f"-I{folder}", "-o", str(out), *code)
    out.chmod(0o755)
    return out


def syscall_names(defined: str) -> Mapping[int, str]:
    """Number -> name, of the macros that a compiler has for `asm/unistd.h`; some of arm64 are defined by another macro's name."""
    found = [match.groups() for match in map(_DEFINED.fullmatch, defined.splitlines()) if match]
    numbers = {f"__NR{kind or ''}_{name}": value for kind, name, value in found}
    named: dict[int, str] = {}
    for kind, name, value in found:
        value = numbers.get(value, value)
        if (
            kind is None
            and value.isdecimal()
            and int(value) <= _LAST_NAMED
            and name not in ("syscalls", "arch_specific_syscall")
        ):
            named[int(value)] = name
    return named


async def _run(compiler: str, *arguments: str) -> str:
    """Raises ProgramError."""
    try:
        done = await process.run((compiler, *arguments), timeout_seconds=_COMPILE_SECONDS)
    except process.ProcessError as error:
        raise ProgramError(f"the probe program cannot be compiled: {error}") from error
    if not done.ok:
        raise ProgramError(
            f"the probe program cannot be compiled ({compiler} with a static C library: apt-get install gcc libc6-dev, or give "
            f"--probe FILE): {done.error_text}"
        )
    return done.stdout.decode(errors="replace")


def _digest(compiler: str) -> str:
    """Of all that the binary depends on."""
    digest = hashlib.sha256(f"{Path(compiler).resolve()} {os.uname().machine} {_FLAGS}".encode())
    for path in (*sources(), Path(__file__)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
