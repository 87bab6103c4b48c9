"""When the node last shut down: a kubelet's file, and the metrics made of it."""

import json
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from nodeagent.metrics.shutdown import register
from nodeagent.shutdown.record import FILE, NEVER, LastShutdown, ShutdownRecord

BEGAN, ENDED = datetime(2026, 11, 28, 21, 0, 0, tzinfo=UTC), datetime(2026, 11, 28, 21, 0, 9, tzinfo=UTC)


def shown(record: ShutdownRecord) -> tuple[float | None, float | None]:
    registry = CollectorRegistry()
    register(registry, record)
    return (
        registry.get_sample_value("kubelet_graceful_shutdown_start_time_seconds"),
        registry.get_sample_value("kubelet_graceful_shutdown_end_time_seconds"),
    )


async def test_what_one_agent_writes_the_next_one_shows(tmp_path: Path) -> None:
    """Never at first; a shutdown that is under way has no end, not that of the one before."""
    record = ShutdownRecord(tmp_path)
    assert shown(record) == (0, 0)
    await record.began(BEGAN)
    assert shown(record) == shown(ShutdownRecord(tmp_path)) == (BEGAN.timestamp(), 0)
    await record.ended(ENDED)
    assert shown(record) == shown(ShutdownRecord(tmp_path)) == (BEGAN.timestamp(), ENDED.timestamp())
    await record.began(ENDED)
    assert ShutdownRecord(tmp_path).last == LastShutdown(start_time=ENDED, end_time=NEVER)


def test_a_kubelets_file(tmp_path: Path) -> None:
    """Go's times: nanoseconds, a zone, the zero time."""
    text = {"startTime": "2026-11-28T22:00:00.123456789+01:00", "endTime": "0001-01-01T00:00:00Z"}
    (tmp_path / FILE).write_text(json.dumps(text))
    assert shown(ShutdownRecord(tmp_path)) == (BEGAN.timestamp(), 0)


async def test_a_disk_that_fails_holds_up_nothing(tmp_path: Path) -> None:
    """Garbage is as good as nothing; what cannot be written is known until the agent ends."""
    (tmp_path / FILE).write_text("{")
    assert ShutdownRecord(tmp_path).last == LastShutdown()
    record = ShutdownRecord(tmp_path / "gone")
    await record.began(BEGAN)
    assert record.last.start_time == BEGAN
