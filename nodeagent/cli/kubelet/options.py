"""A kubelet's flags as the agent's options. Pure."""

import ipaddress
import os
from pathlib import Path
from typing import Any

from nodeagent.cli.kubelet.flags import FLAGS
from nodeagent.cli.kubelet.parse import Given, UsageError
from nodeagent.config import Options
from nodeagent.config.layers import Override
from nodeagent.node import labels
from runtimes.kube import names

_UNSAFE_WITHOUT_FILE = (
    "neither --config nor --config-dir is given: what is not set by a flag is as a configuration file has it by default, and so "
    "safer than a kubelet without one (which lets anybody in, and serves port 10255)"
)


def options_of(given: Given) -> Options:
    """Raises UsageError for a value that a kubelet does not start with."""
    values = given.values
    remarks = list(given.idle())
    if not values.get("config") and not values.get("config-dir"):
        remarks.append(_UNSAFE_WITHOUT_FILE)
    if values.get("cloud-provider", "") not in ("", "external"):
        raise UsageError(
            f'unsupported value "{values["cloud-provider"]}" for --cloud-provider: only "external", or empty'
        )
    return Options(
        as_kubelet=True,
        config_file=_path(values, "config"),
        config_dir=_path(values, "config-dir"),
        overrides=tuple(_overrides(values)),
        kubeconfig=_path(values, "kubeconfig"),
        bootstrap_kubeconfig=_path(values, "bootstrap-kubeconfig"),
        cert_dir=_path(values, "cert-dir") or Path(FLAGS["cert-dir"].default),
        root_dir=_path(values, "root-dir") or Path(FLAGS["root-dir"].default),
        node_name=_node_name(values.get("hostname-override", "")),
        node_ip=_node_ip(values.get("node-ip", ""), remarks),
        node_labels=_node_labels(values.get("node-labels", {})),
        external_cloud=values.get("cloud-provider") == "external",
        schedulable=values.get("register-schedulable", True),
        image_credential_provider_config=_path(values, "image-credential-provider-config"),
        image_credential_provider_bin_dir=_path(values, "image-credential-provider-bin-dir"),
        remarks=tuple(remarks),
    )


def _overrides(values: dict[str, Any]) -> list[Override]:
    found = [
        Override(flag=f"--{name}", field=tuple(FLAGS[name].field.split(".")), value=value)
        for name, value in values.items()
        if FLAGS[name].field
    ]
    if values.get("seccomp-default"):  # either of the two is enough
        found.append(Override(flag="--seccomp-default", field=("seccompDefault",), value=True))
    return found


def _path(values: dict[str, Any], name: str) -> Path | None:
    text = values.get(name, "")
    if "\0" in text:
        raise UsageError(f"--{name}: a path with a null byte")
    return Path(os.path.abspath(text)) if text else None  # noqa: PTH100  # links stay


def _node_name(text: str) -> str:
    name = text.strip().lower()
    if name and (reasons := names.dns1123_subdomain(name)):
        raise UsageError(f"--hostname-override {text!r}: {'; '.join(reasons)}")
    return name


def _node_ip(text: str, remarks: list[str]) -> str:
    """What is no address is left out, with a remark, as a kubelet does. Raises UsageError for two of one family."""
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(ipaddress.ip_address(part.strip()))
        except ValueError:
            remarks.append(f"could not parse some node IP(s), ignoring them: {part.strip()!r}")
    if len(found) > 2 or len({address.version for address in found}) < len(found):
        raise UsageError("bad --node-ip: must contain either a single IP or a dual-stack pair of IPs")
    if len(found) > 1 and any(address.is_unspecified for address in found):
        raise UsageError("bad --node-ip: dual-stack pair of IPs cannot contain all zeros")
    return ",".join(map(str, found))


def _node_labels(pairs: dict[str, str]) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(labels.parsed(f"{name}={value}" for name, value in pairs.items()).items())
    except ValueError as error:
        raise UsageError(str(error)) from error
