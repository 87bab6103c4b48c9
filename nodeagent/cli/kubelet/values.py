"""What the text after a kubelet's flag means, by the flag's kind: values as they stand in a KubeletConfiguration file.

A reader gets the text and what earlier uses of the same flag have made. Raises ValueError, in the words of Go's parsers.
"""

import ipaddress
from collections.abc import Callable
from enum import Enum
from typing import Any

from runtimes.kube.duration import seconds

_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


def _string(text: str, before: Any) -> str:
    return text


def _bool(text: str, before: Any) -> bool:
    if text not in _TRUE + _FALSE:
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def _int(bits: int) -> Callable[[str, Any], int]:
    def read(text: str, before: Any) -> int:
        try:
            value = int(text, 0) if text.strip() == text and text.isascii() else None
        except ValueError:
            value = None
        if value is None:
            raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
        return value

    return read


def _duration(text: str, before: Any) -> str:
    try:
        seconds(text)
    except ValueError:
        raise ValueError(f'time: invalid duration "{text}"') from None
    return text


def _ip(text: str, before: Any) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError(f'failed to parse IP: "{text}"') from None


def _strings(text: str, before: Any) -> list[str]:
    return [*(before or []), *(text.split(",") if text else [])]


def _pairs(separator: str, *, split: bool = True) -> Callable[[str, Any], dict[str, str]]:
    def read(text: str, before: Any) -> dict[str, str]:
        found: dict[str, str] = dict(before or {})
        for part in text.split(",") if split else [text]:
            if not part.strip():
                continue
            key, middle, value = part.partition(separator)
            if not middle:
                raise ValueError(f"malformed pair, expect string{separator}string")
            found[key.strip()] = value.strip()
        return found

    return read


def _flags(text: str, before: Any) -> dict[str, bool]:
    found: dict[str, bool] = dict(before or {})
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, middle, value = part.partition("=")
        if not middle:
            raise ValueError(f"missing bool value for {key}")
        if value.strip() not in _TRUE + _FALSE:
            raise ValueError(
                f'invalid value of {key}={value}, err: strconv.ParseBool: parsing "{value}": invalid syntax'
            )
        found[key.strip()] = value.strip() in _TRUE
    return found


def _headers(text: str, before: Any) -> dict[str, list[str]]:
    found = {key: list(values) for key, values in (before or {}).items()}
    for part in filter(None, text.split(",")):
        key, middle, value = part.partition(":")
        if not middle:
            raise ValueError("malformed pair, expect string:string")
        found.setdefault(key.strip(), []).append(value.strip())
    return found


def _taints(text: str, before: Any) -> list[dict[str, str]]:
    """`key=value:effect`, `key:effect`."""
    found = list(before or [])
    for part in filter(None, text.split(",")):
        left, colon, effect = part.rpartition(":")
        key, _, value = left.partition("=")
        if not colon or not key:
            raise ValueError(f"invalid taint spec: {part}")
        found.append({"key": key, "value": value, "effect": effect})
    return found


def _reserved_memory(text: str, before: Any) -> list[dict[str, Any]]:
    """`0:memory=1Gi,hugepages-2Mi=4Mi;1:memory=2Gi`"""
    found = list(before or [])
    for part in filter(None, text.split(";")):
        numa, colon, limits = part.partition(":")
        if not colon or not numa.strip().isdecimal():
            raise ValueError(f'"{part}": expected numaNodeID:type=quantity[,type=quantity...]')
        found.append({"numaNode": int(numa), "limits": _pairs("=")(limits, None)})
    return found


def _vmodule(text: str, before: Any) -> list[dict[str, Any]]:
    found = []
    for part in filter(None, text.split(",")):
        pattern, equals, level = part.partition("=")
        if not equals or not pattern:
            raise ValueError(f'"{part}" does not have the pattern=N format')
        found.append({"filePattern": pattern, "verbosity": _int(32)(level, None)})
    return found


class Kind(Enum):
    """(how `--help` names it, how it is read). BOOL and VERSION need no value."""

    STRING = ("string", _string)
    BOOL = ("", _bool)
    VERSION = ("version[=true]", _string)
    INT32 = ("int32", _int(32))
    INT64 = ("int", _int(64))
    LEVEL = ("Level", _int(32))
    DURATION = ("duration", _duration)
    IP = ("ip", _ip)
    STRINGS = ("strings", _strings)
    MAP = ("mapStringString", _pairs("="))
    MAP_ONE = ("mapStringString", _pairs("=", split=False))
    BOOLS = ("mapStringBool", _flags)
    SIGNALS = ("mapStringString", _pairs("<"))
    HEADERS = ("colonSeparatedMultimapStringString", _headers)
    TAINTS = ("[]v1.Taint", _taints)
    RESERVED_MEMORY = ("reserved-memory", _reserved_memory)
    VMODULE = ("pattern=N,...", _vmodule)

    def __init__(self, word: str, read: Callable[[str, Any], Any]) -> None:
        self.word = word
        self.read = read

    @property
    def without_value(self) -> str | None:
        """What the bare flag means; None: it needs a value."""
        return "true" if self in (Kind.BOOL, Kind.VERSION) else None
