"""Container Device Interface: named devices ("vendor.com/class=name") described by files of the vendors, as edits to the bundle.

Specification: cncf-tags/container-device-interface, SPEC.md 0.3 to 0.8. Files of a later directory win over an earlier one's.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runtimes import errors
from runtimes.kube import bounded_yaml
from runtimes.kube.json_errors import UNREADABLE
from runtimes.kube.json_object import JsonObject
from runtimes.oci.spec.devices import device_node

log = logging.getLogger(__name__)


class _Edits(msgspec.Struct, rename="camel"):
    env: list[str] = []
    device_nodes: list[JsonObject] = []
    mounts: list[JsonObject] = []
    hooks: list[JsonObject] = []
    additional_gids: list[int] = msgspec.field(name="additionalGids", default_factory=list)


class _Device(msgspec.Struct, rename="camel"):
    name: str
    container_edits: _Edits = msgspec.field(default_factory=_Edits)


class _File(msgspec.Struct, rename="camel"):
    kind: str
    devices: list[_Device] = []
    container_edits: _Edits = msgspec.field(default_factory=_Edits)


def inject(spec: JsonObject, names: Sequence[str], directories: Sequence[Path]) -> None:
    """Apply the edits of all named devices to a bundle. Raises InvalidArgument when one is unknown. Blocks for reads."""
    if not names:
        return
    files = _load(directories)
    used: list[_File] = []
    for name in names:
        kind, _, device_name = name.partition("=")
        for file in reversed(files):
            device = next((entry for entry in file.devices if entry.name == device_name), None)
            if file.kind == kind and device is not None:
                if file not in used:
                    used.append(file)
                    _apply_checked(spec, file.container_edits, name)
                _apply_checked(spec, device.container_edits, name)
                break
        else:
            raise errors.InvalidArgument(f"CDI device injection failed: unresolvable CDI devices {name}")


def _load(directories: Sequence[Path]) -> list[_File]:
    files: list[_File] = []
    for directory in directories:
        for path in sorted(directory.glob("*")) if directory.is_dir() else ():
            try:
                if path.suffix == ".json":
                    files.append(msgspec.json.decode(path.read_bytes(), type=_File))
                elif path.suffix in (".yaml", ".yml"):
                    files.append(msgspec.convert(bounded_yaml.read(path.read_bytes()).value, type=_File))
            except (OSError, *UNREADABLE) as error:
                log.warning("CDI file %s is ignored: %s", path, error)
    return files


def _apply_checked(spec: JsonObject, edits: _Edits, name: str) -> None:
    """What a device's file leaves out, or has in another type, is that file's fault and not the engine's."""
    try:
        _apply(spec, edits)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.InvalidArgument(
            f"CDI device injection failed: the edits of {name} are not valid: {error!r}"
        ) from error


def _apply(spec: JsonObject, edits: _Edits) -> None:
    process, linux = spec["process"], spec["linux"]
    replaced = {entry.partition("=")[0] for entry in edits.env}
    process["env"] = [entry for entry in process["env"] if entry.partition("=")[0] not in replaced] + edits.env
    for wanted in edits.device_nodes:
        node = _node(wanted)
        linux.setdefault("devices", []).append(node)
        rule = {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"]}
        linux["resources"]["devices"].append({**rule, "access": wanted.get("permissions") or "rwm"})
    for mount in edits.mounts:
        spec["mounts"].append(
            {
                "source": mount["hostPath"],
                "destination": mount["containerPath"],
                "type": mount.get("type") or "bind",
                "options": mount.get("options") or ["rbind", "rprivate"],
            }
        )
    for hook in edits.hooks:
        entry = {name: hook[name] for name in ("path", "args", "env", "timeout") if hook.get(name)}
        spec.setdefault("hooks", {}).setdefault(hook["hookName"], []).append(entry)
    groups = process["user"]["additionalGids"]
    groups += [gid for gid in edits.additional_gids if gid not in groups]


def _node(wanted: JsonObject) -> JsonObject:
    host_path = Path(wanted.get("hostPath") or wanted["path"])
    try:
        node = device_node(host_path, wanted["path"]) or {"path": wanted["path"], "type": wanted.get("type", "c")}
    except OSError as error:
        if "major" not in wanted:
            raise errors.InvalidArgument(f"CDI device node {host_path}: {error.strerror}") from error
        node = {"path": wanted["path"], "type": wanted.get("type", "c")}
    node |= {name: wanted[name] for name in ("type", "major", "minor", "fileMode", "uid", "gid") if name in wanted}
    if "major" not in node:
        raise errors.InvalidArgument(f"CDI device node {host_path} is not a device")
    return node
