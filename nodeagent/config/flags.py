"""The command line as text, flag by flag, for whoever wants to know how this process was started. Pure."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodeagent.config.loader import Options

MASKED = "<masked>"
_SECRET = frozenset({"manifest-url-header"})  # a header may be a credential
_NAMES = {"config_file": "config", "schedulable": "register-schedulable"}
_OF_NO_FLAG = frozenset({"overrides", "as_kubelet", "remarks", "external_cloud"})


def flags(options: Options) -> dict[str, str]:
    """name -> value, also of those that have their defaults; what a field of the configuration has, only where a flag sets it."""
    found: dict[str, Any] = {
        _NAMES.get(field.name, field.name).replace("_", "-"): getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in _OF_NO_FLAG
    }
    if options.as_kubelet:  # whose names these are, and which has none of the others
        found["hostname-override"] = found.pop("node-name")
        found["cloud-provider"] = "external" if options.external_cloud else ""
        for name in ("standalone", "state-dir", "run-dir", "container-logs-dir", "log-level", "log-format"):
            del found[name]
    else:
        for name in ("config-dir", "bootstrap-kubeconfig", "cert-dir", "register-schedulable"):
            del found[name]
    found |= {each.flag.lstrip("-"): each.value for each in options.overrides}
    return {name: MASKED if name in _SECRET else _text(value) for name, value in found.items()}


def _text(value: Any) -> str:
    """As the command line would have it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Path):
        return str(value)
    pairs = list(value.items()) if isinstance(value, Mapping) else list(value)
    if all(isinstance(pair, tuple) for pair in pairs):
        return ",".join(f"{name}={_text(each)}" for name, each in pairs)
    return ",".join(each if isinstance(each, str) else json.dumps(each) for each in pairs)
