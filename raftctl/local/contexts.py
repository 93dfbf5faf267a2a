"""Which nodes to ask, and why those: flag over environment over context over default.

The contexts file is `$RAFTCTL_CONFIG`, else `$XDG_CONFIG_HOME/raftctl/config.toml`,
else `~/.config/raftctl/config.toml`:

    current = "demo"
    [contexts.demo]
    endpoints = ["127.0.0.1:7001", "127.0.0.1:7002"]
    cluster_id = "3ab6f53fdd5b47c59ec74921f294066e"      # may be left out
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from raftnode.config.errors import NotFound, UsageError
from raftnode.wire.address import parse_address, parse_member_address, split_endpoints

DEFAULT_ENDPOINT: Final = "127.0.0.1:7001"


class EndpointSource(NamedTuple):
    """One place that could name endpoints: what it says, and whether it won."""

    place: str
    endpoints: tuple[str, ...]
    won: bool = False
    cluster_id: str = ""
    """The cluster that the endpoints must belong to; "" for that of the first node to answer."""


class Contexts:
    """The contexts file's content."""

    def __init__(self, current: str = "") -> None:
        self.current = current
        self.endpoints: dict[str, tuple[str, ...]] = {}
        self.cluster_ids: dict[str, str] = {}
        """The cluster ids of the contexts that have one."""


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of "host:port" or "[v6]:port". Raises UsageError."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not an address",
            "an address is host:port, with an IPv6 host in brackets",
            "write 10.0.0.1:7001, node1.example:7001 or [::1]:7001",
        ) from error


def check_member_address(text: str) -> None:
    """Raise UsageError for an address that no other node could dial."""
    split_address(text)
    try:
        parse_member_address(text)
    except ValueError as error:
        raise UsageError(
            f"no member can be at {text}",
            f"a member's address {error}",
            "give the host that the other nodes reach it at",
        ) from error


def parse_endpoints(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses in flags or in a variable, where commas may separate them. Raises UsageError."""
    found = split_endpoints(texts)
    for address in found:
        split_address(address)
    return found


def config_path(environment: Mapping[str, str] | None = None) -> str:
    """Return where the contexts file is, whether or not it exists."""
    env = os.environ if environment is None else environment
    if env.get("RAFTCTL_CONFIG"):
        return env["RAFTCTL_CONFIG"]
    base = env.get("XDG_CONFIG_HOME") or os.path.join(env.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(base, "raftctl", "config.toml")


def load_contexts(path: str) -> Contexts:
    """Return the saved contexts; none without a file. Raises UsageError naming the file and the key."""
    if not os.path.exists(path):
        return Contexts()
    import tomllib

    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path}", str(error), "fix the file, or remove it") from error
    contexts = Contexts(_text(path, data, "current"))
    table = data.get("contexts", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: contexts is not a table", f"it is {table!r}", "fix the file, or remove it")
    for name, entry in table.items():
        endpoints = entry.get("endpoints") if isinstance(entry, dict) else None
        if not isinstance(endpoints, list) or not all(isinstance(e, str) for e in endpoints) or not endpoints:
            raise UsageError(
                f"{path}: contexts.{name}.endpoints is not a list of addresses",
                f"it is {endpoints!r}",
                'write endpoints = ["10.0.0.1:7001"]',
            )
        contexts.endpoints[name] = parse_endpoints(endpoints)
        cluster_id = _text(f"{path}: contexts.{name}", entry, "cluster_id")
        if cluster_id:
            contexts.cluster_ids[name] = cluster_id
    return contexts


def save_contexts(path: str, contexts: Contexts) -> None:
    """Write the contexts file, whole or not at all. Raises UsageError if it cannot be written."""
    import tomli_w

    data: dict[str, Any] = {"current": contexts.current} if contexts.current else {}
    ids = contexts.cluster_ids
    data["contexts"] = {
        n: {"endpoints": list(e)} | ({"cluster_id": ids[n]} if n in ids else {})
        for n, e in sorted(contexts.endpoints.items())
    }
    part = f"{path}.part"
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(part, "wb") as file:
            tomli_w.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}", str(error), "set RAFTCTL_CONFIG to a file that can be written"
        ) from error


def endpoint_sources(
    flags: Sequence[str], context_flag: str | None, environment: Mapping[str, str] | None = None
) -> list[EndpointSource]:
    """Return every place that names endpoints, the strongest first; the first one won.

    Raises UsageError for a bad address and NotFound for a context that was asked for and does not exist.
    """
    env = os.environ if environment is None else environment
    path = config_path(env)
    contexts = load_contexts(path)
    sources = []
    if flags:
        sources.append(EndpointSource("flag --endpoint", parse_endpoints(flags)))
    if context_flag:
        sources.append(_context_source(f"flag --context {context_flag}", contexts, context_flag, path))
    if env.get("RAFTCTL_ENDPOINTS"):
        sources.append(EndpointSource("environment RAFTCTL_ENDPOINTS", parse_endpoints([env["RAFTCTL_ENDPOINTS"]])))
    if env.get("RAFTCTL_CONTEXT"):
        name = env["RAFTCTL_CONTEXT"]
        sources.append(_context_source(f"environment RAFTCTL_CONTEXT {name}", contexts, name, path))
    if contexts.current:
        sources.append(_context_source(f"context {contexts.current} of {path}", contexts, contexts.current, path))
    sources.append(EndpointSource("default", (DEFAULT_ENDPOINT,)))
    sources[0] = sources[0]._replace(won=True)
    return sources


def _context_source(place: str, contexts: Contexts, name: str, path: str) -> EndpointSource:
    return EndpointSource(place, context_endpoints(contexts, name, path), cluster_id=contexts.cluster_ids.get(name, ""))


def context_endpoints(contexts: Contexts, name: str, path: str) -> tuple[str, ...]:
    """Return a context's endpoints. Raises NotFound."""
    if name not in contexts.endpoints:
        known = ", ".join(sorted(contexts.endpoints)) or "none"
        raise NotFound(
            f"there is no context {name!r}",
            f"{path} has: {known}",
            f"save it: raftctl context set {name} --endpoint HOST:PORT",
        )
    return contexts.endpoints[name]


def _text(path: str, data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{path}: {key} is not a text", f"it is {value!r}", "fix the file, or remove it")
    return value
