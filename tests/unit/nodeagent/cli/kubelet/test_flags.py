"""The table of a kubelet's flags: each does one thing, fits the configuration, and is in the documentation."""

import re
from pathlib import Path

import msgspec
import pytest

from nodeagent.cli.kubelet.flags import FLAGS, Flag
from nodeagent.cli.kubelet.help import default, explanation, usage, without_effect
from nodeagent.config.kubelet import KubeletConfiguration

DOCUMENT = Path(__file__).resolve().parents[5] / "docs" / "drop-in-kubelet.md"

# The flags of kubelet 1.36 (docs/facts/node-resources.md 1.2, 1.3) that kubeadm, kubespray and distributions write.
WRITTEN = (
    "bootstrap-kubeconfig kubeconfig config config-dir container-runtime-endpoint pod-infra-container-image "
    "node-labels node-ip register-with-taints hostname-override cloud-provider cgroup-driver root-dir cert-dir "
    "rotate-certificates rotate-server-certificates runtime-cgroups kubelet-cgroups v vmodule logging-format "
    "feature-gates image-credential-provider-config image-credential-provider-bin-dir max-pods pod-max-pids "
    "eviction-hard eviction-soft eviction-soft-grace-period eviction-minimum-reclaim system-reserved "
    "kube-reserved reserved-cpus reserved-memory resolv-conf cluster-dns cluster-domain client-ca-file "
    "anonymous-auth authentication-token-webhook authorization-mode read-only-port seccomp-default "
    "protect-kernel-defaults fail-swap-on fail-cgroupv1 serialize-image-pulls pod-manifest-path manifest-url "
    "manifest-url-header tls-cipher-suites tls-min-version volume-plugin-dir lock-file exit-on-lock-contention "
    "provider-id registry-qps registry-burst event-qps minimum-image-ttl-duration image-gc-high-threshold "
    "kube-api-content-type contention-profiling housekeeping-interval experimental-allocatable-ignore-eviction "
    "log-flush-frequency version"
)


@pytest.mark.parametrize("flag", FLAGS.values(), ids=lambda flag: flag.name)
def test_a_flag_does_one_thing(flag: Flag) -> None:
    """It sets a field that exists, or an option of the program, or says why it does nothing; never two, never none."""
    assert [bool(each) for each in (flag.field, flag.option, flag.idle)].count(True) == 1
    kind: object = KubeletConfiguration()
    for step in flag.field.split(".") if flag.field else ():
        assert isinstance(kind, msgspec.Struct)
        assert step in kind.__struct_fields__
        kind = getattr(kind, step)


def test_the_flags_that_are_written_are_known() -> None:
    """Also by the names that are not simply the field's."""
    assert [name for name in WRITTEN.split() if name not in FLAGS] == []


def test_help_is_in_the_order_of_a_kubelet() -> None:
    """By name; every flag once, with its default and its deprecation."""
    heads = re.findall(r"^  (?:    |-., )--([a-z0-9-]+)", usage(), flags=re.MULTILINE)
    assert heads == sorted(FLAGS)
    assert default(FLAGS["max-pods"]) == "110"
    assert explanation(FLAGS["port"]) == "Sets port of the KubeletConfiguration."
    assert "      NodeDeclaredFeatures=true|false (BETA - default=true)" in usage()


def test_the_documentation_has_the_table() -> None:
    """docs/drop-in-kubelet.md says of every flag what the program does with it."""
    rows = {
        f"| `--{flag.name}` | {f'`{flag.field}`' if flag.field else flag.help} | {without_effect(flag)} |"
        for flag in FLAGS.values()
    }
    assert sorted(rows - set(DOCUMENT.read_text().splitlines())) == []
