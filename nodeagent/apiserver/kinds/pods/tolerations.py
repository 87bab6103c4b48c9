"""Two lists of tolerations made one, without those that another one covers."""

from runtimes.kube.json_object import JsonObject


def merge_tolerations(first: list[JsonObject], second: list[JsonObject]) -> list[JsonObject]:
    """Both lists in order. A toleration that another one covers is left out; of equal ones the first stays."""
    every = [*first, *second]
    merged: list[JsonObject] = []
    for index, item in enumerate(every):
        if any(covers(kept, item) for kept in merged):
            continue
        if any(other != item and covers(other, item) for other in every[index + 1 :]):
            continue
        merged.append(item)
    return merged


def covers(wide: JsonObject, narrow: JsonObject) -> bool:
    """Whether every taint that `narrow` tolerates is tolerated by `wide` for as long."""
    if wide == narrow:
        return True
    operator = wide.get("operator") or ""
    if _text(wide, "key") != _text(narrow, "key") and (_text(wide, "key") or operator != "Exists"):
        return False
    if _text(wide, "effect") not in ("", _text(narrow, "effect")):
        return False
    if _text(wide, "effect") == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > wide["tolerationSeconds"]:
            return False
    if operator in ("", "Equal"):
        return _text(narrow, "operator") == "Equal" and _text(narrow, "value") == _text(wide, "value")
    return bool(operator == "Exists")


def _text(toleration: JsonObject, name: str) -> str:
    return str(toleration.get(name) or "")
