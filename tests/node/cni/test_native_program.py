"""The executable `nodeagent-cni`, as another runtime calls it: the protocol, and the same behind this door (test_native.py)."""

import sys
from pathlib import Path

import pytest

from cni.native.request import TYPE
from cni.testing.cases.test_add import *
from cni.testing.cases.test_concurrency import test_p2_adds_beside_dels, test_p4_killed_in_the_middle_of_add
from cni.testing.cases.test_delete import *
from cni.testing.cases.test_protocol import *
from cni.testing.fixtures import network
from cni.testing.implementation import Implementation

from .conftest import PLUGINS
from .test_native import DUAL_STACK

__all__ = ["network", "test_p2_adds_beside_dels", "test_p4_killed_in_the_middle_of_add"]

pytestmark = [pytest.mark.node, pytest.mark.asyncio]


@pytest.fixture
def network_implementation(tmp_path_factory: pytest.TempPathFactory) -> Implementation:
    return Implementation(
        name="native program",
        document={**DUAL_STACK, "cniVersion": "1.0.0"},
        bin_dirs=(program_folder(tmp_path_factory.mktemp("program") / "bin"), PLUGINS),
        exceptions={"A20": "it keeps addresses itself: there is no program to miss"},
    )


def program_folder(folder: Path, site: Path = Path(__file__).parents[3]) -> Path:
    """A folder with the program, as pip makes it of what is in `site`."""
    folder.mkdir()
    program = folder / TYPE
    text = f"import sys\nsys.path.insert(0, {str(site)!r})\nfrom cni.native.protocol import main\nsys.exit(main())\n"
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(0o755)
    return folder
