"""What each event makes of a record. Pure: given to `Core.update_…`, which writes the result down and then publishes it."""

from msgspec.structs import replace

from runtimes.oci.lifecycle import ContainerEvent, SandboxEvent, next_state
from runtimes.oci.records import ContainerRecord, ProcessRef, SandboxRecord
from runtimes.oci.users import User

START_ERROR = "StartError"
START_ERROR_EXIT_CODE = 128  # what containerd reports for a container that could not be started
OOM_KILLED = "OOMKilled"
UNKNOWN = "Unknown"


def made(
    record: ContainerRecord, *, user: User, init: ProcessRef | None, monitor: ProcessRef | None, create_error: str
) -> ContainerRecord:
    """The OCI runtime has made the container's first process, or has refused to and said why."""
    return replace(
        record,
        state=next_state(record.state, ContainerEvent.MADE, record.id),
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        init=init,
        monitor=monitor,
        create_error=create_error,
    )


def start_begun(record: ContainerRecord, now_ns: int) -> ContainerRecord:
    return replace(record, state=next_state(record.state, ContainerEvent.START_BEGUN, record.id), started_at_ns=now_ns)


def started(record: ContainerRecord) -> ContainerRecord:
    return replace(record, state=next_state(record.state, ContainerEvent.STARTED, record.id))


def start_undone(record: ContainerRecord) -> ContainerRecord:
    """Nothing of it has run: its end will not be one of a run."""
    return replace(record, state=next_state(record.state, ContainerEvent.START_UNDONE, record.id), started_at_ns=0)


def start_failed(record: ContainerRecord, message: str, now_ns: int) -> ContainerRecord:
    """The container never ran its program, and says why."""
    return replace(
        record,
        state=next_state(record.state, ContainerEvent.START_FAILED, record.id),
        exit_code=START_ERROR_EXIT_CODE,
        reason=START_ERROR,
        message=message,
        started_at_ns=0,
        finished_at_ns=now_ns,
    )


def exited(
    record: ContainerRecord, *, code: int, finished_at_ns: int, reason: str, message: str = "", oom_kills: int = 0
) -> ContainerRecord:
    return replace(
        record,
        state=next_state(record.state, ContainerEvent.EXITED, record.id),
        exit_code=code,
        finished_at_ns=max(finished_at_ns, record.started_at_ns),  # file times are coarser than the clock
        reason=reason,
        message=message,
        oom_kills=oom_kills,
    )


def exit_reason(code: int) -> str:
    return "Completed" if code == 0 else "Error"


def connecting(record: SandboxRecord) -> SandboxRecord:
    """CNI ADD begins: from now on there may be something to undo."""
    return replace(record, network=True)


def ready(record: SandboxRecord, ips: tuple[str, ...]) -> SandboxRecord:
    return replace(record, state=next_state(record.state, SandboxEvent.MADE, record.id), ips=ips)


def stopped(record: SandboxRecord, *, network: bool = False) -> SandboxRecord:
    """`network`: something of it is left, for the next stop to undo."""
    return replace(record, state=next_state(record.state, SandboxEvent.STOPPED, record.id), network=network)
