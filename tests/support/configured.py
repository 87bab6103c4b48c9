"""A configuration as the loader makes it of a file, for tests of what is made from it."""

from pathlib import Path
from typing import Any

import yaml

from nodeagent.config import Config, Options, load


def config(folder: Path, agent: dict[str, Any] | None = None, **kubelet: Any) -> Config:
    documents = [
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"} | kubelet,
        {"apiVersion": "nodeagent.dev/v1alpha1", "kind": "NodeAgentConfiguration"} | (agent or {}),
    ]
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return load(Options(config_file=file, root_dir=folder / "root", state_dir=folder / "state"))
