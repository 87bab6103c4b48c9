"""The commands of `nodeagent` and their options. What they do is in a file each, imported when the command is run."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from nodeagent.cli.output import Output
from nodeagent.cli.path_option import path
from nodeagent.cli.testers.cni import test as test_cni
from nodeagent.cli.testers.csi import test as test_csi

# Boxes and colours only for somebody who looks at them.
_MARKUP: Literal["rich"] | None = "rich" if sys.stdout.isatty() and sys.stderr.isatty() else None

app = typer.Typer(
    name="nodeagent",
    help="Make this machine a Kubernetes node.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=_MARKUP,
)
image = typer.Typer(
    help="The images of the engine's store. Works beside a running agent and without one.", rich_markup_mode=_MARKUP
)
app.add_typer(image, name="image", no_args_is_help=True)
runtime = typer.Typer(help="The node's container runtimes.", rich_markup_mode=_MARKUP)
app.add_typer(runtime, name="runtime", no_args_is_help=True)
csi = typer.Typer(help="Storage by CSI drivers.", rich_markup_mode=_MARKUP)
app.add_typer(csi, name="csi", no_args_is_help=True)
csi.command("test")(test_csi)
cni = typer.Typer(help="Networks by CNI plugins.", rich_markup_mode=_MARKUP)
app.add_typer(cni, name="cni", no_args_is_help=True)
cni.command("test")(test_cni)


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", parser=path, help="KubeletConfiguration and NodeAgentConfiguration documents."
    ),
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        parser=path,
        help="How to reach the API; in a pod, its service account's folder.",
    ),
]
RootDirOption = Annotated[
    Path, typer.Option("--root-dir", metavar="DIR", parser=path, help="Pod volumes and plugin sockets.")
]
StateDirOption = Annotated[
    Path,
    typer.Option(
        "--state-dir", metavar="DIR", parser=path, help="The engine's images and records, the embedded API's store."
    ),
]
RunDirOption = Annotated[
    Path, typer.Option("--run-dir", metavar="DIR", parser=path, help="Sockets and pinned namespaces.")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="What to print.")]
NodeNameOption = Annotated[str, typer.Option("--node-name", metavar="NAME", help="Default: the host name.")]

ROOT_DIR = Path("/var/lib/kubelet")
STATE_DIR = Path("/var/lib/nodeagent")
RUN_DIR = Path("/run/nodeagent")


@app.command()
def run(
    context: typer.Context,
    standalone: Annotated[bool, typer.Option("--standalone", help="Serve an embedded Kubernetes API.")] = False,
    kubeconfig: KubeconfigOption = None,
    bootstrap_kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--bootstrap-kubeconfig",
            metavar="FILE",
            parser=path,
            help="Asks for a client certificate, and writes --kubeconfig, where that has no valid one.",
        ),
    ] = None,
    config: ConfigOption = None,
    root_dir: RootDirOption = ROOT_DIR,
    state_dir: StateDirOption = STATE_DIR,
    run_dir: RunDirOption = RUN_DIR,
    container_logs_dir: Annotated[
        Path,
        typer.Option("--container-logs-dir", metavar="DIR", parser=path, help="Links to the log of each container."),
    ] = Path("/var/log/containers"),
    node_name: NodeNameOption = "",
    node_ip: Annotated[str, typer.Option("--node-ip", metavar="IP", help="Default: that of the default route.")] = "",
    node_labels: Annotated[
        str, typer.Option("--node-labels", metavar="K=V,...", help="Labels that this node registers with.")
    ] = "",
    image_credential_provider_config: Annotated[
        Path | None,
        typer.Option(
            "--image-credential-provider-config",
            metavar="PATH",
            parser=path,
            help="CredentialProviderConfig: a file or a folder.",
        ),
    ] = None,
    image_credential_provider_bin_dir: Annotated[
        Path | None,
        typer.Option("--image-credential-provider-bin-dir", metavar="DIR", parser=path, help="Its programs."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info (the default), warning, error.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="FORMAT", help="text (the default) or json.")
    ] = None,
) -> None:
    """Run the agent until it is told to stop. Pods outlive it."""
    from nodeagent.cli import option_values as values
    from nodeagent.config import Options

    options = Options(
        config_file=config,
        kubeconfig=kubeconfig,
        bootstrap_kubeconfig=bootstrap_kubeconfig,
        standalone=standalone,
        root_dir=root_dir,
        state_dir=state_dir,
        run_dir=run_dir,
        container_logs_dir=container_logs_dir,
        node_name=values.checked_name(node_name),
        node_ip=values.checked_ip(node_ip),
        node_labels=values.parse_labels(node_labels),
        image_credential_provider_config=image_credential_provider_config,
        image_credential_provider_bin_dir=image_credential_provider_bin_dir,
        log_level=values.checked_word("--log-level", log_level, values.LOG_LEVELS),
        log_format=values.checked_word("--log-format", log_format, values.LOG_FORMATS),
    )
    if context.obj is not None:  # this process is there for the command line alone
        context.obj(options)
        return
    from nodeagent.cli.run import run as carry_out

    raise typer.Exit(carry_out(options))


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def kubelet(context: typer.Context) -> None:
    """Run the agent by a kubelet's own flags, in a kubelet's place. Flags: see its --help."""
    from nodeagent.cli.kubelet import run as carry_out

    raise typer.Exit(carry_out(context.args))


@app.command()
def check(
    config: ConfigOption = None,
    standalone: Annotated[bool, typer.Option("--standalone", help="Also what the embedded API needs.")] = False,
    kubeconfig: KubeconfigOption = None,
    root_dir: RootDirOption = ROOT_DIR,
    state_dir: StateDirOption = STATE_DIR,
    output: OutputOption = Output.TABLE,
) -> None:
    """Look at every requirement of this machine, and at what is not safe. Exit code 1: a pod could not run here."""
    from nodeagent.cli import check as command
    from nodeagent.config import Options

    options = Options(
        config_file=config, kubeconfig=kubeconfig, standalone=standalone, root_dir=root_dir, state_dir=state_dir
    )
    raise typer.Exit(command.run(options, output))


@app.command()
def status(
    state_dir: StateDirOption = STATE_DIR,
    kubeconfig: KubeconfigOption = None,
    node_name: Annotated[str, typer.Option("--node-name", metavar="NAME", help="Only this node and its pods.")] = "",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what is being done for each pod, and since when.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the node and its pods as the API knows them. Exit code 1: a node is not Ready."""
    from nodeagent.cli import status as command

    raise typer.Exit(command.run(kubeconfig or state_dir / "admin.kubeconfig", node_name, output, verbose=verbose))


