"""TLS bootstrap: when there is need of it, and what is written."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from nodeagent.api.bootstrap import usable, written
from nodeagent.api.certificates import self_signed

BOOTSTRAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [
        {"name": "other", "cluster": {"server": "https://other"}},
        {"name": "kubernetes", "cluster": {"server": "https://api:6443", "certificate-authority": "pki/ca.crt"}},
    ],
    "contexts": [{"name": "tls", "context": {"cluster": "kubernetes", "user": "tls"}}],
    "current-context": "tls",
    "users": [{"name": "tls", "user": {"token": "abcdef.0123456789abcdef"}}],
}


def test_the_kubeconfig(tmp_path: Path) -> None:
    """The same cluster, by absolute paths, with the pair of the certificate; the bootstrap token is not in it."""
    file = tmp_path / "bootstrap-kubelet.conf"
    file.write_text(yaml.safe_dump(BOOTSTRAP))
    text = written(file, Path("/var/lib/kubelet/pki/kubelet-client-current.pem"))
    found = yaml.safe_load(text)
    assert found["clusters"] == [
        {
            "name": "default-cluster",
            "cluster": {"server": "https://api:6443", "certificate-authority": f"{tmp_path}/pki/ca.crt"},
        }
    ]
    assert (found["current-context"], found["users"][0]["name"]) == ("default-context", "default-auth")
    assert "0123456789abcdef" not in text


async def test_when_a_kubeconfig_can_be_used(tmp_path: Path) -> None:
    """Not when it is missing or its certificate has ended; one with a token is its owner's affair."""
    now = datetime.now(UTC)
    file, pair = tmp_path / "kubelet.conf", tmp_path / "pair.pem"
    assert not await usable(file, now)
    chain, key = self_signed("n", (), now)
    pair.write_bytes(chain + key)
    user = {"client-certificate": str(pair), "client-key": str(pair)}
    file.write_text(
        yaml.safe_dump(
            {
                **BOOTSTRAP,
                "clusters": [{"name": "kubernetes", "cluster": {"server": "https://api"}}],
                "users": [{"name": "tls", "user": user}],
            }
        )
    )
    assert await usable(file, now)
    assert not await usable(file, now + timedelta(days=366))
    pair.unlink()
    assert not await usable(file, now)
