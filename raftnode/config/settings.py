"""node.toml: what an operator may set for one node, read once at the start and checked as a whole.

`SETTINGS` is the one table of all settings: reading, the commented file that `raftnode format` leaves, and
node.toml(5) follow it. A SettingsError names the file, the key, the value, and what is allowed.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import raftnode
from raftnode.config.durations import format_duration, parse_positive_duration
from raftnode.config.errors import UsageError
from raftnode.wire.address import parse_address

LOG_CACHE_BYTES_MIN: Final = 1 << 20


class SettingsError(UsageError):
    """A settings file or cluster file that cannot be used.

    `key` is dotted, such as "raft.heartbeat_interval"; it is empty where the whole file is meant.
    """

    code = "E_SETTINGS"

    def __init__(self, file: Path | str, key: str, value: object, allowed: str) -> None:
        self.file, self.key, self.value, self.allowed = str(file), key, value, allowed
        super().__init__(f"cannot use {self.subject}", allowed, "correct the file, then repeat the command")

    def __str__(self) -> str:
        return f"{self.subject}: {self.allowed}"

    @property
    def subject(self) -> str:
        """File, key and value, without the rule that they break."""
        key = f": {self.key}" if self.key else ""
        value = f" = {_toml(self.value)}" if self.value is not None else ""
        return f"{self.file}{key}{value}"


@dataclass(frozen=True)
class ReplicaSettings:
    """The replica's settings. Times are in seconds, sizes in bytes, the rest in entries."""

    election_timeout_min: float = 1.0
    election_timeout_max: float = 2.0
    heartbeat_interval: float = 0.1
    pre_vote: bool = True
    check_quorum: bool = True
    snapshot_entries: int = 100_000
    """Take a snapshot after each entry whose index is a multiple of this; 0: never for this reason."""
    snapshot_bytes: int = 256 * 1024 * 1024
    """Take a snapshot after this many bytes of applied commands since the last; 0: never for this reason."""
    snapshot_trailing: int = 10_000
    """How many entries up to a snapshot stay in the log, for followers that are a little behind."""
    snapshot_send_rate: int = 64 * 1024 * 1024
    """The most bytes per second of a snapshot that are sent to one member; 0: no limit."""
    log_cache_bytes: int = 64 * 1024 * 1024
    """How many bytes of the newest entries stay in memory; older ones are read from the disk."""
    request_timeout: float = 10.0
    """How long a request may wait before it fails; a write's outcome is then unknown."""
    no_leader_timeout: float = 3.0
    """How long a request waits for a leader before it fails with `no_leader`."""
    version: str = raftnode.__version__


@dataclass(frozen=True)
class NodeSettings:
    """One node's settings. `listen` is None where the node listens at its member address."""

    listen: str | None = None
    replica: ReplicaSettings = field(default_factory=ReplicaSettings)
    snapshot_keep: int = 2
    segment_bytes: int = 64 * 1024 * 1024
    log_level: str = "info"
    log_format: str = "logfmt"
    connections_max: int = 10_000
    requests_in_flight_max: int = 4096

    @classmethod
    def load(cls, path: Path) -> "NodeSettings":
        """Read `path`, or return the defaults if there is no such file. Raises SettingsError."""
        return cls.from_values(path, read_values(path))

    @classmethod
    def from_values(cls, path: Path, values: Mapping[str, Any]) -> "NodeSettings":
        """Return the settings for `values`, as `read_values()` gives them. Raises SettingsError."""
        own: dict[str, Any] = {}
        replica: dict[str, Any] = {}
        for setting in SETTINGS:
            if setting.key in values:
                target = replica if setting.of_replica else own
                target[setting.attribute] = values[setting.key]
        settings = cls(replica=ReplicaSettings(**replica), **own)
        _check_together(path, settings)
        return settings


