"""The parts of a hollow node."""

from nodeagent.api.client import Sender
from nodeagent.assembly.board import Board
from nodeagent.assembly.host import Host
from nodeagent.assembly.parts import in_order
from nodeagent.config import Config
from nodeagent.hollow.parts import INSTEAD, LEFT_OUT, Sight, hollow_parts
from nodeagent.main import PARTS
from nodeagent.pods.manager_handle import ManagerHandle

GIVEN = (Config, Host, Board, ManagerHandle, Sender, Sight)


def test_they_fit_together_without_what_is_left_out() -> None:
    """Nothing that a hollow node has needs a part that it has not."""
    assert len(in_order(hollow_parts(), GIVEN)) == len(PARTS) - len(LEFT_OUT) + 1


def test_what_is_named_is_a_part_of_an_agent() -> None:
    """A part that is renamed or gone is renamed here too; what stands in its place gives what it gave."""
    real = {part.name: part for part in PARTS}
    assert set(real) >= LEFT_OUT | set(INSTEAD)
    assert not LEFT_OUT & set(INSTEAD)
    for name, part in INSTEAD.items():
        assert (part.name, part.provides) == (name, real[name].provides)
