"""Container ports and what they take from the node."""

from nodeagent.podspec.container_lists import containers
from nodeagent.podspec.validation.rules import problems, unique
from runtimes.kube import names
from runtimes.kube.field_errors import FieldError, duplicate, invalid, not_supported, required
from runtimes.kube.json_object import JsonObject

PROTOCOLS = ("SCTP", "TCP", "UDP")


def ports(path: str, container: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{path}.ports[{index}]"
        name = port.get("name")
        if name:
            wrong = names.port_name(name)
            errors += problems(f"{where}.name", name, wrong) or unique(f"{where}.name", name, seen)
        number = port.get("containerPort") or 0
        if number == 0:
            errors.append(required(f"{where}.containerPort"))
        else:
            errors += problems(f"{where}.containerPort", number, names.port_number(number))
        if port.get("hostPort"):
            errors += problems(f"{where}.hostPort", port["hostPort"], names.port_number(port["hostPort"]))
        if not port.get("protocol"):
            errors.append(required(f"{where}.protocol"))
        elif port["protocol"] not in PROTOCOLS:
            errors.append(not_supported(f"{where}.protocol", port["protocol"], PROTOCOLS))
        if port.get("hostIP"):
            errors += problems(f"{where}.hostIP", port["hostIP"], names.ip_address(port["hostIP"]))
    return errors


def host_ports(spec: JsonObject) -> list[FieldError]:
    """No two app containers (or sidecars) take the same host port; in the host's network both numbers are one."""
    errors: list[FieldError] = []
    taken: set[str] = set()
    for path, container in containers(spec, "containers"):
        for index, port in enumerate(container.get("ports") or ()):
            where = f"{path}.ports[{index}].hostPort"
            number = port.get("hostPort") or 0
            if spec.get("hostNetwork") and number != port.get("containerPort"):
                errors.append(invalid(where, number, "must match `containerPort` when `hostNetwork` is true"))
            if not number:
                continue
            key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{number}"
            if key in taken:
                errors.append(duplicate(where, key))
            taken.add(key)
    return errors
