"""Lines of the probe program become facts; what is no such line spoils nothing."""

from nodeagent.isolation.probe.output import facts_of, is_complete, merged


def test_each_section_has_its_facts() -> None:
    """By name; a line that is not asked for is left out."""
    text = '{"section":"clocks","facts":{"boot ms":5}}\n{"section":"end","facts":{}}\n'
    assert facts_of(text, ["clocks"]) == {"clocks": {"boot ms": 5}}
    assert is_complete(text)


def test_what_is_missing_says_why() -> None:
    """With the last words that were no JSON: a shell's error, half a line."""
    text = 'exec format error\n{"section":"clocks","fac\n[1]\n{"section":3,"facts":{}}\n'
    assert facts_of(text, ["clocks", "files=/a"]) == {
        "clocks": {"error": 'no answer: {"section":3,"facts":{}}'},
        "files": {"error": 'no answer: {"section":3,"facts":{}}'},
    }
    assert not is_complete(text)


def test_sections_of_several_groups_are_one() -> None:
    """Their arguments together, each once, in order."""
    assert merged(["identity", "files=/a,/b", "mounts", "files=/b,/c", "identity"]) == (
        "identity",
        "files=/a,/b,/c",
        "mounts",
    )
