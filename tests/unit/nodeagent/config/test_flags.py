"""The command line as text."""

from pathlib import Path

from nodeagent.cli.kubelet.flags import FLAGS
from nodeagent.cli.kubelet.options import options_of
from nodeagent.cli.kubelet.parse import parse
from nodeagent.config import Options
from nodeagent.config.flags import MASKED, flags


def test_as_a_kubelet() -> None:
    """Every flag has a kubelet's name; what was given is shown as it was given, a header that may be a credential is not."""
    arguments = "--config=/etc/k.yaml --node-ip=10.0.0.1 --cloud-provider=external --hostname-override=Node-1 -v=4"
    arguments += " --eviction-hard=memory.available<1Gi --node-labels=a=b,c=d --register-with-taints=k=v:NoSchedule"
    arguments += " --feature-gates=PodsAPI=false --manifest-url-header=Authorization:secret --cluster-dns=10.0.0.10"
    found = flags(options_of(parse(arguments.split())))
    assert set(found) <= set(FLAGS)
    assert {name: found[name] for name in found if found[name] not in ("", "true")} == {
        "config": "/etc/k.yaml",
        "node-ip": "10.0.0.1",
        "cloud-provider": "external",
        "hostname-override": "node-1",
        "v": "4",
        "eviction-hard": "memory.available=1Gi",
        "node-labels": "a=b,c=d",
        "register-with-taints": '{"key": "k", "value": "v", "effect": "NoSchedule"}',
        "feature-gates": "PodsAPI=false",
        "manifest-url-header": MASKED,
        "cluster-dns": "10.0.0.10",
        "cert-dir": "/var/lib/kubelet/pki",
        "root-dir": "/var/lib/kubelet",
    }


def test_as_itself() -> None:
    """Its own flags by its own names, with what nobody gave."""
    found = flags(Options(kubeconfig=Path("/etc/k"), standalone=True, log_level="debug"))
    assert found["kubeconfig"] == "/etc/k"
    assert (found["standalone"], found["log-level"], found["config"], found["node-name"]) == ("true", "debug", "", "")
    assert "hostname-override" not in found
