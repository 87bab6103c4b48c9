"""`nodeagent cni test`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nodeagent.cli.path_option import path
from nodeagent.cli.testers import options
from nodeagent.cli.testers.options import carried_out, choice

_WORKERS = min(4, len(os.sched_getaffinity(0)))


def test(
    conf: Annotated[
        Path | None,
        typer.Option("--conf", metavar="FILE", parser=path, help="The network: a .conflist, .conf or .json."),
    ] = None,
    conf_dir: Annotated[
        Path | None,
        typer.Option("--conf-dir", metavar="FOLDER", parser=path, help="Instead: the first usable file, as on a node."),
    ] = None,
    plugin: Annotated[
        str, typer.Option("--plugin", metavar="NAME", help="Instead: a network of that plugin, made for the purpose.")
    ] = "",
    bin_dir: Annotated[
        list[Path] | None,
        typer.Option(
            "--bin-dir",
            metavar="FOLDER",
            parser=path,
            help="Where plugins are; repeatable. Default: /opt/cni/bin, /usr/lib/cni, /usr/libexec/cni.",
        ),
    ] = None,
    known_flaws: Annotated[
        list[str] | None,
        typer.Option(
            "--known-flaws", metavar="RELEASE", help="Tell what is known of it, as containernetworking-1.1.1."
        ),
    ] = None,
    exceptions: options.ExceptionsOption = None,
    run: options.RunOption = None,
    skip: options.SkipOption = None,
    list_only: options.ListOption = False,
    level: options.LevelOption = "must",
    output: options.OutputsOption = None,
    workers: options.WorkersOption = _WORKERS,
) -> None:
    """Test a CNI plugin, or a chain of them, on hosts made of fresh namespaces. Exit code 1: it breaks a rule that counts."""

    def carry_out() -> int:
        from cni.testing.chosen import Chosen
        from nodeagent.testers import cni

        network = Chosen(
            conf=conf,
            conf_dir=conf_dir,
            plugin=plugin,
            bin_dirs=tuple(bin_dir or ()),
            exceptions=exceptions,
            known_flaws=tuple(known_flaws or ()),
        )
        return cni.run(network, choice(run, skip, list_only, level, output, workers))

    raise typer.Exit(carried_out(carry_out))
