"""What the types promise that stage their volumes on the node."""

import pytest
from volume_subjects import Place, Subject, struck

pytestmark = pytest.mark.node


@pytest.fixture
def staged(place: Place) -> Place:
    if not place.agent().capabilities(place.request().source).stage:
        pytest.skip("it has nothing to stage")
    return place


async def test_pods_share_it(staged: Place) -> None:
    """One staging however often and by whom it is asked for; each pod sees what the others write, until it goes itself."""
    one, other = staged.request("one"), staged.request("other")
    for request in (one, other, one):
        await staged.agent().stage(request)
    assert len(staged.mounts()) == 1
    first, second = [await staged.agent().publish(request) for request in (one, other)]
    (first.host_path / "file").write_text("shared")
    assert (second.host_path / "file").read_text() == "shared"
    await staged.agent().unpublish("one", one.directory_name)
    assert (second.host_path / "file").read_text() == "shared"
    assert len(staged.mounts()) == 2
    await staged.agent().unpublish("other", other.directory_name)
    assert len(staged.mounts()) == 1
    volume_id = staged.agent().volume_id(one.source)
    assert volume_id == staged.agent().volume_id(other.source)
    for _ in range(2):
        await staged.agent().unstage(volume_id)
    assert staged.left() == []


async def test_an_agent_that_ends_in_the_middle_of_it(staged: Place) -> None:
    """The next one unstages the half, knowing the volume's id alone."""
    strikes, at, request = 0, ["the first"], staged.request()
    while at:
        with struck(staged.root, strikes) as at:
            await staged.agent().stage(request)
        with struck(staged.root, strikes):
            await staged.agent().unstage(staged.agent().volume_id(request.source))
        await staged.agent().unstage(staged.agent().volume_id(request.source))
        assert staged.left() == []
        strikes += 1


async def test_what_stages_nothing_says_so(subject: Subject, place: Place) -> None:
    """Then its volumes are no node's: they have no id, and what could be called does nothing."""
    agent, request = place.agent(), place.request()
    if agent.capabilities(request.source).node_wide:
        pytest.skip("it stages")
    assert agent.volume_id(request.source) == ""
    await agent.attach(request)
    await agent.stage(request)
    await agent.unstage("")
    assert place.left() == []
