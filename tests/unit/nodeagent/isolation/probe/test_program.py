"""The probe program's making, without a compiler."""

from pathlib import Path

import pytest

from nodeagent.isolation.probe import program


def test_names_of_system_calls() -> None:
    """From a compiler's macros: also those of arm64 that are another macro; not the count, nor what every architecture shares."""
    defined = """#define __NR_read 63
#define __NR3264_fcntl 25
#define __NR_fcntl __NR3264_fcntl
#define __NR_syscalls 451
#define __NR_cachestat 451
#define __NR_x32 (__X32_SYSCALL_BIT + 5)
"""
    assert program.syscall_names(defined) == {63: "read", 25: "fcntl"}


async def test_no_compiler(tmp_path: Path) -> None:
    """The message says what to install, and the other way."""
    with pytest.raises(program.ProgramError, match="apt-get install gcc libc6-dev, or give --probe FILE"):
        await program.built(tmp_path, search_path=str(tmp_path))


async def test_a_compiler_that_fails(tmp_path: Path) -> None:
    """Its own words are in the error, and nothing is left in the cache."""
    compiler = tmp_path / "bin" / "cc"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\necho 'cannot find -lc' >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(program.ProgramError, match="cannot find -lc"):
        await program.built(tmp_path / "cache", search_path=str(compiler.parent))
    assert list((tmp_path / "cache").iterdir()) == []


def test_every_source_is_shipped() -> None:
    """The C files and headers are where the wheel takes package data from."""
    assert {path.suffix for path in program.sources()} == {".c", ".h"}
    pyproject = (Path(__file__).resolve().parents[5] / "pyproject.toml").read_text()
    assert '"*.c", "*.h"' in pyproject
