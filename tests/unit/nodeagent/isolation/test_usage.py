"""Which processes are a pod's, and what they take."""

from pathlib import Path

from nodeagent.isolation.usage import holders, pss_bytes

UID = "0f6d2d2c-52f3"


def process(proc: Path, pid: int, command: str, parent: int, pss: int = 0) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode())
    (folder / "comm").write_text(command.split()[0][:15])
    (folder / "stat").write_text(f"{pid} (a (strange) name) S {parent} {pid} {pid}")
    (folder / "smaps_rollup").write_text(f"00400000-7ffd [rollup]\nRss: 99 kB\nPss: {pss} kB\nPss_Dirty: 1 kB\n")


def test_who_holds_a_pod_from_outside(tmp_path: Path) -> None:
    """A monitor that names it, a shim that is the parent of its own; no other pod's, no daemon, whatever it names."""
    process(tmp_path, 10, f"/usr/bin/conmon -l k8s-file:/var/log/pods/default_p_{UID}/probe/0.log", 1)
    process(tmp_path, 11, "/usr/bin/conmon -l k8s-file:/var/log/pods/default_q_77/probe/0.log", 1)
    process(tmp_path, 20, "/usr/bin/containerd-shim-runc-v2 -id abc", 1)
    process(tmp_path, 21, "/usr/bin/containerd-shim-runc-v2 -id def", 1)
    process(tmp_path, 30, f"python -m nodeagent run {UID}", 1)
    process(tmp_path, 40, "/probe stay", 20)
    process(tmp_path, 41, "/probe stay", 30)
    assert holders(UID, {40, 41, 999}, tmp_path) == {10, 20}


def test_memory_of_a_process(tmp_path: Path) -> None:
    """Pages by their share; none of one that has ended."""
    process(tmp_path, 10, "conmon", 1, pss=408)
    assert pss_bytes(tmp_path / "10") == 408 * 1024
    assert pss_bytes(tmp_path / "11") == 0
