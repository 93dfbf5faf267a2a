"""Reading a command line without typer, rich or any parser library: the fast path.

Where `parse()` meets anything that it does not know (a mistake, --help) it returns None, and typer, built in
typer_app.py from the same parameters, explains what is wrong.
"""

from collections.abc import Sequence

from raftctl.cli.command import COMMON_PARAMS, Arg, Command, Opt, Param, RawValue


def parse(command: Command, arguments: Sequence[str]) -> dict[str, RawValue] | None:
    """Return what `arguments` give, by parameter name; None for what only typer can handle."""
    options = {n: p for p in command.params if isinstance(p.declaration, Opt) for n in p.declaration.names}
    negatives = {
        p.declaration.negative: p for p in options.values() if isinstance(p.declaration, Opt) and p.declaration.negative
    }
    positional: list[str] = []
    raw: dict[str, RawValue] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            positional.extend(words)
            break
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        param = options.get(name)
        if param is None or param.kind is bool:
            chosen = param or negatives.get(name)
            if chosen is None or equals:
                return None
            raw[chosen.name] = param is not None
            continue
        if not equals:
            if not words:
                return None
            value = words.pop(0)
        _store(raw, param, value)
    return raw if _place(command, positional, raw) else None


def _place(command: Command, positional: list[str], raw: dict[str, RawValue]) -> bool:
    for param in command.params:
        if not isinstance(param.declaration, Arg):
            if param.required and param.name not in raw:
                return False
            continue
        if param.many:
            if positional:
                raw[param.name] = positional
            positional = []
        elif positional:
            raw[param.name] = positional.pop(0)
        if param.required and param.name not in raw:
            return False
    return not positional


def _store(raw: dict[str, RawValue], param: Param, value: str) -> None:
    if not param.many:
        raw[param.name] = value
        return
    found = raw.setdefault(param.name, [])
    assert isinstance(found, list), "a repeated option's value is a list"
    found.append(value)


def fill_bare(command: Command, arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with options that may stand without a value completed: --watch to --watch=2s."""
    bare = {
        n: p.declaration.bare
        for p in command.params
        if isinstance(p.declaration, Opt) and p.declaration.bare
        for n in p.declaration.names
    }
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return [f"{w}={bare[w]}" if w in bare and i < cut else w for i, w in enumerate(arguments)]


def leading_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the common options before the first word from the rest."""
    flags = {n for p in COMMON_PARAMS if isinstance(p.declaration, Opt) for n in p.declaration.names}
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word.partition("=")[0] not in flags and word[:2] not in flags:
            break
        alone = word in flags
        position += 2 if alone else 1
    return list(arguments[:position]), list(arguments[position:])
