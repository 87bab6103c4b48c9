"""`nodeagent hollow`: check the options together, and hand over to the fleet."""

import typer

from nodeagent.hollow.settings import FleetSettings
from runtimes.kube import names, quantity


def memory_bytes(text: str) -> int:
    """Raises typer.BadParameter."""
    try:
        found = quantity.value(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--memory") from None
    if found <= 0:
        raise typer.BadParameter(f"{text}: a node needs some", param_hint="--memory")
    return found


def checked_name(text: str, option: str) -> str:
    """Raises typer.BadParameter."""
    if reasons := names.dns1123_label(text):
        raise typer.BadParameter(f"{text!r}: {'; '.join(reasons)}", param_hint=option)
    return text


def all_pods(nodes: int, pods: int | None, pods_per_node: int | None) -> int:
    """Raises typer.BadParameter."""
    if pods is not None and pods_per_node is not None:
        raise typer.BadParameter("give --pods, of all nodes, or --pods-per-node", param_hint="--pods")
    return pods if pods is not None else nodes * (pods_per_node or 0)


def run(settings: FleetSettings, log_level: str, log_format: str) -> int:
    """The fleet's exit status. Raises typer.BadParameter."""
    if settings.keep and settings.kubeconfig is None and settings.state_dir is None:
        raise typer.BadParameter(
            "an embedded API without a --state-dir goes with the fleet: nothing can stay", param_hint="--keep"
        )
    if settings.kubeconfig is not None and settings.state_dir is not None:
        raise typer.BadParameter("of the embedded API, and --kubeconfig names another", param_hint="--state-dir")
    checked_name(settings.node_names[-1], "--name")
    from nodeagent.hollow.fleet import run as carry_out

    return carry_out(settings, log_level=log_level or "info", log_format=log_format or "text")