@dataclass(frozen=True)
class Setting:
    """One line of node.toml. `parse` gives the value, or raises ValueError with what is allowed."""

    key: str
    attribute: str
    parse: Callable[[object], Any]
    text: str
    of_replica: bool = False

    def default(self) -> Any:
        """The value if the file does not set it."""
        return getattr(_DEFAULTS.replica if self.of_replica else _DEFAULTS, self.attribute)

    def value_in(self, settings: NodeSettings) -> Any:
        """This setting's value in `settings`."""
        return getattr(settings.replica if self.of_replica else settings, self.attribute)

    def show(self, value: Any) -> str:
        """Return `value` as it would stand in the file."""
        if value is None:
            return '""'
        if self.parse is parse_positive_duration:
            return f'"{format_duration(value)}"'
        if self.parse in (_size, _segment_size, _cache_size) and value and value % (1 << 20) == 0:
            return f'"{value >> 20}MiB"'
        return _toml(value)


def read_values(path: Path) -> dict[str, Any]:
    """Return the file's parsed values by dotted key; none where there is no file. Raises SettingsError."""
    document = read_toml(path, missing_ok=True)
    known = {setting.key: setting for setting in SETTINGS}
    sections = {key.partition(".")[0] for key in known}
    values: dict[str, Any] = {}
    for section, table in document.items():
        if section not in sections:
            raise SettingsError(path, section, None, unknown("section", section, sections))
        if not isinstance(table, dict):
            raise SettingsError(path, section, table, f"must be a section: [{section}]")
        for name, value in table.items():
            key = f"{section}.{name}"
            if key not in known:
                beside = [k.partition(".")[2] for k in known if k.startswith(f"{section}.")]
                raise SettingsError(path, key, value, unknown("key", name, beside))
            try:
                values[key] = known[key].parse(value)
            except ValueError as error:
                raise SettingsError(path, key, value, str(error)) from None
    return values


def read_toml(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """Return the TOML document at `path`. Raises SettingsError if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise SettingsError(path, "", None, "there is no such file") from None
    except OSError as error:
        raise SettingsError(path, "", None, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(path, "", None, f"is not UTF-8 text at byte {error.start}") from None
    except (ValueError, RecursionError) as error:  # RecursionError: deeply nested input
        raise SettingsError(path, "", None, f"is not TOML: {error}") from None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the text for a key that is not known, with the nearest that is."""
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(options)}"
    return f"unknown {kind} {name!r}; {hint}"


def template() -> str:
    """Return a node.toml in which every setting stands commented out with its default."""
    lines = ["# Settings of this node. Every line shows the default; see node.toml(5).", ""]
    section = ""
    for setting in SETTINGS:
        head, _, name = setting.key.partition(".")
        if head != section:
            lines += [""] * bool(section) + [f"[{head}]"]
            section = head
        lines += [f"# {setting.text}", f"#{name} = {setting.show(setting.default())}"]
    return "\n".join(lines) + "\n"


def _listen(value: object) -> str | None:
    if value == "":
        return None
    parse_address(value)
    return str(value)


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _count(least: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"must be a whole number, at least {least}")
        return value

    return parse


