"""`nodeagent csi test`."""

from pathlib import Path
from typing import Annotated

import typer

from nodeagent.cli.path_option import path
from nodeagent.cli.testers import options
from nodeagent.cli.testers.options import carried_out, choice

_Pairs = list[str] | None


def test(
    endpoint: Annotated[str, typer.Option("--endpoint", metavar="unix:///PATH", help="The driver.")] = "",
    controller_endpoint: Annotated[
        str, typer.Option("--controller-endpoint", metavar="unix:///PATH", help="Its Controller service, if elsewhere.")
    ] = "",
    node_only: Annotated[bool, typer.Option("--node-only", help="Leave the Controller service alone.")] = False,
    volume_id: Annotated[
        str, typer.Option("--volume-id", metavar="ID", help="A volume that is there, where none can be made.")
    ] = "",
    volume_context: Annotated[
        _Pairs, typer.Option("--volume-context", metavar="KEY=VALUE", help="Its context; repeatable.")
    ] = None,
    parameters: Annotated[
        _Pairs, typer.Option("--parameters", metavar="KEY=VALUE", help="Of CreateVolume; repeatable.")
    ] = None,
    mutable_parameters: Annotated[
        _Pairs, typer.Option("--mutable-parameters", metavar="KEY=VALUE", help="Of ControllerModifyVolume; repeatable.")
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option("--secrets", metavar="FILE", parser=path, help="YAML or JSON: call -> its secrets."),
    ] = None,
    volume_size: Annotated[str, typer.Option("--volume-size", metavar="QUANTITY", help="Of new volumes.")] = "10Gi",
    expand_by: Annotated[str, typer.Option("--expand-by", metavar="QUANTITY", help="How much they grow.")] = "1Gi",
    fs_type: Annotated[str, typer.Option("--fs-type", metavar="NAME", help="Default: the driver's choice.")] = "",
    workdir: Annotated[
        Path | None,
        typer.Option(
            "--workdir", metavar="DIR", parser=path, help="Where to mount; the driver sees it by the same path."
        ),
    ] = None,
    second_node_id: Annotated[
        str, typer.Option("--second-node-id", metavar="ID", help="Another node that the Controller knows.")
    ] = "",
    patience: Annotated[
        float,
        typer.Option("--patience", metavar="SECONDS", min=0, help="For ABORTED to end, and snapshots to be ready."),
    ] = 60.0,
    restart: Annotated[
        str, typer.Option("--restart", metavar="COMMAND", help="Ends the driver at once and starts it again; no shell.")
    ] = "",
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", parser=path, help="What the driver writes: searched for secrets."),
    ] = None,
    exceptions: options.ExceptionsOption = None,
    run: options.RunOption = None,
    skip: options.SkipOption = None,
    list_only: options.ListOption = False,
    level: options.LevelOption = "must",
    output: options.OutputsOption = None,
    workers: options.WorkersOption = 1,
) -> None:
    """Test a CSI driver that listens on a unix socket of this machine. Exit code 1: it breaks a rule that counts."""

    def carry_out() -> int:
        from csi.testing.chosen import Chosen
        from nodeagent.testers import csi

        driver = Chosen(
            endpoint=endpoint,
            controller_endpoint=controller_endpoint,
            node_only=node_only,
            volume_id=volume_id,
            volume_context=volume_context or (),
            parameters=parameters or (),
            mutable_parameters=mutable_parameters or (),
            secrets=secrets,
            volume_size=volume_size,
            expand_by=expand_by,
            fs_type=fs_type,
            workdir=workdir,
            second_node_id=second_node_id,
            patience=patience,
            restart=restart,
            log=log,
            exceptions=exceptions,
        )
        return csi.run(driver, choice(run, skip, list_only, level, output, workers))

    raise typer.Exit(carried_out(carry_out))