@app.command()
def top(
    state_dir: StateDirOption = STATE_DIR,
    kubeconfig: KubeconfigOption = None,
    node_name: Annotated[
        str, typer.Option("--node-name", metavar="NAME", help="Which node; not needed where there is one.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Print it once, as when there is no terminal.")] = False,
    interval: Annotated[float, typer.Option("--interval", metavar="SECONDS", min=1.2, help="Between two looks.")] = 2.0,
    sort: Annotated[
        str, typer.Option("--sort", metavar="BY", help="The greatest first: cpu (the default) or memory.")
    ] = "cpu",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what the node and its pods use, live, and how far it is from evicting pods."""
    from nodeagent.cli import top as command
    from nodeagent.cli.option_values import checked_word

    by = checked_word("--sort", sort, ("cpu", "memory")) or "cpu"
    file = kubeconfig or state_dir / "admin.kubeconfig"
    raise typer.Exit(command.run(file, node_name, output, once=once, interval_seconds=interval, sort=by))


@app.command()
def dashboard(
    state_dir: StateDirOption = STATE_DIR,
    kubeconfig: KubeconfigOption = None,
    node_name: Annotated[
        str, typer.Option("--node-name", metavar="NAME", help="Which node; not needed where there is one.")
    ] = "",
    listen: Annotated[
        str, typer.Option("--listen", metavar="IP:PORT", help="Where; port 0: any that is free.")
    ] = "127.0.0.1:9040",
) -> None:
    """Show the node in a browser, read-only, until told to stop: pressure, pods, runtimes, events, volumes."""
    from nodeagent.cli import dashboard as command

    raise typer.Exit(command.run(kubeconfig or state_dir / "admin.kubeconfig", node_name, listen))


@app.command()
def isolation(
    config: ConfigOption = None,
    runtimes: Annotated[
        list[str] | None,
        typer.Option("--runtime", metavar="HANDLER", help="Only this one; repeatable. Default: all that there are."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="GROUP", help="Or the id of a probe; repeatable.")
    ] = None,
    profile: Annotated[
        str,
        typer.Option("--profile", metavar="NAME|FILE", help="baseline, restricted, privileged, or a Pod of yours."),
    ] = "baseline",
    pod: Annotated[
        Path | None,
        typer.Option(
            "--pod", metavar="FILE", parser=path, help="A Pod of yours: the level it meets, and the probes in it."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter runs of what is timed.")] = False,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", metavar="FORM[=FILE]", help="table, json or html; repeatable. Default: table."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="FILE", parser=path, help="An older report (JSON): say what changed since."),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="TERM", help="open:high, score:surface<80, worse, costlier, …; repeatable."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", parser=path, help="Show this one (JSON), and measure nothing."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    probe: Annotated[
        Path | None,
        typer.Option("--probe", metavar="FILE", parser=path, help="The probe program, compiled elsewhere."),
    ] = None,
) -> None:
    """Compare what a pod can see and do under each runtime of this machine.

    Exit code 1: one could not be evaluated, or --fail-on is met.
    """
    from nodeagent.cli import isolation as command

    asked = command.Asked(
        config=config,
        runtimes=runtimes or (),
        only=only or (),
        profile=profile,
        pod=pod,
        quick=quick,
        outputs=outputs or (),
        dry_run=dry_run,
        probe=probe,
        compare=compare,
        fail_on=fail_on or (),
        report=report,
    )
    raise typer.Exit(command.run(asked))


@app.command()
def hollow(
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", min=1, max=5000, help="How many.")] = 1,
    pods: Annotated[
        int | None, typer.Option("--pods", metavar="N", min=0, help="Of all nodes, made by the fleet.")
    ] = None,
    pods_per_node: Annotated[
        int | None, typer.Option("--pods-per-node", metavar="N", min=0, help="The same, of each node.")
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option("--kubeconfig", metavar="FILE", parser=path, help="Of the API; default: an embedded one."),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", parser=path, help="Of the embedded API; default: a temporary one."),
    ] = None,
    api_port: Annotated[
        int, typer.Option("--api-port", metavar="PORT", min=0, max=65535, help="Of the embedded API; 0: any free one.")
    ] = 0,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Nodes are NAME-0, NAME-1, …")] = "hollow",
    namespace: Annotated[str, typer.Option("--namespace", metavar="NAME", help="Of the fleet's pods.")] = "default",
    as_nodes: Annotated[
        bool,
        typer.Option(
            "--as-nodes/--no-as-nodes", help="Act as each node, by impersonation: with no more than its rights."
        ),
    ] = True,
    taint: Annotated[
        bool, typer.Option("--taint/--no-taint", help="Keep pods off that do not tolerate hollow.nodeagent.dev/node.")
    ] = True,
    tokens: Annotated[
        bool, typer.Option("--tokens/--no-tokens", help="Pods ask for tokens of their service account.")
    ] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Leave nodes and pods in the API at the end.")] = False,
    cpus: Annotated[int, typer.Option("--cpus", metavar="N", min=1, help="Of each node.")] = 8,
    memory: Annotated[str, typer.Option("--memory", metavar="QUANTITY", help="Of each node.")] = "32Gi",
    seed: Annotated[str, typer.Option("--seed", metavar="TEXT", help="Of all that happens by chance.")] = "0",
    start_seconds: Annotated[
        float, typer.Option("--start-seconds", metavar="S", min=0, help="Median time of a sandbox's start.")
    ] = 0.8,
    pull_seconds: Annotated[
        float, typer.Option("--pull-seconds", metavar="S", min=0, help="Of an image's first pull on a node.")
    ] = 2.0,
    stop_seconds: Annotated[
        float, typer.Option("--stop-seconds", metavar="S", min=0, help="Of a container's end.")
    ] = 0.3,
    spread: Annotated[
        float, typer.Option("--spread", metavar="SIGMA", min=0, max=3, help="Of these times, log-normal; 0: none.")
    ] = 0.5,
    failures: Annotated[
        float, typer.Option("--failures", metavar="SHARE", min=0, max=1, help="Of sandboxes and pulls.")
    ] = 0.0,
    crashes: Annotated[
        float,
        typer.Option("--crashes", metavar="SHARE", min=0, max=1, help="Of containers, about 30 s after their start."),
    ] = 0.0,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="S", min=0, help="End so long after all pods run; default: when told to."),
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", metavar="S", min=1, help="Between two lines that tell of costs.")
    ] = 10.0,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", parser=path, help="The same figures, a JSON line each."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info (the default), warning, error.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="FORMAT", help="text (the default) or json.")
    ] = None,
) -> None:
    """Run many simulated nodes in one process, to load a control plane. On Ctrl-C they and their pods are removed."""
    from nodeagent.cli import hollow as command
    from nodeagent.cli.option_values import LOG_FORMATS, LOG_LEVELS, checked_word
    from nodeagent.hollow.settings import FleetSettings
    from runtimes.hollow.runtime import HollowSettings

    settings = FleetSettings(
        nodes=nodes,
        pods=command.all_pods(nodes, pods, pods_per_node),
        name=name,
        namespace=command.checked_name(namespace, "--namespace"),
        kubeconfig=kubeconfig,
        state_dir=state_dir,
        api_port=api_port,
        as_nodes=as_nodes,
        taint=taint,
        tokens=tokens,
        keep=keep,
        cpus=cpus,
        memory_bytes=command.memory_bytes(memory),
        runtime=HollowSettings(
            seed=seed,
            start_seconds=start_seconds,
            pull_seconds=pull_seconds,
            stop_seconds=stop_seconds,
            spread=spread,
            failures=failures,
            crashes=crashes,
        ),
        duration_seconds=duration,
        interval_seconds=interval,
        report=report,
    )
    level = checked_word("--log-level", log_level, LOG_LEVELS)
    raise typer.Exit(command.run(settings, level, checked_word("--log-format", log_format, LOG_FORMATS)))


@app.command()
def version() -> None:
    """Print the version."""
    import importlib.metadata

    typer.echo(f"nodeagent {importlib.metadata.version('nodeagent')}")


@image.command("import")
def image_import(
    archive: Annotated[
        Path, typer.Argument(parser=path, metavar="ARCHIVE", help="An OCI layout, an OCI archive or a docker archive.")
    ],
    tag: Annotated[str | None, typer.Option("--tag", help="Name the image so, whatever the archive says.")] = None,
    unpinned: Annotated[
        bool,
        typer.Option("--unpinned", help="Let garbage collection remove them when the disk fills up or they are old."),
    ] = False,
    state_dir: StateDirOption = STATE_DIR,
) -> None:
    """Take images in from a file, pinned, and print their tags."""
    from nodeagent.cli import image as command

    raise typer.Exit(command.import_archive(state_dir, archive, tag, pinned=not unpinned))


@image.command("pull")
def image_pull(
    reference: Annotated[str, typer.Argument(help="registry.example/name:tag or name@sha256:…")],
    username: Annotated[str, typer.Option("--username", help="The password is read from standard input.")] = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = STATE_DIR,
) -> None:
    """Fetch an image from its registry and print its id."""
    from nodeagent.cli import image as command

    raise typer.Exit(command.pull(state_dir, config, reference, username))


@image.command("list")
def image_list(state_dir: StateDirOption = STATE_DIR, output: OutputOption = Output.TABLE) -> None:
    """List the images. JSON rows have id, tags, digests, size in bytes, and pinned."""
    from nodeagent.cli import image as command

    raise typer.Exit(command.list_images(state_dir, output))


@image.command("pin")
def image_pin(
    names: Annotated[list[str], typer.Argument(help="Ids, tags or digests.")], state_dir: StateDirOption = STATE_DIR
) -> None:
    """Keep garbage collection off images. The pin of a tag stays with the tag when it comes to name another image."""
    from nodeagent.cli import image as command

    raise typer.Exit(command.pin(state_dir, names, pinned=True))


@image.command("unpin")
def image_unpin(
    names: Annotated[list[str], typer.Argument(help="Ids, tags or digests.")], state_dir: StateDirOption = STATE_DIR
) -> None:
    """Leave images to garbage collection again, whichever of their names was pinned."""
    from nodeagent.cli import image as command

    raise typer.Exit(command.pin(state_dir, names, pinned=False))


@image.command("rm")
def image_rm(
    names: Annotated[list[str], typer.Argument(help="Ids, tags or digests.")], state_dir: StateDirOption = STATE_DIR
) -> None:
    """Remove images with all their names, pinned ones too. Running containers keep their files."""
    from nodeagent.cli import image as command

    raise typer.Exit(command.remove(state_dir, names))


@runtime.command("serve")
def runtime_serve(
    listen: Annotated[
        str, typer.Option("--listen", metavar="unix:///PATH", help="Where; root's alone.")
    ] = "unix:///run/nodeagent/cri.sock",
    config: ConfigOption = None,
    handler: Annotated[
        list[str] | None, typer.Option("--handler", metavar="NAME", help="Only this runtime; repeatable.")
    ] = None,
    state_dir: StateDirOption = STATE_DIR,
    run_dir: RunDirOption = RUN_DIR,
    read_only: Annotated[bool, typer.Option("--read-only/--writable", help="Whether clients may only look.")] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="FEATURE", help="As an older peer that has not that; repeatable."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info (the default), warning, error.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="FORMAT", help="text (the default) or json.")
    ] = None,
) -> None:
    """Serve the OCI engine as a CRI v1 endpoint, for crictl or a kubelet, until told to stop. Containers outlive it."""
    from nodeagent.cli import runtime as command
    from nodeagent.cli.option_values import LOG_FORMATS, LOG_LEVELS, checked_word
    from nodeagent.config import Options

    options = Options(
        config_file=config,
        state_dir=state_dir,
        run_dir=run_dir,
        log_level=checked_word("--log-level", log_level, LOG_LEVELS),
        log_format=checked_word("--log-format", log_format, LOG_FORMATS),
    )
    listen = command.checked_listen(listen)
    raise typer.Exit(command.serve(options, listen, handler or (), read_only=read_only, without=without or ()))


@csi.command(
    "driver", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def csi_driver(context: typer.Context) -> None:
    """Serve directories and disk images of this machine as a CSI driver, until told to stop. Options: see its --help."""
    from csi.driver.__main__ import main

    raise typer.Exit(main(context.args, prog="nodeagent csi driver"))
