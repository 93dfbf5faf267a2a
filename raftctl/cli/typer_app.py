"""The typer application, built from the command table: it prints the help and explains mistakes."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from raftctl.cli import registry
from raftctl.cli.command import Arg, Command, Opt, Param, RawValue
from raftctl.output.output import note
from raftnode.config.errors import UsageError

ROOT_HELP = """Operate a Raft cluster: bootstrap, status, members, log, snapshots, events, and its key-value
store.

\b
Example:
  raftctl cluster init demo && raftctl cluster up -f demo/cluster.toml
  raftctl status
"""


def build(runner: Callable[[Command, dict[str, RawValue]], None]) -> typer.Typer:
    """Return the application with every command of the table; `runner` runs one."""
    settings: dict[str, Any] = {
        "add_completion": False,
        "rich_markup_mode": None,
        "pretty_exceptions_enable": False,
        "no_args_is_help": True,
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }
    app = typer.Typer(help=ROOT_HELP, **settings)
    app.callback()(lambda: None)
    groups: dict[str, typer.Typer] = {}
    for path in registry.COMMANDS:
        words = path.split()
        home = app
        if len(words) == 2:
            if words[0] not in groups:
                groups[words[0]] = typer.Typer(**settings)
                app.add_typer(groups[words[0]], name=words[0], help=registry.GROUPS[words[0]])
            home = groups[words[0]]
        command = registry.load(path)
        text = help_text(command)
        # Without a short help, the list of commands would cut the sentence off.
        short = text.partition("\n")[0].partition(". ")[0].rstrip(".") + "."
        home.command(words[-1], help=text, short_help=short)(_callback(command, runner))
    return app


def help_text(command: Command) -> str:
    """Return the command's docstring as typer shows it, with lists and the example kept line by line."""
    head, _, example = inspect.cleandoc(command.help).partition("Example: ")
    parts = [f"\b\n{part}" if part.startswith("- ") else part for part in head.strip().split("\n\n")]
    if example:
        parts.append("\n".join(["\b", "Example:", *(f"  {line.strip()}" for line in example.splitlines())]))
    return "\n\n".join(parts)


def _callback(command: Command, runner: Callable[[Command, dict[str, RawValue]], None]) -> Callable[..., None]:
    def callback(**given: Any) -> None:
        runner(command, {name: value for name, value in given.items() if value not in (None, [])})

    parameters = [_parameter(param) for param in command.params]
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    callback.__annotations__ = {p.name: p.annotation for p in parameters}
    return callback


def _parameter(param: Param) -> inspect.Parameter:
    declaration = param.declaration
    annotation: Any = str | None
    default: Any = None
    if param.kind is bool:
        annotation, default = bool, param.default
    elif param.many:
        annotation, default = list[str] | None, None
    if param.required:
        annotation, default = list[str] if param.many else str, inspect.Parameter.empty
    return inspect.Parameter(
        param.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, _declared(declaration, is_flag=param.kind is bool)],
    )


def _declared(declaration: Arg | Opt, *, is_flag: bool) -> Any:
    text = declaration.help
    if declaration.choices:
        text += f" One of: {', '.join(declaration.choices)}."
    if isinstance(declaration, Arg):
        return typer.Argument(metavar=declaration.metavar, help=text, show_default=False)
    names = list(declaration.names)
    if declaration.negative:
        names[-1] += f"/{declaration.negative}"
    metavar = None if is_flag else declaration.metavar
    return typer.Option(*names, metavar=metavar, help=text, show_default=False)


def run_typer(arguments: Sequence[str], runner: Callable[[Command, dict[str, RawValue]], None]) -> None:
    """Run a command line through typer. Raises UsageError where it is invalid."""
    group = typer.main.get_command(build(runner))
    try:
        group.main(list(arguments), prog_name="raftctl", standalone_mode=False)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "raftctl"
        describe = getattr(error, "format_message", None)
        message = str(describe()) if describe is not None else str(error)
        if type(error).__name__ == "NoArgsIsHelpError":
            note(message)
            message = "A command is missing."
        raise UsageError(
            message[:1].lower() + message[1:].rstrip("."), "nothing was done", f"see: {path} --help"
        ) from error
