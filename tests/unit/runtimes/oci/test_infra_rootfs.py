"""The root file system of infra containers, which all pods of a runtime share."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtimes.oci import sandboxes


def test_pods_that_start_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several makers that all find nothing: none fails, none sees half a program, none leaves a trace."""
    program = tmp_path / "catatonit"
    program.write_bytes(b"program" * 1000)
    together = threading.Barrier(4)
    rename = Path.rename

    def rename_together(unfinished: Path, target: Path) -> Path:
        together.wait(10)
        return rename(unfinished, target)

    monkeypatch.setattr(Path, "rename", rename_together)
    made = tmp_path / "infra"
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(sandboxes.infra_rootfs, made, program) for _ in range(4)]:
            done.result()
    assert (made / "catatonit").read_bytes() == program.read_bytes()
    assert (made / "catatonit").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in made.iterdir()) == ["catatonit", "dev", "etc", "proc", "sys"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catatonit", "infra"]
