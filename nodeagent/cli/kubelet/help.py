"""What `kubelet --help` shows: every flag by name, with what is for it in a file, and its default."""

import textwrap
from typing import Any

from nodeagent.cli.kubelet.flags import FLAGS, Flag
from nodeagent.config import feature_gates
from nodeagent.config.acted_on import ACTED_ON
from nodeagent.config.ignored_fields import ignored_field
from nodeagent.config.kubelet import KubeletConfiguration

_INDENT, _WIDTH = 10, 120
ENDPOINTS = ("containerRuntimeEndpoint", "imageServiceEndpoint")  # the loader makes the runtimes of them


def usage() -> str:
    head = (
        "nodeagent in a kubelet's place: it takes the flags of kubelet 1.36 and its configuration files.\n\n"
        "Usage:\n  kubelet [flags]\n\nFlags:\n"
    )
    return head + "\n".join(_entry(flag) for flag in FLAGS.values())


def explanation(flag: Flag) -> str:
    """What the flag does here, in a sentence."""
    if flag.field:
        return f"Sets {flag.field} of the KubeletConfiguration."
    return flag.help or f"Has no effect here: {flag.idle}."


def without_effect(flag: Flag) -> str:
    """Why it, or the field that it sets, does nothing here; empty: it does."""
    acts = any(f"{flag.field}.".startswith(f"{name}.") or name.startswith(f"{flag.field}.") for name in ACTED_ON)
    if not flag.field or acts or flag.field in ENDPOINTS:
        return flag.idle
    return ignored_field(flag.field).reason


def default(flag: Flag) -> str:
    """As it is shown; empty: none, or nothing worth a word."""
    if not flag.field:
        return flag.default
    value: Any = KubeletConfiguration()
    for step in flag.field.split("."):
        value = getattr(value, step)
    if isinstance(value, bool):
        return "true" if value else ""
    return str(value) if isinstance(value, str | int | float) and value else ",".join(value or ())


def _entry(flag: Flag) -> str:
    name = f"  -{flag.shorthand}, --{flag.name}" if flag.shorthand else f"      --{flag.name}"
    word = flag.kind.word
    text = explanation(flag)
    if flag.field and (reason := without_effect(flag)):
        text += f" Has no effect here: {reason}."
    if flag.name == "feature-gates":
        text += " Options are:"
    if found := default(flag):
        text += f" (default {found})"
    if flag.deprecated:
        text += f" (DEPRECATED: {flag.deprecated})"
    lines = textwrap.wrap(text, _WIDTH - _INDENT)
    if flag.name == "feature-gates":
        lines += feature_gates.known()
    head = name + (word if word.startswith("[") and "=" in word else f" {word}" if word else "")
    return "\n".join([head, *(" " * _INDENT + line for line in lines)])
