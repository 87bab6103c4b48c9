"""What each event makes of a record: whole records, before and after."""

import msgspec
import pytest
from msgspec.structs import replace

from proto import cri_pb2 as cri
from runtimes.oci import records, transitions
from runtimes.oci.lifecycle import ContainerState, IllegalTransition, SandboxState
from runtimes.oci.records import ContainerRecord, ProcessRef, SandboxRecord
from runtimes.oci.users import User

INIT, MONITOR = ProcessRef(pid=7, start_ticks=1), ProcessRef(pid=6, start_ticks=1)
CONTAINER = ContainerRecord(
    id="c",
    sandbox_id="s",
    boot_id="b",
    created_at_ns=1,
    config=records.raw(cri.ContainerConfig()),
    image_id="i",
    image_ref="i",
    cgroup="/c",
)
SANDBOX = SandboxRecord(
    id="s", boot_id="b", handler="runc", created_at_ns=1, config=records.raw(cri.PodSandboxConfig())
)


def test_a_containers_way() -> None:
    """Made, started, ended: each step changes what it tells and nothing else; the record before it stays as it was."""
    user = User(uid=1, gid=2, groups=(2, 3))
    made = transitions.made(CONTAINER, user=user, init=INIT, monitor=MONITOR, create_error="")
    assert made == replace(
        CONTAINER, state=ContainerState.CREATED, uid=1, gid=2, groups=(2, 3), init=INIT, monitor=MONITOR
    )
    begun = transitions.start_begun(made, 5)
    assert begun == replace(made, state=ContainerState.STARTING, started_at_ns=5)
    assert transitions.start_undone(begun) == made
    running = transitions.started(begun)
    assert running == replace(begun, state=ContainerState.RUNNING)
    # the exit file's time is coarser than the clock: an end is never before its start
    exited = transitions.exited(running, code=1, finished_at_ns=4, reason="Error", message="m", oom_kills=2)
    assert exited == replace(
        running,
        state=ContainerState.EXITED,
        exit_code=1,
        finished_at_ns=5,
        reason="Error",
        message="m",
        oom_kills=2,
    )
    assert CONTAINER.state is ContainerState.CREATING


@pytest.mark.parametrize("state", [ContainerState.CREATED, ContainerState.STARTING])
def test_a_start_that_fails(state: ContainerState) -> None:
    """The container has exited with containerd's code and reason, and has never been started."""
    before = replace(CONTAINER, state=state, started_at_ns=5)
    assert transitions.start_failed(before, "no such file", 9) == replace(
        before,
        state=ContainerState.EXITED,
        exit_code=128,
        reason="StartError",
        message="no such file",
        started_at_ns=0,
        finished_at_ns=9,
    )


def test_an_end_is_no_beginning() -> None:
    """A container that was lost while it was being started does not run afterwards."""
    ended = replace(CONTAINER, state=ContainerState.EXITED)
    with pytest.raises(IllegalTransition, match="exited"):
        transitions.started(ended)


def test_a_sandboxs_way() -> None:
    """Connected, ready, stopped; one whose network could not be undone is stopped and remembers it."""
    connecting = transitions.connecting(SANDBOX)
    assert connecting == replace(SANDBOX, network=True)
    ready = transitions.ready(connecting, ("10.0.0.1",))
    assert ready == replace(connecting, state=SandboxState.READY, ips=("10.0.0.1",))
    stopped = transitions.stopped(ready, network=True)
    assert stopped == replace(ready, state=SandboxState.NOTREADY)
    assert transitions.stopped(stopped) == replace(stopped, network=False)


def test_records_of_yesterday() -> None:
    """What an agent before the enums has written is read, and written again with the same words."""
    written = (
        b'{"id":"c","sandbox_id":"s","boot_id":"b","created_at_ns":6,"config":{},"image_id":"i","image_ref":"r",'
        b'"cgroup":"/c","infra":false,"state":"running","started_at_ns":7,"finished_at_ns":0,"exit_code":0,"reason":"",'
        b'"message":"","create_error":"","stop_signal":15,"log_path":"","uid":1,"gid":2,"groups":[2,3],'
        b'"init":{"pid":5,"start_ticks":7},"monitor":null,"resources":{},"volumes":1,"oom_kills":0}'
    )
    found = msgspec.json.decode(written, type=ContainerRecord)
    assert (found.state, found.groups, found.init) == (
        ContainerState.RUNNING,
        (2, 3),
        ProcessRef(pid=5, start_ticks=7),
    )
    again = msgspec.json.decode(msgspec.json.encode(found), type=dict)
    assert again == {key: value for key, value in msgspec.json.decode(written).items() if key != "volumes"}
    pod = (
        b'{"id":"s","boot_id":"b","handler":"runc","created_at_ns":5,"config":{},"state":"notready","network":true,'
        b'"ips":["10.1.0.5"],"infra_id":"","made_cgroups":["/sys/fs/cgroup/pod"]}'
    )
    sandbox = msgspec.json.decode(pod, type=SandboxRecord)
    assert (sandbox.state, sandbox.ips) == (SandboxState.NOTREADY, ("10.1.0.5",))
    assert msgspec.json.decode(msgspec.json.encode(sandbox)) == msgspec.json.decode(pod)
