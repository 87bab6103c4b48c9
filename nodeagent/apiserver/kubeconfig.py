"""Kubeconfig files with everything inside: one cluster, one user, one context."""

import base64
from pathlib import Path

import yaml

from nodeagent.apiserver.pki import Pair
from runtimes.linux.files import replace_file


def kubeconfig(
    *, server: str, ca_pem: bytes, user: str, pair: Pair, cluster: str = "nodeagent", by_name: bool = False
) -> str:
    """YAML text. `server` is a URL; `pair` the client certificate and key: inside, or `by_name` of their files, for a
    client that lives longer than they do."""
    identity = (
        {"client-certificate": str(pair.certificate.absolute()), "client-key": str(pair.key.absolute())}
        if by_name
        else {
            "client-certificate-data": _text(pair.certificate.read_bytes()),
            "client-key-data": _text(pair.key.read_bytes()),
        }
    )
    context = f"{user}@{cluster}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _text(ca_pem)}}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user, "namespace": "default"}}],
        "current-context": context,
        "preferences": {},
    }
    return yaml.safe_dump(document, sort_keys=False)


def write_kubeconfig(path: Path, *, server: str, ca_pem: bytes, user: str, pair: Pair, by_name: bool = False) -> None:
    """Mode 0600, replaced as a whole; not touched when it would not change."""
    text = kubeconfig(server=server, ca_pem=ca_pem, user=user, pair=pair, by_name=by_name).encode()
    if not path.exists() or path.read_bytes() != text:
        replace_file(path, text, durable=False)  # made of the certificates, anew at each start


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
