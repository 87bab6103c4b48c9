"""The image of the probes: nothing but the program, twice (the second owned by root with the setuid bit), and a few folders."""

import io
import tarfile
from pathlib import Path

from runtimes.image_archive import Image, add_file, member, pack

NAME = "nodeagent-isolation/probe:1"
_FOLDERS = {
    **dict.fromkeys(("dev", "etc", "proc", "run", "sys", "var"), 0o755),
    **dict.fromkeys(("tmp", "var/tmp"), 0o1777),
}
_FILES = {
    "etc/passwd": b"root:x:0:0:root:/:/probe\nnobody:x:65534:65534:nobody:/:/probe\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
}


def image_of(program: Path) -> Image:
    """Raises OSError."""
    data = program.read_bytes()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode in _FOLDERS.items():
            archive.addfile(member(name, tarfile.DIRTYPE, mode))
        for name, text in _FILES.items():
            add_file(archive, name, text, 0o644)
        add_file(archive, "probe", data, 0o755)
        add_file(archive, "probe-setuid", data, 0o4755)
    return pack([stream.getvalue()], config={"Entrypoint": ["/probe"], "Env": ["PATH=/"]})
