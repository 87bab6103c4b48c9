"""CIS 4.1: files that others than root own, read or change are named, with the command that fixes it."""

import os
from pathlib import Path

import pytest

from nodeagent.config import Config, KubeletConfiguration, NodeAgentConfiguration, Options
from nodeagent.config.values import FilePath
from nodeagent.node.exposed_files import Watched, exposed, watched

ME = os.geteuid()


def file(folder: Path, mode: int) -> Path:
    path = folder / "file"
    path.write_text("x")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700, 0o200])
def test_safe_modes(tmp_path: Path, mode: int) -> None:
    """0600 or less; the owner's right to run it is nobody's harm."""
    assert list(exposed([Watched(what="x", path=file(tmp_path, mode))], ME)) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602, 0o666, 0o610])
def test_unsafe_modes(tmp_path: Path, mode: int) -> None:
    """Group and others have no right to it; the command is exact."""
    path = file(tmp_path, mode)
    (found,) = exposed([Watched(what="the kubeconfig", path=path)], ME)
    assert str(found) == f"the kubeconfig {path}: has mode {mode:04o}, 600 or less is safe (chmod 600 {path})"
    assert found.grave


def test_a_readable_file_without_secrets_is_not_grave(tmp_path: Path) -> None:
    """CIS wants it 0600; only one that others may write is worth a warning at every start."""
    path = file(tmp_path, 0o644)
    assert [each.grave for each in exposed([Watched(what="x", path=path, secret=False)], ME)] == [False]
    path.chmod(0o666)
    assert [each.grave for each in exposed([Watched(what="x", path=path, secret=False)], ME)] == [True]


def test_public_files_are_nobodys_to_change(tmp_path: Path) -> None:
    """A certificate may be read."""
    path = file(tmp_path, 0o644)
    assert list(exposed([Watched(what="x", path=path, mode=0o644)], ME)) == []
    path.chmod(0o664)
    (found,) = exposed([Watched(what="x", path=path, mode=0o644)], ME)
    assert found.command == f"chmod 644 {path}"


@pytest.mark.skipif(ME != 0, reason="only root gives files away")
def test_owners(tmp_path: Path) -> None:
    """A file, and the folder that it is in, belong to root."""
    path = file(tmp_path, 0o600)
    os.chown(path, 1000, 1000)
    os.chown(tmp_path, 1001, 1001)
    assert [(each.problem, each.command) for each in exposed([Watched(what="x", path=path)])] == [
        ("belongs to user 1000", f"chown root:root {path}"),
        ("its folder belongs to user 1001", f"chown root:root {tmp_path}"),
    ]


def test_a_folder_that_others_write(tmp_path: Path) -> None:
    """They replace the file; not in one with the sticky bit. Links are followed, names quoted."""
    folder = tmp_path / "a b"
    folder.mkdir()
    path = file(folder, 0o600)
    folder.chmod(0o777)
    (tmp_path / "link").symlink_to(path)
    (found,) = exposed([Watched(what="x", path=tmp_path / "link")], ME)
    assert (found.path, found.command) == (folder, f"chmod go-w '{folder}'")
    folder.chmod(0o1777)
    assert list(exposed([Watched(what="x", path=path)], ME)) == []


def test_absent_files_are_no_finding(tmp_path: Path) -> None:
    """Nor a circle of links, nor one that is named twice two."""
    (tmp_path / "circle").symlink_to("circle")
    for name in ("none", "circle", "circle/below"):
        assert list(exposed([Watched(what="x", path=tmp_path / name)], ME)) == []
    path = file(tmp_path, 0o644)
    assert len(list(exposed([Watched(what="x", path=path), Watched(what="y", path=path)], ME))) == 1


def test_all_that_is_watched(tmp_path: Path) -> None:
    """What an operator names, and what the agent makes."""
    kubelet = KubeletConfiguration(tlsCertFile=FilePath("/c.crt"), tlsPrivateKeyFile=FilePath("/c.key"))
    kubelet.authentication.x509.clientCAFile = FilePath("/ca.crt")
    options = Options(config_file=Path("/config"), kubeconfig=Path("/kubeconfig"), standalone=True, state_dir=tmp_path)
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.key").touch()
    found = {
        each.path: each.mode
        for each in watched(Config(options=options, kubelet=kubelet, agent=NodeAgentConfiguration()))
    }
    assert found == {
        Path("/etc/systemd/system/nodeagent.service"): 0o600,
        Path("/lib/systemd/system/nodeagent.service"): 0o600,
        Path("/config"): 0o600,
        Path("/kubeconfig"): 0o600,
        Path("/ca.crt"): 0o600,
        Path("/c.key"): 0o600,
        Path("/c.crt"): 0o644,
        Path("/var/lib/kubelet/pki/kubelet.key"): 0o600,
        Path("/var/lib/kubelet/pki/kubelet.crt"): 0o644,
        Path("/var/lib/kubelet/config.json"): 0o600,
        Path("/etc/cni/net.d"): 0o755,
        tmp_path / "node.kubeconfig": 0o600,
        tmp_path / "admin.kubeconfig": 0o600,
        tmp_path / "state.db": 0o600,
        tmp_path / "pki" / "ca.key": 0o600,
    }
