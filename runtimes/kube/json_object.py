"""JSON objects as Python holds them."""

from typing import Any

JsonObject = dict[str, Any]
"""A JSON object, as `json.loads` and PyYAML give it; of the Kubernetes API or not."""
