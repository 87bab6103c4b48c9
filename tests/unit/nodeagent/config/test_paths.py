"""Paths are absolute behind the door: those of options from the working directory, those of files from the file's folder."""

import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from nodeagent.config import Options, load
from nodeagent.config.agent import NodeAgentConfiguration
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.values import FilePath, Program

KUBELET = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
AGENT = {"apiVersion": "nodeagent.dev/v1alpha1", "kind": "NodeAgentConfiguration"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file, beside the working directory."""
    for name in ("etc", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def test_options(folder: Path) -> None:
    """Every path among the options; dots and trailing slashes go, links stay, a tilde is a name like others."""
    (folder / "cwd" / "link").symlink_to("/var")
    options = Options(
        kubeconfig=Path("kube/config"),
        root_dir=Path("root/"),
        state_dir=Path("./a/../state"),
        run_dir=Path("../run"),
        container_logs_dir=Path("link/log"),
        image_credential_provider_config=Path("providers"),
        image_credential_provider_bin_dir=Path("~/bin"),
    )
    found, cwd = load(options).options, folder / "cwd"
    assert (found.kubeconfig, found.root_dir, found.state_dir) == (cwd / "kube/config", cwd / "root", cwd / "state")
    assert (found.run_dir, found.container_logs_dir) == (folder / "run", cwd / "link/log")
    assert found.image_credential_provider_config == cwd / "providers"
    assert found.image_credential_provider_bin_dir == cwd / "~" / "bin"


def test_a_file(folder: Path) -> None:
    """Every path in both documents, wherever it stands; what is absolute stays, what is not set stays unset."""
    kubelet = {
        **KUBELET,
        "staticPodPath": "manifests/",
        "podLogsDir": "../logs",
        "tlsCertFile": "./tls.crt",
        "tlsPrivateKeyFile": "tls.key",
        "resolvConf": "resolv.conf",
        "volumePluginDir": "plugins",
        "authentication": {"x509": {"clientCAFile": "pki/ca.crt"}},
    }
    agent = {
        **AGENT,
        "runtimes": {"a": {"type": "oci", "path": "bin/runc"}, "b": {"type": "oci", "path": "/bin/crun"}},
        "cni": {"confDir": "cni", "binDirs": ["cni/bin", "/opt/cni/bin"], "cacheDir": "cache", "ipamDir": "ipam"},
        "registries": {"r.example": {"certsDir": "certs"}},
        "conmon": "conmon",
        "imageCredentialProviderConfig": "p.yaml",
        "imageCredentialProviderBinDir": "p",
    }
    file = folder / "etc" / "config.yaml"
    file.write_text(yaml.safe_dump_all([kubelet, agent]))
    config, etc = load(Options(config_file=Path("../etc/config.yaml"))), str(folder / "etc")
    found = config.kubelet
    assert (found.staticPodPath, found.podLogsDir) == (f"{etc}/manifests", str(folder / "logs"))
    assert (found.tlsCertFile, found.tlsPrivateKeyFile) == (f"{etc}/tls.crt", f"{etc}/tls.key")
    assert (found.resolvConf, found.volumePluginDir) == (f"{etc}/resolv.conf", f"{etc}/plugins")
    assert found.authentication.x509.clientCAFile == f"{etc}/pki/ca.crt"
    own = config.agent
    assert {name: runtime.path for name, runtime in own.runtimes.items()} == {"a": f"{etc}/bin/runc", "b": "/bin/crun"}
    assert (own.cni.confDir, own.cni.binDirs) == (f"{etc}/cni", [f"{etc}/cni/bin", "/opt/cni/bin"])
    assert (own.cni.cacheDir, own.cni.ipamDir) == (f"{etc}/cache", f"{etc}/ipam")
    assert own.registries["r.example"].certsDir == f"{etc}/certs"
    assert own.conmon == "conmon", "a bare name is looked for on PATH"
    assert (own.imageCredentialProviderConfig, own.imageCredentialProviderBinDir) == (f"{etc}/p.yaml", f"{etc}/p")


def test_unset_paths_stay_unset(folder: Path) -> None:
    """Empty means not set, and is not the file's folder."""
    file = folder / "etc" / "config.yaml"
    file.write_text(yaml.safe_dump_all([KUBELET | {"staticPodPath": "", "resolvConf": ""}, AGENT | {"conmon": ""}]))
    config = load(Options(config_file=file))
    assert (config.kubelet.staticPodPath, config.kubelet.resolvConf, config.agent.conmon) == ("", "", "")


def test_every_field_that_sounds_like_a_path_is_one() -> None:
    """No path among the fields is a plain text, so that none is forgotten."""
    plain = [
        f"{kind.__name__}.{name}"
        for kind, name, hint in fields(KubeletConfiguration, NodeAgentConfiguration)
        if hint is str and sounds(name)
    ]
    assert plain == []


def sounds(name: str) -> bool:
    return name == "path" or name.endswith(("File", "Path", "Dir", "Dirs", "Conf"))


def fields(*documents: Any) -> list[tuple[Any, str, Any]]:
    found: list[tuple[Any, str, Any]] = []
    for document in documents:
        for name, hint in typing.get_type_hints(document).items():
            inner = [hint, *typing.get_args(hint)]
            found += [(document, name, each) for each in inner]
            found += fields(*(each for each in inner if isinstance(each, type) and issubclass(each, msgspec.Struct)))
    return found


def test_the_types_are_told_apart() -> None:
    """There are paths among the fields, of both types."""
    hints = {hint for _, _, hint in fields(KubeletConfiguration, NodeAgentConfiguration) if hint in (FilePath, Program)}
    assert hints == {FilePath, Program}
