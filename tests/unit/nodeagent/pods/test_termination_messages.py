"""nodeagent.pods.termination_messages: the messages of exited containers are read once, and forgotten with them."""

from pathlib import Path
from typing import Any

from nodeagent.pods.rules.model import Instance
from nodeagent.pods.termination_messages import TerminationMessages
from proto import cri_pb2 as cri


def dead(kit: Any, file: Path) -> Instance:
    """An exited container whose termination message is in that file."""
    instance: Instance = kit.run("c", "exited", exit_code=1)
    instance.status.mounts.add(container_path="/dev/termination-log", host_path=str(file))
    instance.status.annotations["io.kubernetes.container.terminationMessagePath"] = "/dev/termination-log"
    return instance


def message(messages: TerminationMessages, observed: Any) -> str:
    return str(messages.add_to(observed).instances[-1].status.message)


def test_what_a_container_left_is_its_message(kit: Any, tmp_path: Path) -> None:
    """Read at the first look and remembered; what runs is not looked at; the runtime's own answer stays as it is."""
    file, messages = tmp_path / "log", TerminationMessages()
    file.write_text("out of paper")
    observed = kit.observed(kit.run("d"), dead(kit, file))
    assert message(messages, observed) == "out of paper"
    assert observed.instances[-1].status.message == ""
    file.write_text("something else")
    assert message(messages, observed) == "out of paper"
    messages.forget(["c-0", "unknown"])
    assert message(messages, observed) == "something else"


def test_nothing_ended_nothing_is_copied(kit: Any) -> None:
    """The observation itself is handed on."""
    observed = kit.observed(kit.run("c"), sandboxes=(cri.PodSandboxStatus(id="s"),))
    assert TerminationMessages().add_to(observed) is observed
