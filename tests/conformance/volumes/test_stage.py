"""What the types promise that stage their volumes on the node."""

import pytest
from volume_subjects import Place, struck

pytestmark = pytest.mark.node


async def test_pods_share_it(staged_place: Place) -> None:
    """One staging however often and by whom it is asked for; each pod sees what the others write, until it goes itself."""
    one, other = staged_place.request("one"), staged_place.request("other")
    for request in (one, other, one):
        await staged_place.agent().stage(request)
    assert len(staged_place.mounts()) == 1
    first, second = [await staged_place.agent().publish(request) for request in (one, other)]
    (first.host_path / "file").write_text("shared")
    assert (second.host_path / "file").read_text() == "shared"
    await staged_place.agent().unpublish("one", one.directory_name)
    assert (second.host_path / "file").read_text() == "shared"
    assert len(staged_place.mounts()) == 2
    await staged_place.agent().unpublish("other", other.directory_name)
    assert len(staged_place.mounts()) == 1
    volume_id = staged_place.agent().volume_id(one.source)
    assert volume_id == staged_place.agent().volume_id(other.source)
    for _ in range(2):
        await staged_place.agent().unstage(volume_id)
    assert staged_place.left() == []


async def test_an_agent_that_ends_in_the_middle_of_it(staged_place: Place) -> None:
    """The next one unstages the half, knowing the volume's id alone."""
    strikes, at, request = 0, ["the first"], staged_place.request()
    while at:
        with struck(staged_place.root, strikes) as at:
            await staged_place.agent().stage(request)
        with struck(staged_place.root, strikes):
            await staged_place.agent().unstage(staged_place.agent().volume_id(request.source))
        await staged_place.agent().unstage(staged_place.agent().volume_id(request.source))
        assert staged_place.left() == []
        strikes += 1


async def test_what_stages_nothing_says_so(unstaged_place: Place) -> None:
    """Then its volumes are no node's, and what could be called does nothing."""
    agent, request = unstaged_place.agent(), unstaged_place.request()
    assert not agent.capabilities(request.source).node_wide
    await agent.attach(request)
    await agent.stage(request)
    await agent.unstage(agent.volume_id(request.source))
    assert unstaged_place.left() == []
