"""The inputs that are kept: seeds, written by hand to show a format, and finds, each of which was wrong once."""

import hashlib
from pathlib import Path

HERE = Path(__file__).parent


def seeds(target: str) -> list[bytes]:
    return _read(HERE / "seeds" / target)


def found(target: str) -> list[bytes]:
    return _read(HERE / "found" / target)


def keep(target: str, data: bytes) -> Path:
    """Write a find down, under a name made of its content."""
    folder = HERE / "found" / target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


def _read(folder: Path) -> list[bytes]:
    if not folder.is_dir():
        return []
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