def _size(value: object) -> int:
    allowed = 'must be a size such as "64MiB", "512KiB" or "1GiB", or a number of bytes'
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)(B|KiB|MiB|GiB)", value)
        if match is None:
            raise ValueError(allowed)
        return int(match[1]) << {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[match[2]]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(allowed)
    return value


def _segment_size(value: object) -> int:
    size = _size(value)
    if not SEGMENT_BYTES_MIN <= size <= SEGMENT_BYTES_MAX:
        raise ValueError(f"must be from {SEGMENT_BYTES_MIN >> 10}KiB to {SEGMENT_BYTES_MAX >> 20}MiB")
    return size


def _cache_size(value: object) -> int:
    size = _size(value)
    if size < LOG_CACHE_BYTES_MIN:
        raise ValueError(f"must be at least {LOG_CACHE_BYTES_MIN >> 20}MiB")
    return size


def _one_of(*options: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return value

    return parse


def _check_together(path: Path, settings: NodeSettings) -> None:
    """Refuse values that are valid alone but cannot work together."""
    raft = settings.replica
    if raft.election_timeout_max <= raft.election_timeout_min:
        raise SettingsError(
            path,
            "raft.election_timeout_max",
            format_duration(raft.election_timeout_max),
            f"must be above raft.election_timeout_min, which is {format_duration(raft.election_timeout_min)}",
        )
    if raft.heartbeat_interval * 2 > raft.election_timeout_min:
        raise SettingsError(
            path,
            "raft.heartbeat_interval",
            format_duration(raft.heartbeat_interval),
            f"must be at most half of raft.election_timeout_min, which is {format_duration(raft.election_timeout_min)}",
        )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


SEGMENT_BYTES_MIN: Final = 64 * 1024
SEGMENT_BYTES_MAX: Final = 1024 * 1024 * 1024

_DEFAULTS: Final = NodeSettings()

SETTINGS: Final = (
    Setting(
        "node.listen",
        "listen",
        _listen,
        'Where to listen, as "host:port". Empty: at the address by which the members know this node.',
    ),
    Setting(
        "raft.election_timeout_min",
        "election_timeout_min",
        parse_positive_duration,
        "A follower campaigns after a random time without a leader; this is its lower end.",
        True,
    ),
    Setting(
        "raft.election_timeout_max",
        "election_timeout_max",
        parse_positive_duration,
        "The upper end of that time; must be above election_timeout_min.",
        True,
    ),
    Setting(
        "raft.heartbeat_interval",
        "heartbeat_interval",
        parse_positive_duration,
        "How often a leader sends heartbeats; at most half of election_timeout_min.",
        True,
    ),
    Setting(
        "raft.pre_vote",
        "pre_vote",
        _bool,
        "Before it raises its term, a candidate asks the voters whether it could win.",
        True,
    ),
    Setting(
        "raft.check_quorum", "check_quorum", _bool, "A leader that loses contact with a majority steps down.", True
    ),
    Setting(
        "snapshot.entries",
        "snapshot_entries",
        _count(0),
        "Take a snapshot after each entry whose index is a multiple of this; 0: not for this reason.",
        True,
    ),
    Setting(
        "snapshot.bytes",
        "snapshot_bytes",
        _size,
        "Take a snapshot after this many bytes of commands; 0: not for this reason.",
        True,
    ),
    Setting(
        "snapshot.trailing_entries",
        "snapshot_trailing",
        _count(0),
        "How many entries stay in the log after a snapshot, for members a little behind.",
        True,
    ),
    Setting("snapshot.keep", "snapshot_keep", _count(1), "How many snapshots to keep."),
    Setting(
        "snapshot.send_rate",
        "snapshot_send_rate",
        _size,
        "The most bytes per second of a snapshot that are sent to one member; 0: no limit.",
        True,
    ),
    Setting(
        "storage.log_cache_bytes",
        "log_cache_bytes",
        _cache_size,
        "How much of the newest entries stays in memory; older ones are read from the disk.",
        True,
    ),
    Setting(
        "storage.segment_bytes",
        "segment_bytes",
        _segment_size,
        "The size at which a log file ends and the next one begins.",
    ),
    Setting(
        "log.level",
        "log_level",
        _one_of("debug", "info", "warn", "error"),
        "The least important lines to write: debug, info, warn or error.",
    ),
    Setting("log.format", "log_format", _one_of("logfmt", "json"), "The format of the lines: logfmt or json."),
    Setting("limits.connections", "connections_max", _count(1), "The most client connections at a time."),
    Setting(
        "limits.requests_in_flight",
        "requests_in_flight_max",
        _count(1),
        "The most unanswered requests of one connection, at which reading from it pauses.",
    ),
    Setting(
        "limits.request_timeout",
        "request_timeout",
        parse_positive_duration,
        "How long a request may wait before it fails; a write's outcome is then unknown.",
        True,
    ),
    Setting(
        "limits.no_leader_timeout",
        "no_leader_timeout",
        parse_positive_duration,
        "How long a request waits for a leader before it fails.",
        True,
    ),
)
