"""What an entry of a layer must not be: rules about names, links and attributes, before anything is made of it.

Whoever unpacks keeps every entry inside the root by resolving it there, which hides an attack instead of refusing it. The audit
refuses: names and hard link targets that climb above the root, whiteouts of "." and "..", and overlay control attributes.

Source: OCI image layers (whiteouts `.wh.name`, `.wh..wh..opq`).
"""

_MAX_NAME_BYTES = 255
WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
# What overlayfs would act on in a lower layer: showing another path's content under a name.
_REFUSED_XATTRS = (b"trusted.overlay.redirect", b"trusted.overlay.metacopy")


class Refused(Exception):
    """An entry that no packer writes, or that reaches for the world outside. The text says what is wrong with it."""


def inside(name: bytes, what: str) -> list[bytes]:
    """The parts of a path in the image, without "." and ".."; empty: the root. Raises Refused when it leads out of it."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise Refused(f"{what} {show(name)} leads out of the image's root")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return parts


def check_name(name: bytes) -> list[bytes]:
    """The parts of an entry's name. Raises Refused."""
    if b"\0" in name:
        raise Refused(f"a name with a zero byte: {show(name)}")
    parts = inside(name, "entry")
    for part in parts:
        if len(part) > _MAX_NAME_BYTES:
            raise Refused(f"a name of {len(part)} bytes, of which {_MAX_NAME_BYTES} are possible")
    if parts and parts[-1].startswith(WHITEOUT) and parts[-1][len(WHITEOUT) :] in (b"", b".", b".."):
        raise Refused(f"a whiteout of a folder itself: {show(name)}")
    return parts


def check_xattr(key: bytes) -> None:
    """`key`: of the pax record. Raises Refused."""
    if key.endswith(_REFUSED_XATTRS):
        raise Refused(f"extended attribute {show(key)}")


def show(name: bytes) -> str:
    return repr(name[:300].decode(errors="backslashreplace"))
