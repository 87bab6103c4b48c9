"""Where the endpoint finds its certificate."""

from pathlib import Path
from typing import Any

import yaml

from nodeagent.assembly.server import server_settings
from nodeagent.config import Options, load
from nodeagent.folders import Folders


def certificate(folder: Path, **kubelet: Any) -> tuple[Path, Path, bool]:
    """Certificate, key, and whether it may come later."""
    file = folder / "config.yaml"
    document = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"} | kubelet
    file.write_text(yaml.safe_dump(document))
    config = load(Options(config_file=file, node_name="n"))
    folders = Folders(root=folder / "root", state=folder / "state", run=folder / "run")
    settings = server_settings(config, folders, ["10.0.0.7"], None)
    return settings.certificate, settings.key, settings.certificate_awaited


def test_the_certificate(tmp_path: Path) -> None:
    """Given files are the certificate, whatever else is said; else what the API issues, awaited; else one of its own."""
    files = {"tlsCertFile": "/etc/a.crt", "tlsPrivateKeyFile": "/etc/a.key"}
    given = (Path("/etc/a.crt"), Path("/etc/a.key"), False)
    assert certificate(tmp_path, **files) == certificate(tmp_path, **files, serverTLSBootstrap=True) == given
    pki = tmp_path / "root" / "pki"
    issued = pki / "kubelet-server-current.pem"
    assert certificate(tmp_path, serverTLSBootstrap=True) == (issued, issued, True)
    assert not pki.exists()
    assert certificate(tmp_path) == (pki / "kubelet.crt", pki / "kubelet.key", False)
    assert (pki / "kubelet.key").stat().st_mode & 0o777 == 0o600
