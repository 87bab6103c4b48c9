"""One run of one plugin's program with whatever input: nothing is put right on the way (specification, section 2)."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cni.testing import journal
from runtimes.linux import process

TIMEOUT_SECONDS = 30.0
# what the specification, and 8 its reference library, give a meaning to; plugins' own begin with 100
_CODES = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 51})
_FIRST_OWN_CODE = 100
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a plugin ended: exit status, negative for a signal, and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON. Raises AssertionError with all that was said where it is none."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise AssertionError(f"not JSON on standard output: {self}") from None


async def call(program: Path, environment: Mapping[str, str], stdin: bytes | Mapping[str, Any]) -> Answer:
    """Run the plugin in the calling thread's namespaces; its environment is PATH and `environment`."""
    sent = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
    done = None
    try:
        done = await process.run(
            [str(program)], timeout_seconds=TIMEOUT_SECONDS, stdin=sent, env={"PATH": _PATH, **environment}
        )
    finally:
        journal.note(program, environment, sent, done)
    return Answer(status=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode(errors="replace"))


async def kill(program: Path, environment: Mapping[str, str], stdin: Mapping[str, Any], after_seconds: float) -> None:
    """Begin a run, and kill the plugin with all that it has started after a while."""
    sent, done = json.dumps(stdin).encode(), None
    try:
        with contextlib.suppress(process.ProcessTimeout):
            done = await process.run(
                [str(program)], timeout_seconds=after_seconds, stdin=sent, env={"PATH": _PATH, **environment}
            )
    finally:
        journal.note(program, environment, sent, done, killed_after_seconds=after_seconds)


def succeeded(answer: Answer) -> Answer:
    assert answer.status == 0, f"failed: {answer}"
    return answer


def refused(answer: Answer, *codes: int) -> dict[str, Any]:
    """The error object of an answer that must be one, with one of `codes` where any are given.

    Exit status not 0; one object with a numeric `code` other than 0, none that is reserved, and a `msg` (section 5, "Error").
    """
    assert answer.status != 0, f"accepted: {answer}"
    document = answer.document
    assert isinstance(document, dict), f"no error object: {answer}"
    assert isinstance(document.get("code"), int), f"an error without a code: {answer}"
    assert document["code"] > 0, f"an error with the code 0: {answer}"
    assert document["code"] in _CODES or document["code"] >= _FIRST_OWN_CODE, f"a code that is reserved: {answer}"
    assert isinstance(document.get("msg"), str), f"an error without msg: {answer}"
    if codes:
        assert document["code"] in codes, f"code {document['code']}, expected {' or '.join(map(str, codes))}: {answer}"
    return document
