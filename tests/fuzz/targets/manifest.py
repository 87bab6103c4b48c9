"""Static pods' manifests, as an operator writes them or a URL sends them."""

import json
from typing import Any

import yaml

from nodeagent.sources.manifest import InvalidManifest, StaticRules, decode, static_pod
from tests.fuzz.contract import Target
from tests.fuzz.grammar import lines, near
from tests.fuzz.samples import PODS

_RULES = StaticRules(node_name="n1", tolerate=True)


def _run(data: bytes) -> None:
    static_pod(decode(data), "/etc/manifests/a.yaml", _RULES)


def _yaml(document: Any) -> bytes:
    return yaml.dump(
        json.loads(json.dumps(document).replace("\\ud800", "?")), Dumper=yaml.CSafeDumper, allow_unicode=True
    ).encode()


TARGET = Target(
    name="manifest",
    run=_run,
    allowed=(InvalidManifest,),
    inputs=near(*PODS)
    | near(*PODS, dump=_yaml)
    | lines(
        ("a: ", "&a ", "*a", "[", "]", "<<: *a", "1e400", "2026-99-99", "!!binary ", "? "),
        ("apiVersion: v1", "kind: Pod"),
    ),
    words=(b"&a [*a]", b"!!binary YQ==", b"2026-99-99", b".nan", b"0o9", b"!!set {a}", b"? [a]\n: b"),
)
