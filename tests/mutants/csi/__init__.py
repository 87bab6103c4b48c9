"""CSI drivers that are faulty, or odd but allowed: what proves that csi/testing tests (tests/conformance/csi/test_mutants.py).

driver.py is what such a driver is; serving.py the process in which they run; plugin.py and cases.py the shipped suite on them,
proof.py a run of it; page.py what is published of it. The mutants are in the other files, the odd ones in odd.py.
"""

from typing import Final

from tests.mutants.csi import (
    attach,
    create,
    data,
    expand,
    groups,
    identity,
    leaks,
    lists,
    modify,
    node,
    odd,
    ownership,
    races,
    restarts,
    secrets,
    snapshot_metadata,
    snapshots,
)
from tests.mutants.csi.driver import Mutant, Odd

_FILES: Final = (
    *(identity, create, lists, snapshots, snapshot_metadata, groups, attach, expand, modify),
    *(node, races, restarts, data, ownership, secrets, leaks),
)
MUTANTS: Final = {
    name: found
    for file in _FILES
    for name, found in vars(file).items()
    if isinstance(found, type) and issubclass(found, Mutant) and hasattr(found, "caught_by")
}
ODD: Final = {
    name: found
    for name, found in vars(odd).items()
    if isinstance(found, type) and issubclass(found, Odd) and found is not Odd
}
