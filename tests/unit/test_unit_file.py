"""The systemd unit: what holds pods up when the agent ends, what is taken away, and what must not be, for pods inherit it."""

import configparser
import json
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
UNIT = REPO / "hack" / "nodeagent.service"
DROP_IN = REPO / "hack" / "nodeagent-addresses.conf"

# a service with mounts of its own: what it mounts is seen by nobody else, and gone with it
OWN_MOUNTS = {
    *(
        "ProtectSystem",
        "ProtectHome",
        "PrivateTmp",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateUsers",
        "PrivateNetwork",
    ),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups", "ProtectProc"),
    *("ProcSubset", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "BindPaths"),
    *(
        "BindReadOnlyPaths",
        "TemporaryFileSystem",
        "RootDirectory",
        "RootImage",
        "MountFlags",
        "DynamicUser",
        "PrivateIPC",
    ),
    *("LogNamespace", "MountImages", "ExtensionImages", "LoadCredential", "SetCredential"),
}
# system call filters, and what else all containers would be under
INHERITED = {
    *(
        "NoNewPrivileges",
        "SystemCallFilter",
        "SystemCallArchitectures",
        "RestrictNamespaces",
        "RestrictAddressFamilies",
    ),
    *("RestrictSUIDSGID", "RestrictRealtime", "LockPersonality", "ProtectHostname", "ProtectClock", "SecureBits"),
    *("MemoryDenyWriteExecute", "RestrictFileSystems", "UMask", "LimitNPROC", "LimitCORE", "LimitMEMLOCK", "User"),
}
# devices are pods' own cgroups' affair; systemd removes the folder with the sockets of running pods
OTHER = {"DeviceAllow", "DevicePolicy", "RuntimeDirectory", "StateDirectory", "ExecStopPost"}


def service(path: Path) -> list[tuple[str, str]]:
    """The directives of [Service]; one may come twice."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # directives have capitals
    parser.read_string(path.read_text())
    return parser.items("Service")


def test_the_directives() -> None:
    """Exactly these: whoever adds one thinks of the pods, then of this test."""
    assert dict(service(UNIT)) == {
        "Type": "notify",
        "ExecStart": "/opt/nodeagent/bin/nodeagent run --standalone --config=/etc/nodeagent/config.yaml",
        "Restart": "always",
        "RestartSec": "2s",
        "TimeoutStartSec": "infinity",
        "WatchdogSec": "60s",
        "KillMode": "process",
        "TimeoutStopSec": "60s",
        "Delegate": "yes",
        "OOMScoreAdjust": "-999",
        "OOMPolicy": "continue",
        "LimitNOFILE": "1048576",
        "TasksMax": "infinity",
        "CapabilityBoundingSet": "~CAP_SYS_PACCT CAP_WAKE_ALARM CAP_BLOCK_SUSPEND",
        "KeyringMode": "private",
        "NotifyAccess": "main",
        "Environment": "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }


@pytest.mark.parametrize("path", [UNIT, DROP_IN], ids=lambda path: path.name)
def test_nothing_that_pods_would_inherit(path: Path) -> None:
    """Neither mounts of its own, nor filters, nor devices."""
    assert not {name for name, _ in service(path)} & (OWN_MOUNTS | INHERITED | OTHER)


def test_installed_for_root_alone() -> None:
    """CIS 4.1.1: the command that installs it gives it 0600, here and in the README."""
    command = "install -m 0600 hack/nodeagent.service /etc/systemd/system/"
    assert command in UNIT.read_text() and command in (REPO / "README.md").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd's tools")
def test_systemd_understands_it(tmp_path: Path) -> None:
    """No directive is unknown to it; with the drop-in all addresses but the named ones are denied (CIS 4.2.15)."""
    for path, denied in ((UNIT, False), (tmp_path / UNIT.name, True)):
        if denied:
            path.write_text(UNIT.read_text() + DROP_IN.read_text())
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--json=short", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Unknown key" not in done.stderr and "Failed to parse" not in done.stderr
        held = {item["name"]: item["set"] for item in json.loads(done.stdout)}
        lost = [f"CapabilityBoundingSet=~CAP_{name}" for name in ("SYS_PACCT", "WAKE_ALARM", "BLOCK_SUSPEND")]
        assert all(held[name] for name in (*lost, "KeyringMode=", "NotifyAccess="))
        shown = next(item for item in json.loads(done.stdout) if item["name"] == "IPAddressDeny=")
        assert ("allow list" in shown["description"] and "does not define" not in shown["description"]) is denied
