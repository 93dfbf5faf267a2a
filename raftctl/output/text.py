"""Durations, times, sizes and bytes as text: pure, and the same in every command."""

from typing import Final

from raftnode.config.errors import UsageError


def duration(text: str) -> float:
    """Return the seconds in "1.5s", "4m2s", "500ms" or a plain number of seconds. Raises UsageError."""
    # Most command lines give no duration, and loading a module takes time.
    from raftnode.config.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a duration", f"it {error}", "write 500ms, 1.5s or 4m2s") from error


def human_duration(seconds: float) -> str:
    """Return a duration for people: "0.1s", "12.4s", "4m2s", "3h5m", "2d4h"."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def format_bytes(count: int) -> str:
    """Return a size for people, in binary units."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def escape_text(text: str) -> str:
    """Return `text` with everything that a terminal would act on written as an escape, on one line."""
    if text.isprintable() and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


class _Escapes(dict[int, str]):
    """What each character becomes, worked out when it is first met: a value may have millions of them."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        plain = character.isprintable() and character != "\\"
        self[code] = found = character if plain else _escape_character(character)
        return found


_ESCAPES: Final = _Escapes()


def _escape_character(character: str) -> str:
    short = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape_bytes(data: bytes) -> str:
    """Return bytes as printable text: UTF-8 stays, anything else becomes \\xNN; a backslash is doubled."""
    return escape_text(data.decode("utf-8", "surrogateescape"))


def bytes_field(name: str, data: bytes) -> dict[str, str]:
    """Return `{name: text}` where `data` is UTF-8, else `{name_b64: base64}`: the JSON form of bytes."""
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        from base64 import b64encode

        return {f"{name}_b64": b64encode(data).decode("ascii")}
