"""A real image registry for pods whose image has yet to be pulled, each an image that nobody has seen before."""

import subprocess
from pathlib import Path

from node_under_test import eventually, free_port

from runtimes.testing import images


class Registry:
    """Debian's docker-registry on a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._address = f"127.0.0.1:{free_port()}"
        folder.mkdir(exist_ok=True)
        config = folder / "config.yml"
        config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '{self._address}'}}\nlog: {{level: error}}\n"
        )
        self._process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def new_image(self, name: str) -> str:
        """Push an image of that name, unlike any other; its reference."""
        archive, reference = self._folder / f"{name}.tar", f"{self._address}/{name}:1"
        images.build(archive, tag=reference, files={"etc/name": name})
        argv = ["skopeo", "copy", "--dest-tls-verify=false", f"oci-archive:{archive}", f"docker://{reference}"]
        eventually(lambda: subprocess.run(argv, capture_output=True, check=False).returncode == 0, f"push of {name}")
        archive.unlink()
        return reference
