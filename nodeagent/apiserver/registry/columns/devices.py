"""Rows of the kinds of dynamic resource allocation."""

from datetime import datetime

from nodeagent.apiserver.registry.table import AGE, NAME, Cell, TableView, age_of, column, name_of
from runtimes.kube.json_object import JsonObject


def _claim(claim: JsonObject, now: datetime) -> list[Cell]:
    status = claim.get("status") or {}
    states = [
        name
        for name, there in (
            ("deleted", claim["metadata"].get("deletionTimestamp")),
            ("allocated", status.get("allocation")),
            ("reserved", status.get("reservedFor")),
        )
        if there
    ]
    return [name_of(claim), ",".join(states) or "pending", age_of(claim, now)]


def _named(obj: JsonObject, now: datetime) -> list[Cell]:
    return [name_of(obj), age_of(obj, now)]


def _slice(each: JsonObject, now: datetime) -> list[Cell]:
    spec = each.get("spec") or {}
    where = spec.get("nodeName") or ("*" if spec.get("allNodes") else "<selector>")
    return [
        name_of(each),
        where,
        spec.get("driver") or "",
        (spec.get("pool") or {}).get("name") or "",
        age_of(each, now),
    ]


CLAIMS = TableView(columns=(NAME, column("State"), AGE), cells=_claim)
CLASSES = TableView(columns=(NAME, AGE), cells=_named)
TEMPLATES = TableView(columns=(NAME, AGE), cells=_named)
SLICES = TableView(columns=(NAME, column("Node"), column("Driver"), column("Pool"), AGE), cells=_slice)
