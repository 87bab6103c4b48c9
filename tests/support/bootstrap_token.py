"""What a machine joins with: the Secret of a bootstrap token as kubeadm makes it, and the kubeconfig that has the token."""

from pathlib import Path
from typing import Any

import yaml

TOKEN_ID, TOKEN_SECRET = "abcdef", "0123456789abcdef"
KUBEADM_GROUP = "system:bootstrappers:kubeadm:default-node-token"


def bootstrap_secret(groups: str = KUBEADM_GROUP) -> dict[str, Any]:
    """Of a token that lasts. `groups`: in which its owner is besides that of all tokens."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{TOKEN_ID}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": TOKEN_ID,
            "token-secret": TOKEN_SECRET,
            "usage-bootstrap-authentication": "true",
            "expiration": "2999-01-01T00:00:00Z",
            "auth-extra-groups": groups,
        },
    }


def bootstrap_kubeconfig(admin: Path) -> dict[str, Any]:
    """To the cluster of an administrator's kubeconfig."""
    cluster = yaml.safe_load(admin.read_text())["clusters"][0]["cluster"]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubernetes", "cluster": cluster}],
        "contexts": [{"name": "tls-bootstrap-token-user", "context": {"cluster": "kubernetes", "user": "bootstrap"}}],
        "current-context": "tls-bootstrap-token-user",
        "users": [{"name": "bootstrap", "user": {"token": f"{TOKEN_ID}.{TOKEN_SECRET}"}}],
    }
