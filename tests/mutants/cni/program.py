"""Programs of mutants, a file each."""

import os
import sys
from pathlib import Path

from .mutant import Mutant, Odd

BROKEN = "broken"


def write(folder: Path, mutant: Mutant | Odd, real: list[str]) -> Path:
    """A folder for --cni-bin-dir, below `folder`; `real` are those of the real plugins. What goes wrong in the mutant itself,
    and is no fault that it has on purpose, is written to `folder`/broken."""
    home = folder / mutant.name
    home.mkdir(parents=True)
    here = Path(__file__).resolve().parent
    module = mutant.body.__module__.rpartition(".")[2]
    program = home / mutant.plugin
    program.write_text(
        f"#!{os.path.realpath(sys.executable)} -SE\n"
        f"import sys\nsys.path.insert(0, {str(here.parent)!r})\nfrom {here.name}.main import main\n"
        f"main({module!r}, {mutant.name!r}, {real!r}, {str(folder / BROKEN)!r})\n"
    )
    program.chmod(0o755)
    return home
