"""Keys and values between the command line and bytes: shared by the kv commands."""

import sys
from typing import Any, Final, TypeVar

from raftctl.cli.command import Opt
from raftctl.output.text import bytes_field, escape_bytes
from raftnode.config.errors import ConflictError, InternalError, UsageError
from raftnode.wire import kv

R = TypeVar("R")

RAW = Opt("--raw", "Write the value's bytes as they are, without a line end.")
HEX = Opt("--hex", "Read and print keys and values in hexadecimal.")
HEX_IN = Opt("--hex", "The key and the value are given in hexadecimal.")
CELL_BYTES: Final = 256
"""The most bytes of a value that a table shows: 8 MiB would fill ten thousand lines."""

FILE = Opt("--file", "Read the value from a file; - is standard input.", "FILE")


def decode_text(text: str, *, hex_: bool, what: str) -> bytes:
    """Return the bytes that a command-line word stands for. Raises UsageError."""
    if not hex_:
        return text.encode("utf-8", "surrogateescape")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UsageError(
            f"the {what} is not hexadecimal: {text!r}",
            "--hex was given, so it must be",
            "write two digits for each byte",
        ) from None


def decode_key(text: str, *, hex_: bool) -> bytes:
    """Return the key's bytes. Raises UsageError where it is empty or over the limit."""
    key = decode_text(text, hex_=hex_, what="key")
    if not key:
        raise UsageError("the key is empty", "a key has at least one byte", "give a KEY")
    if len(key) > kv.KEY_BYTES_MAX:
        raise UsageError(
            f"the key has {len(key)} bytes",
            f"the limit is {kv.KEY_BYTES_MAX} bytes",
            "give a shorter one, and put the rest into the value",
            code="E_TOO_LARGE",
        )
    return key


def take_value(text: str | None, file: str | None, *, hex_: bool) -> bytes:
    """Return the value given as a word or in a file. Raises UsageError."""
    if (text is None) == (file is None):
        raise UsageError(
            "give the value as a word or with --file",
            "neither was given" if text is None else "both were given",
            "write: raftctl kv put KEY VALUE, or: raftctl kv put KEY --file -",
        )
    value = decode_text(text, hex_=hex_, what="value") if text is not None else _read_file(file or "")
    if len(value) > kv.VALUE_BYTES_MAX:
        # A file is not read to its end.
        raise UsageError(
            f"the value has {f'{len(value)} bytes' if file is None else f'more than {kv.VALUE_BYTES_MAX} bytes'}",
            f"the limit is {kv.VALUE_BYTES_MAX} bytes",
            "split it over several keys",
            code="E_TOO_LARGE",
        )
    return value


def _read_file(path: str) -> bytes:
    limit = kv.VALUE_BYTES_MAX + 1
    try:
        if path == "-":
            return sys.stdin.buffer.read(limit)
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}",
            error.strerror or str(error),
            "check the path and its permissions; - is standard input",
        ) from error


def read_only_one_of(*, raw: bool, hex_: bool) -> None:
    """Raise UsageError where both forms were asked for."""
    if raw and hex_:
        raise UsageError("--raw and --hex exclude each other", "both say how it is printed", "leave one of them out")


def key_record(key: bytes) -> dict[str, Any]:
    """Return a key as JSON."""
    return {**bytes_field("key", key)}


def pair_record(item: kv.KeyValue) -> dict[str, Any]:
    """Return a key and its state as JSON."""
    return {
        **bytes_field("key", item.key),
        **bytes_field("value", item.value),
        "revision": item.mod_revision,
        "create_revision": item.create_revision,
        "version": item.version,
    }


def kv_result(data: bytes, expected: type[R], key: bytes = b"") -> R:
    """Return the store's result. Raises ConflictError or UsageError if the store refused.

    `key` is the one that was written, which the error's next step names.
    """
    result = kv.decode_result(data)
    if isinstance(result, expected):
        return result
    if isinstance(result, kv.ConflictResult):
        raise ConflictError(result.reason, current_text(result.current), f"read it again: {get_command(key)}")
    if isinstance(result, kv.BadCommand):
        raise UsageError(
            result.reason,
            "the store refused the command, and nothing changed",
            f"see what is there: {get_command(key)}" if key else "see the keys: raftctl kv list",
        )
    raise InternalError(
        f"the store answers with a {type(result).__name__} instead of a {expected.__name__}",
        "the node does not speak this protocol",
        "check that all nodes and this program are of the same version: raftctl status -o wide",
    )


def get_command(key: bytes) -> str:
    """Return the command that shows a key, as it is typed in a shell; in hexadecimal what cannot be typed."""
    from shlex import quote

    text = escape_bytes(key)
    if text.encode() != key:
        return f"raftctl kv get {key.hex()} --hex -o json"
    return f"raftctl kv get -o json -- {quote(text)}" if text[0] == "-" else f"raftctl kv get {quote(text)} -o json"


def show_value(value: bytes, *, hex_: bool) -> str:
    """Return a value for a table's cell: escaped or in hexadecimal, and of a long one the beginning."""
    show = bytes.hex if hex_ else escape_bytes
    if len(value) <= CELL_BYTES:
        return show(value)
    return f"{show(value[:CELL_BYTES])}... ({len(value)} bytes)"


def current_text(current: kv.KeyValue | None) -> str:
    """Return what a key holds now, for an error's second line."""
    if current is None:
        return "the key does not exist"
    value = escape_bytes(current.value)
    shown = value if len(value) <= 60 else f"{value[:60]}... ({len(current.value)} bytes)"
    return f"the key is at revision {current.mod_revision} and holds {shown}"
