"""Kubeconfig files with everything inside: one cluster, one user, one context."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from nodeagent.apiserver.pki import Pair, write_private


def kubeconfig(*, server: str, ca_pem: bytes, user: str, pair: Pair, cluster: str = "nodeagent") -> str:
    """YAML text. ``server`` is a URL; ``pair`` the client certificate and key."""
    context = f"{user}@{cluster}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _text(ca_pem)}}],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _text(pair.certificate.read_bytes()),
                    "client-key-data": _text(pair.key.read_bytes()),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user, "namespace": "default"}}],
        "current-context": context,
        "preferences": {},
    }
    return yaml.safe_dump(document, sort_keys=False)


def write_kubeconfig(path: Path, *, server: str, ca_pem: bytes, user: str, pair: Pair) -> None:
    """Mode 0600, replaced as a whole; not touched when it would not change."""
    text = kubeconfig(server=server, ca_pem=ca_pem, user=user, pair=pair).encode()
    if not path.exists() or path.read_bytes() != text:
        write_private(path, text)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
