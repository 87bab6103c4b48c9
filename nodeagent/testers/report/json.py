"""JSON: the run with every record, fields as in `nodeagent/testers/record.py`; `version` counts changes that break readers."""

import json
from dataclasses import asdict

from nodeagent.testers.record import Run


def write(run: Run) -> str:
    document = {
        "version": 1,
        **asdict(run),
        "exitStatus": run.exit_status,
        "counts": {str(verdict): count for verdict, count in run.counts.items()},
    }
    return json.dumps(document, indent=1) + "\n"
