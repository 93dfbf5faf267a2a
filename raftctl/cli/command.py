"""A command is a function whose annotated parameters declare its arguments and options.

    @command("kv get", connects=True)
    def get(ctx: CommandContext, key: Annotated[str, Arg("KEY", "The key.")], *,
            raw: Annotated[bool, Opt("--raw", "Write the bytes as they are.")] = False) -> None:
        '''Print a key's value.

        Example: raftctl kv get greeting
        '''

parser.py reads a command line by these parameters, and so does typer, for help and mistakes (typer_app.py). Both
pass the texts to `Command.bind()`, so a value means the same to both.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from raftctl.output.text import duration
from raftnode.config.errors import UsageError

RawValue = str | bool | list[str]
"""A parameter as it stood on the command line: a text, a flag, or every text of a repeated one."""

FORMATS: Final = ("table", "wide", "json", "jsonl", "yaml", "name")


class Arg(NamedTuple):
    """A positional argument."""

    metavar: str
    help: str
    choices: tuple[str, ...] = ()


class Opt(NamedTuple):
    """An option. `flags` as in "-e/--endpoint"; `negative` switches a flag off that is on by default.

    `bare` is the value that the option has when it is given without one (`--watch` for `--watch=2s`).
    """

    flags: str
    help: str
    metavar: str = "TEXT"
    choices: tuple[str, ...] = ()
    negative: str = ""
    bare: str = ""
    convert: Callable[[str], Any] | None = None

    @property
    def names(self) -> list[str]:
        """Every spelling, without the negative one."""
        return self.flags.split("/")


class Param(NamedTuple):
    """One parameter of a command: its declaration, and what its annotation says."""

    name: str
    declaration: Arg | Opt
    kind: type
    required: bool = False
    many: bool = False
    default: Any = None

    def convert(self, value: RawValue) -> Any:
        """Return the value that the function gets. Raises UsageError."""
        if isinstance(value, bool):
            return value
        if isinstance(value, list):
            return tuple(self._convert_one(text) for text in value)
        return self._convert_one(value)

    def _convert_one(self, text: str) -> Any:
        declaration = self.declaration
        label = declaration.metavar if isinstance(declaration, Arg) else declaration.names[-1]
        if declaration.choices and text not in declaration.choices:
            raise UsageError(
                f"{label} cannot be {text!r}",
                "it is not one of the choices",
                f"give one of {', '.join(declaration.choices)}",
            )
        if isinstance(declaration, Opt) and declaration.convert is not None:
            return declaration.convert(text)
        if self.kind is int:
            try:
                return int(text)
            except ValueError:
                raise UsageError(
                    f"{label} cannot be {text!r}", "it is a whole number", "write digits only, such as 10"
                ) from None
        return text


class Command:
    """A command. `path` is its words; `connects`: it talks to a cluster; `timed`: it takes --timeout even so.

    `timeout` is the default of that, in seconds.
    """

    def __init__(
        self, path: str, function: Callable[..., None], *, connects: bool, timed: bool, prints: bool, timeout: float
    ) -> None:
        self.path = path
        self.function = function
        self.connects = connects
        self.timed = timed
        self.prints = prints
        self.timeout = timeout

    @property
    def help(self) -> str:
        return self.function.__doc__ or ""

    @cached_property
    def own_params(self) -> tuple[Param, ...]:
        """The function's own parameters."""
        return tuple(_read_params(self.function))

    @cached_property
    def common_params(self) -> tuple[Param, ...]:
        """The parameters that commands have in common; their values are in the CommandContext."""
        connect = CONNECT_PARAMS if self.connects else ()
        timeout = (TIMEOUT_PARAM,) if self.connects or self.timed else ()
        return (*connect, *timeout, *(PRINT_PARAMS if self.prints else PRINT_PARAMS[1:]))

    @property
    def params(self) -> tuple[Param, ...]:
        """Every parameter, the common ones last."""
        return (*self.own_params, *self.common_params)

    def bind(self, raw: Mapping[str, RawValue]) -> dict[str, Any]:
        """Return every parameter's value, defaults included. Raises UsageError."""
        return {p.name: p.convert(raw[p.name]) if p.name in raw else p.default for p in self.params}


def command(
    path: str, *, connects: bool = False, timed: bool = False, prints: bool = True, timeout: float = 5.0
) -> "Callable[[Callable[..., None]], Command]":
    """Turn a function into a command. It is called with a CommandContext, then its parameters by name."""

    def wrap(function: Callable[..., None]) -> Command:
        return Command(path, function, connects=connects, timed=timed, prints=prints, timeout=timeout)

    return wrap


def _read_params(function: Callable[..., None]) -> list[Param]:
    code = function.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    positional = code.co_varnames[: code.co_argcount]
    defaults = dict(zip(reversed(positional), reversed(function.__defaults__ or ()), strict=False))
    defaults |= function.__kwdefaults__ or {}
    hints = get_type_hints(function, include_extras=True)
    params = []
    for name in names:
        annotated, declaration = get_args(hints[name])
        many = get_origin(annotated) is tuple
        parts = [part for part in get_args(annotated) if part not in (type(None), Ellipsis)]
        kind = parts[0] if parts else annotated
        params.append(Param(name, declaration, kind, name not in defaults, many, defaults.get(name)))
    return params


CONNECT_PARAMS: Final = (
    Param(
        "endpoint",
        Opt("-e/--endpoint", "A node to ask, host:port; may be repeated, or be a comma-separated list.", "HOST:PORT"),
        str,
        many=True,
        default=(),
    ),
    Param("context", Opt("--context", "The saved context to use.", "NAME"), str),
    Param(
        "cluster_id",
        Opt(
            "--cluster-id",
            "Talk to this cluster only; without it, to the context's, else to that of the first node to answer.",
            "ID",
        ),
        str,
    ),
)

TIMEOUT_PARAM: Final = Param(
    "timeout", Opt("--timeout", "How long the command may take.", "DURATION", convert=duration), float
)

PRINT_PARAMS: Final = (
    Param("output", Opt("-o/--output", "The output format; table by default.", "FORMAT", FORMATS), str),
    Param(
        "color",
        Opt(
            "--color",
            "When to use color. Every color is also spelled out as a word.",
            "WHEN",
            ("auto", "always", "never"),
        ),
        str,
        default="auto",
    ),
)

COMMON_PARAMS: Final = (*CONNECT_PARAMS, TIMEOUT_PARAM, *PRINT_PARAMS)
