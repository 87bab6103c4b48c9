"""Which FlexVolume drivers there are, and what is looked at to know it."""

import shutil
from pathlib import Path

import pytest

from nodeagent.volumes.flex.drivers import concerns, look, watched


def install(folder: Path, directory: str, program: str) -> Path:
    path = folder / directory / program
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_directories_with_their_program_are_drivers(tmp_path: Path) -> None:
    """Those with a leading dot, without their program, and files are none."""
    install(tmp_path, "vendor~one", "one")
    install(tmp_path, "two", "two")
    install(tmp_path, ".vendor~three", "three")
    install(tmp_path, "vendor~four", "another")
    install(tmp_path, "vendor~five", ".five")
    (tmp_path / "six").write_text("x")
    assert sorted(look(tmp_path)) == ["two", "vendor~one"]


def test_a_change_of_the_program_is_seen(tmp_path: Path) -> None:
    """Of its content, its mode, or its place; what else a driver keeps in its directory does not count."""
    program = install(tmp_path, "vendor~one", "one")
    seen = [look(tmp_path)]
    (program.parent / "one.log").write_text("something")
    assert look(tmp_path) == seen[-1]
    program.write_text("longer")
    seen.append(look(tmp_path))
    program.chmod(0o755)
    seen.append(look(tmp_path))
    assert len({tuple(each.items()) for each in seen}) == 3
    shutil.rmtree(program.parent)
    assert look(tmp_path) == {}


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    """It is waited for in the nearest directory above it."""
    folder = tmp_path / "a/b/exec"
    assert look(folder) == {}
    assert watched(folder) == [tmp_path]
    folder.parent.mkdir(parents=True)
    assert watched(folder) == [folder.parent]
    install(folder, "vendor~one", "one")
    assert watched(folder) == [folder, folder / "vendor~one"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("/lib", True),
        ("/lib/exec", True),
        ("/lib/exec/vendor~one", True),
        ("/lib/exec/vendor~one/one", True),
        ("/lib/exec/vendor~one/.one", False),
        ("/lib/exec/vendor~one/one.log", False),
        ("/lib/exec/.vendor~one", False),
        ("/lib/other", False),
    ],
)
def test_what_concerns_the_drivers(where: str, expected: bool) -> None:
    """What leads to the folder, the drivers' directories and programs; not what is being written, nor a driver's log."""
    assert concerns(Path("/lib/exec"), Path(where)) is expected
