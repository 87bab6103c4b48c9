"""Images of this machine's static busybox, as OCI archives: without a registry and without root. Standard library only.

An image holds busybox with a symbolic link for every applet, users root and nobody, /www/index.html and a world-writable /tmp.
The same busybox gives the same bytes, and so the same image id.
"""

import io
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from runtimes.image_archive import add_file, member, write_archive

DEFAULT_TAG = "localhost/demo:1"
_FOLDERS = {
    **dict.fromkeys(
        ("bin", "dev", "etc", "home", "proc", "run", "sys", "usr", "usr/bin", "usr/sbin", "var", "www"), 0o755
    ),
    "root": 0o700,
    "sbin": 0o755,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "www/index.html": "<!doctype html><title>nodeagent</title><h1>It runs.</h1>\n",
}


def build(
    out: Path,
    *,
    tag: str = DEFAULT_TAG,
    busybox: Path = Path("/bin/busybox"),
    files: Mapping[str, str] | None = None,
    config: Mapping[str, object] | None = None,
) -> str:
    """Write the archive and return the image id. `files` adds files, `config` entries of the OCI image configuration."""
    return write_archive(out, [layer_of(busybox, files)], tag=tag, config=configuration_of(config))


def layer_of(busybox: Path = Path("/bin/busybox"), files: Mapping[str, str] | None = None) -> bytes:
    """The image's one layer, as a plain tar."""
    return _layer(busybox, {**_FILES, **(files or {})})


def configuration_of(config: Mapping[str, object] | None = None) -> dict[str, object]:
    """The entries of the OCI image configuration, with those changes."""
    return {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["/bin/sh"],
        "Labels": {"org.opencontainers.image.title": "nodeagent demo"},
        **(config or {}),
    }


def _layer(busybox: Path, files: Mapping[str, str]) -> bytes:
    listing = subprocess.run([busybox, "--list-full"], check=True, capture_output=True, text=True, timeout=10).stdout
    folders = dict(_FOLDERS)
    for name in (*listing.split(), *files):
        for parent in Path(name).parents:
            folders.setdefault(str(parent), 0o755)
    folders.pop(".", None)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(folders):
            archive.addfile(member(name, tarfile.DIRTYPE, folders[name]))
        add_file(archive, "bin/busybox", busybox.read_bytes(), 0o755)
        for name in sorted(set(listing.split()) - {"bin/busybox"}):
            link = member(name, tarfile.SYMTYPE, 0o777)
            link.linkname = "/bin/busybox"
            archive.addfile(link)
        for name, text in sorted(files.items()):
            add_file(archive, name, text.encode(), 0o644)
    return stream.getvalue()
