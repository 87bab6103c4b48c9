"""The small FlexVolume driver (tests/support/flex-driver) as tests install it."""

import shutil
from pathlib import Path

PROGRAM = Path(__file__).parent / "flex-driver"


class InstalledDriver:
    """`vendor~kind` in a folder of drivers; `kind`: "staged" or "plain"."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.directory = folder / f"example.com~{kind}"
        self.program = self.directory / kind
        self.name = f"example.com/{kind}"

    def install(self) -> None:
        """As drivers' own installers do it: written under a name with a dot, renamed into place."""
        self.directory.mkdir(parents=True, exist_ok=True)
        being_written = self.directory / f".{self.program.name}"
        shutil.copy(PROGRAM, being_written)
        being_written.rename(self.program)

    def remove(self) -> None:
        self.program.unlink()

    def calls(self) -> list[list[str]]:
        """The arguments of each call until now."""
        log = self.program.with_name(f"{self.program.name}.calls")
        return [line.split(" ", 3) for line in log.read_text(errors="replace").splitlines()] if log.exists() else []

    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls()]

    def strike(self, how: str, verb: str) -> None:
        """Let a verb "fail" or "hang" from now on."""
        self.program.with_name(f"{self.program.name}.{how}-{verb}").touch()

    def heal(self, how: str, verb: str) -> None:
        self.program.with_name(f"{self.program.name}.{how}-{verb}").unlink()
