import os
import threading
from pathlib import Path

from runtimes.oci.images.feed import Sink, unblock


def start(path: Path, done: list[str]) -> threading.Thread:
    def write() -> None:
        sink = Sink(path)
        sink.write(b"x" * 3_000_000)
        sink.close()
        done.append("written")

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_everything_arrives(tmp_path: Path) -> None:
    """The reader gets every byte, and then the end."""
    os.mkfifo(tmp_path / "p")
    done: list[str] = []
    thread = start(tmp_path / "p", done)
    assert (tmp_path / "p").read_bytes() == b"x" * 3_000_000
    thread.join(10)
    assert done == ["written"]


def test_reader_goes_away(tmp_path: Path) -> None:
    """A reader that dies in the middle does not keep the writer."""
    os.mkfifo(tmp_path / "p")
    done: list[str] = []
    thread = start(tmp_path / "p", done)
    with (tmp_path / "p").open("rb", buffering=0) as reader:
        reader.read(1000)
    thread.join(10)
    assert done == ["written"]


def test_nobody_reads(tmp_path: Path) -> None:
    """Who waits for a reader is let go, and who comes later does not wait."""
    os.mkfifo(tmp_path / "p")
    done: list[str] = []
    thread = start(tmp_path / "p", done)
    while thread.is_alive():
        unblock([tmp_path / "p"])
        thread.join(0.01)
    start(tmp_path / "p", done).join(10)
    unblock([tmp_path / "p"])
    assert done == ["written", "written"]
