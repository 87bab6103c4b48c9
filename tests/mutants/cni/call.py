"""One run of a plugin, as a mutant meets it: what was asked, the real plugin's answer, and tools to spoil things with.

No subprocess and no dataclasses: importing them takes longer than a plugin runs.
"""

import json
import os
from typing import Any

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Answer:
    """Exit status and standard output."""

    def __init__(self, status: int, stdout: bytes | str | dict[str, Any]) -> None:
        self.status = status
        text = json.dumps(stdout) if isinstance(stdout, dict) else stdout
        self.stdout = text.encode() if isinstance(text, str) else text

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def document(self) -> dict[str, Any]:
        """The result or the error object, a fresh copy."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


NOTHING = Answer(0, b"")


def error(message: str, code: int = 999, version: str = "1.0.0") -> Answer:
    return Answer(1, {"cniVersion": version, "code": code, "msg": message})


class Call:
    """`environment`, `stdin`: as given. `folders`: where real plugins are, `plugin`: the name of the one that is spoiled."""

    def __init__(self, plugin: str, folders: list[str], environment: dict[str, str], stdin: bytes) -> None:
        self.plugin, self._folders, self.environment, self.stdin = plugin, folders, environment, stdin

    @property
    def command(self) -> str:
        return self.environment.get("CNI_COMMAND", "")

    @property
    def container_id(self) -> str:
        return self.environment.get("CNI_CONTAINERID", "")

    @property
    def ifname(self) -> str:
        return self.environment.get("CNI_IFNAME", "")

    @property
    def netns(self) -> str:
        return self.environment.get("CNI_NETNS", "")

    @property
    def request(self) -> dict[str, Any]:
        """The configuration, a fresh copy; empty for what is no object."""
        try:
            found = json.loads(self.stdin)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def previous(self) -> dict[str, Any]:
        found = self.request.get("prevResult")
        return found if isinstance(found, dict) else {}

    @property
    def data_dir(self) -> str:
        """Where host-local keeps the network's reservations: a file an address, the container's id and interface in it."""
        request = self.request
        return f"{request['ipam']['dataDir']}/{request['name']}"

    @property
    def reservations(self) -> list[str]:
        """Paths of the files about single addresses."""
        folder = self.data_dir
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return [f"{folder}/{name}" for name in names if name[0].isdigit() or ":" in name]

    @property
    def has_namespace(self) -> bool:
        """Whether CNI_NETNS is there."""
        return bool(self.netns) and os.path.ismount(self.netns)

    @property
    def has_link(self) -> bool:
        """Whether the pod has its interface."""
        return self.has_namespace and self.ifname in json_names(self.inside("ip", "-j", "link"))

    def real(self, request: dict[str, Any] | None = None, **changes: str) -> Answer:
        """What the real plugin does, given another configuration or other variables (their names without CNI_)."""
        return self.delegate(self.plugin, request, **changes)

    def delegate(self, plugin: str, request: dict[str, Any] | None = None, **changes: str) -> Answer:
        """The same of another plugin."""
        found = [path for path in (f"{folder}/{plugin}" for folder in self._folders) if os.path.exists(path)]
        environment = {**self.environment, **{f"CNI_{name}": value for name, value in changes.items()}}
        stdin = self.stdin if request is None else json.dumps(request).encode()
        return _run(found[0], [plugin], environment, stdin)

    def host(self, *argv: str) -> str:
        """Run a program on the host. What it printed; raises OSError when it fails."""
        answer = _run(argv[0], list(argv), {"PATH": _PATH}, b"")
        if not answer.ok:
            raise OSError(f"{argv}: {answer.status}: {answer.stdout!r}")
        return answer.stdout.decode()

    def inside(self, *argv: str) -> str:
        """The same in the pod's namespace."""
        return self.host("nsenter", f"--net={self.netns}", *argv)

    def state_file(self, name: str) -> str:
        """A path in the check's own folder, for what a mutant keeps."""
        return f"{os.path.dirname(os.path.dirname(self.data_dir))}/{name}"


def json_names(listed: str) -> list[str]:
    """Names of interfaces in what `ip -j link` printed."""
    return [item["ifname"] for item in json.loads(listed) if item]


def _run(program: str, argv: list[str], environment: dict[str, str], stdin: bytes) -> Answer:
    """To its end; standard error is this process's own."""
    given, said = os.memfd_create("stdin"), os.memfd_create("stdout")
    os.write(given, stdin)
    os.lseek(given, 0, os.SEEK_SET)
    moves = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, said, 1)]
    pid = os.posix_spawnp(program, argv, environment, file_actions=moves)
    _, status = os.waitpid(pid, 0)
    size = os.lseek(said, 0, os.SEEK_END)
    return Answer(os.waitstatus_to_exitcode(status), os.pread(said, size, 0))
