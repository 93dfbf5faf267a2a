"""The raftnode command: format a data directory, run the node in it, join a cluster, check settings."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

import raftnode
from raftnode.config import data_files
from raftnode.config.durations import parse_positive_duration
from raftnode.config.errors import EXIT_INTERRUPTED, CommandError, UsageError
from raftnode.config.settings import (
    SETTINGS,
    NodeSettings,
    SettingsError,
    read_values,
)
from raftnode.wire.address import parse_address, parse_member_address, parse_node_name, split_endpoints

app = typer.Typer(
    name="raftnode",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Run one node of a Raft cluster.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check a node's settings.")
app.add_typer(config_app, name="config")

DataDirOption = Annotated[Path, typer.Option("--data-dir", metavar="DIR", help="The node's data directory.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help=f"Settings; without it {data_files.SETTINGS} in the data directory."),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raftnode {raftnode.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Run one node of a Raft cluster."""


@app.command("format")
def format_command(
    cluster_file: Annotated[Path, typer.Option("--cluster-file", metavar="FILE", help="The cluster.toml.")],
    name: Annotated[str, typer.Option("--name", help="The name of its node to format.")],
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Where; without it the file's data_dir.")
    ] = None,
) -> None:
    """Write the data directory of one of a new cluster's nodes.

    Formatting again a directory that has this very identity changes nothing and succeeds.

    Example: raftnode format --cluster-file cluster.toml --name n1 --data-dir /var/lib/raftnode
    """
    from raftnode.storage.format import format_from_cluster_file

    path, identity, changed = format_from_cluster_file(cluster_file, name, data_dir)
    node = f"node {identity.node_id} ({identity.node_name}) of cluster {identity.cluster_name}"
    say = "formatted" if changed else "was formatted already:"
    typer.echo(f"{say} {path}: {node} {identity.cluster_id}; changed: {str(changed).lower()}", err=True)


@app.command()
def run(data_dir: DataDirOption, config: ConfigOption = None) -> None:
    """Run the node of a data directory until SIGTERM or SIGINT.

    Example: raftnode run --data-dir /var/lib/raftnode
    """
    from raftnode.daemon.run import run_node

    raise typer.Exit(run_node(data_dir, config))


@app.command()
def join(
    cluster: Annotated[str, typer.Option("--cluster", metavar="HOST:PORT[,...]", help="Nodes of the running cluster.")],
    name: Annotated[str, typer.Option("--name", help="The new node's name.")],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="The address that others reach it at.")
    ],
    data_dir: DataDirOption,
    observer: Annotated[
        bool, typer.Option("--observer", help="A permanent read-only copy, instead of a learner.")
    ] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="Give up after this time: 500ms, 1.5s, 4m2s.")
    ] = "10s",
) -> None:
    """Make a running cluster take this node in as a learner, and format its data directory.

    Repeating it is safe: it continues where it stopped, and says if there is nothing left to do. Then run the node,
    and when it has caught up, promote it with raftctl member promote NAME.

    Example: raftnode join --cluster 10.0.0.1:7001,10.0.0.2:7001 --name n4 --address 10.0.0.4:7001
    --data-dir /var/lib/raftnode
    """
    from raftnode.daemon.join import JoinRequest, join

    endpoints = split_endpoints([cluster])
    for endpoint in endpoints:
        _usage("--cluster", endpoint, parse_address)
    _usage("--address", address, parse_member_address)
    _usage("--name", name, parse_node_name)
    _usage("--timeout", timeout, parse_positive_duration)
    if not endpoints:
        raise typer.BadParameter("give at least one HOST:PORT", param_hint="--cluster")
    node_id, changed = join(JoinRequest(endpoints, name, address, data_dir, observer, parse_positive_duration(timeout)))
    say = "joined as" if changed else "has already joined as"
    typer.echo(f"{name} {say} node {node_id}, in {data_dir}; changed: {str(changed).lower()}", err=True)
    if changed:
        typer.echo(f"start it: raftnode run --data-dir {data_dir}", err=True)


@config_app.command("check")
def config_check(
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="The file to check.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help=f"Check the {data_files.SETTINGS} in there.")
    ] = None,
) -> None:
    """Check a node.toml and print every setting with where its value comes from.

    Example: raftnode config check --data-dir /var/lib/raftnode
    """
    if (config is None) == (data_dir is None):
        raise typer.BadParameter("give either --config or --data-dir", param_hint="--config")
    path = config or Path(str(data_dir)) / data_files.SETTINGS
    if config is not None and not config.exists():
        raise SettingsError(config, "", None, "there is no such file")
    values = read_values(path)
    settings = NodeSettings.from_values(path, values)
    for setting in SETTINGS:
        origin = str(path) if setting.key in values else "default"
        typer.echo(f"{setting.key} = {setting.show(setting.value_in(settings))}  # {origin}")


def _usage(option: str, value: str, parse: object) -> None:
    assert callable(parse)
    try:
        parse(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} {error}", param_hint=option) from None


def main() -> None:
    """Run the command line; every expected failure is three lines and an exit code."""
    command = typer.main.get_command(app)
    try:
        sys.exit(command.main(prog_name="raftnode", standalone_mode=False))
    except TyperException as error:
        _fail(_usage_problem(error))
    except CommandError as problem:
        _fail(problem)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(EXIT_INTERRUPTED)


def _usage_problem(error: TyperException) -> CommandError:
    """Return the error for an invalid command line."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "raftnode"
    describe = getattr(error, "format_message", None)
    message = str(describe()) if describe is not None else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message, err=True)
        message = "a command is missing"
    usage = " ".join(context.get_usage().split()) if context is not None else "Usage: raftnode COMMAND"
    return UsageError(
        message[:1].lower() + message[1:].rstrip("."),
        usage[:1].lower() + usage[1:],
        f"see: {path} --help",
        code="E_USAGE",
    )


def _fail(problem: CommandError) -> None:
    typer.echo("\n".join(problem.lines()), err=True)
    sys.exit(problem.exit_code)


if __name__ == "__main__":
    main()
