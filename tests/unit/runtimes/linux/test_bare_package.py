"""A package's modules without the package's own code."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = {
    "big/__init__.py": "import sys\nsys.stdout.write('whole ')\nfrom big.heavy import Client\n",
    "big/heavy.py": "class Client: pass\n",
    "big/models.py": "NAME = 'model'\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def said(folder: Path, code: str) -> str:
    lines = (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom runtimes.linux.bare_package import bare_package\n{code}"
    )
    return subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True, text=True).stdout


def test_a_module_comes_without_the_package(folder: Path) -> None:
    """The package's code does not run for one of its modules."""
    code = "bare_package('big')\nimport big.models\nprint(big.models.NAME, 'big.heavy' in sys.modules)"
    assert said(folder, code) == "model False\n"


def test_who_asks_the_package_for_a_name_gets_it_whole(folder: Path) -> None:
    """Somebody else in the process may want the library as it is: once, with the modules that are there already."""
    code = (
        "bare_package('big')\nimport big.models as before\nfrom big import Client\nimport big\n"
        "print(Client.__name__, big.models is before, big.Client is Client)"
    )
    assert said(folder, code) == "whole Client True True\n"


def test_a_package_that_is_there_stays(folder: Path) -> None:
    """Imported already, or not installed: nothing happens."""
    assert said(
        folder, "import big\nbare_package('big')\nbare_package('no_such_package')\nprint(big.Client.__name__)"
    ) == ("whole Client\n")
