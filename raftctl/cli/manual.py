"""The manual page raftctl(1), written from the command table.

    python -m raftctl.cli.manual > man/raftctl.1

A command's section is its docstring, its options with their defaults, and its example. In a docstring, paragraphs have
blank lines between them, and a paragraph whose lines begin with "- term: text" is a list.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Final

import raftnode
from raftctl.cli import registry
from raftctl.cli.command import COMMON_PARAMS, Arg, Command, Opt, Param
from raftnode.config.durations import format_duration

PROGRAM: Final = "raftctl"


def page() -> str:
    """Return the whole page as man(7) source."""
    head, tail = (
        resources.files("raftctl.cli").joinpath(f"manual_{part}.man").read_text() for part in ("head", "tail")
    )
    head = head.replace("@VERSION@", raftnode.__version__)
    common = [line for param in COMMON_PARAMS for line in _option(param)]
    commands = [line for path in registry.COMMANDS for line in _command(path, registry.load(path))]
    return "\n".join([head.rstrip(), *common, ".SH COMMANDS", *commands, tail.rstrip(), ""])


def paragraphs(command: Command) -> list[str]:
    """Return the docstring's paragraphs without the example, each on lines as they stand."""
    text = inspect.cleandoc(command.help).partition("Example: ")[0]
    return [paragraph for paragraph in text.strip().split("\n\n") if paragraph]


def list_items(paragraph: str) -> list[tuple[str, str]] | None:
    """Return (term, text) for each "- term: text" of a paragraph that is a list; None for any other."""
    if not paragraph.startswith("- "):
        return None
    items = [" ".join(item.split()) for item in paragraph.removeprefix("- ").split("\n- ")]
    pairs = [(term, text) for term, _, text in (item.partition(": ") for item in items)]
    assert all(text for _, text in pairs), f"a list item has no text: {paragraph}"
    return pairs


def _command(path: str, command: Command) -> Iterator[str]:
    yield f".SS {PROGRAM} {path}"
    words = [f"\\fB{PROGRAM} {path}\\fR"]
    for param in command.own_params:
        words += _synopsis(param)
    yield " ".join([*words, "[\\fIoptions\\fR]"])
    for paragraph in paragraphs(command):
        items = list_items(paragraph)
        if items is None:
            yield from (".PP", _prose(" ".join(paragraph.split())))
            continue
        for term, text in items:
            yield from (".TP", f"\\fB{_escape(term)}\\fR", _prose(text))
    for param in command.own_params:
        yield from _option(param)
    if command.connects or command.timed:
        yield from (".PP", f"\\fB\\-\\-timeout\\fR is {_escape(format_duration(command.timeout))} unless given.")
    example = inspect.cleandoc(command.help).partition("Example: ")[2]
    if example:
        yield from (".PP", "Example:", ".PP", ".nf", ".RS 4")
        yield from (_escape(line.strip()) for line in example.splitlines())
        yield from (".RE", ".fi")


def _synopsis(param: Param) -> list[str]:
    """Return a parameter's place in the synopsis: arguments and required options have one."""
    if isinstance(param.declaration, Opt):
        if not param.required:
            return []
        return [f"\\fB{_escape(param.declaration.names[-1])}\\fR \\fI{_escape(param.declaration.metavar)}\\fR"]
    word = f"\\fI{_escape(param.declaration.metavar)}\\fR" + ("..." if param.many else "")
    return [word if param.required else f"[{word}]"]


def _option(param: Param) -> Iterator[str]:
    declaration = param.declaration
    text = declaration.help
    if declaration.choices:
        text += f" One of: {', '.join(declaration.choices)}."
    if not isinstance(param.default, bool) and param.default not in (None, (), ""):
        text += (
            f" {param.default:g} unless given."
            if isinstance(param.default, float)
            else (f" {param.default} unless given.")
        )
    yield ".TP"
    if isinstance(declaration, Arg):
        yield f"\\fI{_escape(declaration.metavar)}\\fR"
    else:
        names = [*declaration.names, *([declaration.negative] if declaration.negative else [])]
        shown = ", ".join(f"\\fB{_escape(name)}\\fR" for name in names)
        metavar = f"\\fI{_escape(declaration.metavar)}\\fR"
        yield shown if param.kind is bool else f"{shown}[={metavar}]" if declaration.bare else f"{shown} {metavar}"
    yield _prose(text)


def _escape(text: str) -> str:
    """Return text in which troff reads nothing but text."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _prose(text: str) -> str:
    """Return a sentence with what stands in backquotes in bold."""
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", _escape(text))


if __name__ == "__main__":
    sys.stdout.write(page())
