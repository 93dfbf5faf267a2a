"""The raftctl command: find the command, run it, and turn what goes wrong into an exit code.

A command line that `parser.parse` understands runs without typer. Everything else (help, mistakes) goes to
typer, built in typer_app.py from the same table.
"""

import os
import sys
from collections.abc import Sequence

from raftctl.cli import registry
from raftctl.cli.command import Command, RawValue
from raftctl.cli.context import run_command
from raftctl.cli.parser import fill_bare, leading_options, parse
from raftctl.output.output import flush
from raftnode.config.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_OK, CommandError, InternalError, OutputFailed


def main() -> None:
    """Run raftctl with the process's arguments and exit."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # it is open until the end
    if sys.stdout is None:
        # Nothing is done: the first socket would take the place of the closed descriptor.
        error = OutputFailed("standard output is closed", "nothing was done", "redirect it: raftctl ... >/dev/null")
        os._exit(report(error, as_json=_wants_json(sys.argv[1:])))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    sys.stderr.flush()
    # Everything is written and closed: tearing the interpreter down would cost a script 9 ms a call for nothing.
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Data goes to stdout, errors to stderr."""
    try:
        dispatch(arguments)
        flush()
    except CommandError as error:
        return report(error, as_json=_wants_json(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:
        if os.environ.get("RAFTCTL_DEBUG"):
            raise
        failure = InternalError(
            f"unexpected {type(error).__name__}: {error}",
            "this program has a bug",
            "RAFTCTL_DEBUG=1 shows where it comes from",
        )
        report(failure, as_json=_wants_json(arguments))
        return EXIT_INTERNAL
    return EXIT_OK


def dispatch(arguments: Sequence[str]) -> None:
    """Run one command line. Raises CommandError."""
    leading, rest = leading_options(asked_for_help(arguments))
    found = registry.find(rest)
    if found is None:
        from raftctl.cli.typer_app import run_typer

        run_typer([*leading, *rest], run_raw)
        return
    path, words = found
    command = registry.load(path)
    words = fill_bare(command, [*leading, *words])
    raw = parse(command, words)
    if raw is None:
        from raftctl.cli.typer_app import run_typer

        run_typer([*path.split(), *words], run_raw)
        return
    run_raw(command, raw)


def asked_for_help(arguments: Sequence[str]) -> list[str]:
    """Return the command line with `--version` and `help ...` spelled as `version` and `... --help`."""
    leading, rest = leading_options(arguments)
    if rest[:1] == ["--version"]:
        rest = ["version", *rest[1:]]
    elif rest[:1] == ["help"]:
        rest = [*rest[1:], "--help"]
    return [*leading, *rest]


def run_raw(command: Command, raw: dict[str, RawValue]) -> None:
    """Run a command with its parameters as they stood on the command line. Raises CommandError."""
    run_command(command, command.bind(raw))


def report(error: CommandError, *, as_json: bool) -> int:
    """Write an error to standard error and return its exit code."""
    if as_json:
        from raftctl.output.formats import json_text

        lines = [json_text(error.record())]
    else:
        lines = error.lines()
    sys.stderr.write("\n".join(lines) + "\n")
    return error.exit_code


def _wants_json(arguments: Sequence[str]) -> bool:
    """Return whether the command line asks for JSON, also where the rest of it is wrong."""
    for position, word in enumerate(arguments):
        if word == "--":
            break
        after = arguments[position + 1] if position + 1 < len(arguments) else ""
        for given in (
            after if word in ("-o", "--output") else "",
            word.removeprefix("--output="),
            word.removeprefix("-o"),
        ):
            if given in ("json", "jsonl") and given != word:
                return True
    return False


if __name__ == "__main__":
    main()
