"""nodeagent.pods.termination_messages: the last words of containers are read once, and forgotten with them."""

from pathlib import Path
from typing import Any

from nodeagent.pods.rules.model import Instance
from nodeagent.pods.termination_messages import Upkeep
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri


class Volumes:
    def __init__(self) -> None:
        self.told: list[bool] = []

    async def refresh(self, pod: AgentPod, *, anew: bool) -> None:
        self.told.append(anew)


def dead(kit: Any, file: Path) -> Instance:
    """An exited container whose termination message is in that file."""
    instance: Instance = kit.run("c", "exited", exit_code=1)
    instance.status.mounts.add(container_path="/dev/termination-log", host_path=str(file))
    instance.status.annotations["io.kubernetes.container.terminationMessagePath"] = "/dev/termination-log"
    return instance


def message(upkeep: Upkeep, pod: AgentPod, observed: Any) -> str:
    return str(upkeep.enrich(pod, observed).instances[-1].status.message)


def test_what_a_container_left_is_its_message(kit: Any, tmp_path: Path) -> None:
    """Read at the first look and remembered; what runs is not looked at; the runtime's own answer stays as it is."""
    file, pod, upkeep = tmp_path / "log", kit.pod(["c"]), Upkeep(Volumes())
    file.write_text("out of paper")
    observed = kit.observed(kit.run("d"), dead(kit, file))
    assert message(upkeep, pod, observed) == "out of paper"
    assert observed.instances[-1].status.message == ""
    file.write_text("something else")
    assert message(upkeep, pod, observed) == "out of paper"
    upkeep.forget(["c-0", "unknown"])
    assert message(upkeep, pod, observed) == "something else"


def test_nothing_ended_nothing_is_copied(kit: Any) -> None:
    """The observation itself is handed on."""
    observed = kit.observed(kit.run("c"), sandboxes=(cri.PodSandboxStatus(id="s"),))
    assert Upkeep(Volumes()).enrich(kit.pod(["c"]), observed) is observed


async def test_volumes_are_refreshed(kit: Any) -> None:
    """With whether what they are made from has changed."""
    volumes = Volumes()
    upkeep = Upkeep(volumes)
    await upkeep.refresh(kit.pod(), anew=True)
    await upkeep.refresh(kit.pod(), anew=False)
    assert volumes.told == [True, False]
