"""How it is answered: errors, their codes, and what is printed."""

import sys

from .call import NOTHING, Answer, Call
from .mutant import spoils


def _with(answer: Answer, **changes: object) -> Answer:
    """An error object with other members, None to leave one out."""
    document = {**answer.document, **changes}
    return Answer(answer.status, {key: value for key, value in document.items() if value is not None})


@spoils("bridge", caught_by="E2 E13", also="E4 E6 E7 E11 E12 E14 K3")
def has_one_code_for_all(call: Call) -> Answer:
    """Every error has the code 999."""
    answer = call.real()
    return answer if answer.ok else _with(answer, code=999)


@spoils("bridge", caught_by="E12", also="E2 E4 E6 E7 E8 E9 E11 E13 E14")
def has_the_code_0(call: Call) -> Answer:
    """Every error has the code 0."""
    answer = call.real()
    return answer if answer.ok else _with(answer, code=0)


@spoils("bridge", caught_by="E6", also="E2 E4 E7 E8 E9 E11 E12 E13 E14")
def has_no_code(call: Call) -> Answer:
    """Errors have a message only."""
    answer = call.real()
    return answer if answer.ok else _with(answer, code=None)


@spoils("bridge", caught_by="E2", also="E4 E6 E7 E8 E9 E11 E12 E13 E14")
def has_codes_of_letters(call: Call) -> Answer:
    """The code of an error is a string."""
    answer = call.real()
    return answer if answer.ok else _with(answer, code=str(answer.document["code"]))


@spoils("bridge", caught_by="E4", also="E2")
def does_not_say_what_is_missing(call: Call) -> Answer:
    """The message of an error names no variable."""
    answer = call.real()
    return answer if answer.ok else _with(answer, msg="invalid environment")


@spoils("bridge", caught_by="E13", also="E2 E4 E6 E7 E8 E9 E11 E12 E14")
def fails_in_words(call: Call) -> Answer:
    """Errors are plain text."""
    answer = call.real()
    return answer if answer.ok else Answer(1, f"Error: {answer.document['msg']}\n")


@spoils("bridge", caught_by="E9", also="E2 E4 E6 E7 E8 E11 E12 E13 E14")
def fails_on_standard_error(call: Call) -> Answer:
    """Errors are printed on standard error only."""
    answer = call.real()
    if answer.ok:
        return answer
    print(answer.stdout.decode(), file=sys.stderr)
    return Answer(1, b"")


@spoils("bridge", caught_by="E14", also="E2 E4 E6 E7 E8 E9 E11 E12 E13")
def fails_with_success(call: Call) -> Answer:
    """The exit status is 0 when something is wrong."""
    return Answer(0, call.real().stdout)


@spoils("bridge", caught_by="A1", also="A2 D1 A21")
def chats_before_the_result(call: Call) -> Answer:
    """A line for people is on standard output before the result."""
    answer = call.real()
    return Answer(answer.status, b"creating bridge cni0\n" + answer.stdout) if call.command == "ADD" else answer


@spoils("bridge", caught_by="A1", also="A2 D1 A21")
def prints_no_result(call: Call) -> Answer:
    """ADD succeeds and prints nothing."""
    answer = call.real()
    return NOTHING if call.command == "ADD" and answer.ok else answer


@spoils("bridge", caught_by="A1", also="A21")
def answers_in_its_own_version(call: Call) -> Answer:
    """The result is of 0.4.0, whatever was asked."""
    answer = call.real()
    if call.command != "ADD" or not answer.ok:
        return answer
    document = answer.document
    for ip in document.get("ips", ()):
        ip["version"] = "4"
    return Answer(0, {**document, "cniVersion": "0.4.0"})


@spoils("bridge", caught_by="A21")
def prints_the_result_of_del(call: Call) -> Answer:
    """DEL prints an empty result, as ADD does."""
    answer = call.real()
    return Answer(0, {"cniVersion": "1.0.0"}) if call.command == "DEL" and answer.ok else answer
