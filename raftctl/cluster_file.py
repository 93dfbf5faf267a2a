"""cluster.toml: a cluster's nodes, once, for every command and script.

[cluster]
name = "demo"
id = "9f0c..."
[[node]]
id = 1
name = "n1"
address = "127.0.0.1:7001"
data_dir = "data/n1"            # relative to the file
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any, Final, TypeVar

from raftctl.local.contexts import split_address
from raftnode.config.errors import NotFound, UsageError

_T = TypeVar("_T", str, int)

EXAMPLE: Final = "see cluster.toml under FILES in raftctl(1), or have one written: raftctl cluster init DIR"


@dataclass(frozen=True)
class ClusterNode:
    """One [[node]]; `data_dir` is absolute."""

    id: int
    name: str
    address: str
    data_dir: str


@dataclass(frozen=True)
class ClusterFile:
    """A cluster file's content."""

    path: str
    name: str
    id: str
    nodes: tuple[ClusterNode, ...]

    def pick(self, names: Sequence[str]) -> tuple[ClusterNode, ...]:
        """Return the nodes with these names, or all. Raises NotFound."""
        known = {n.name: n for n in self.nodes}
        for name in names:
            if name not in known:
                raise NotFound(
                    f"there is no node {name!r} in {self.path}",
                    f"it has: {', '.join(known)}",
                    f"see them: raftctl cluster list -f {quote(self.path)}",
                )
        return tuple(n for n in self.nodes if not names or n.name in names)


def load_cluster_file(path: str) -> ClusterFile:
    """Return a cluster file's content. Raises UsageError that names the file and the key."""
    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no cluster file {path}",
            "the nodes are read from one",
            "make one: raftctl cluster init DIR; or name it with -f",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path}", str(error), "mend the file, or name another with -f") from error
    head = data.get("cluster")
    if not isinstance(head, dict):
        raise UsageError(f"{path}: there is no [cluster] table", "it has the cluster's name and id", EXAMPLE)
    tables = data.get("node")
    if not isinstance(tables, list) or not tables:
        raise UsageError(f"{path}: there is no [[node]]", "a cluster has at least one", EXAMPLE)
    base = os.path.dirname(os.path.abspath(path))
    nodes = tuple(_node(path, base, number, table) for number, table in enumerate(tables, 1))
    for key in ("id", "name", "address", "data_dir"):
        values = [getattr(node, key) for node in nodes]
        twice = next((v for v in values if values.count(v) > 1), None)
        if twice is not None:
            raise UsageError(
                f"{path}: two nodes have the {key} {twice!r}", "each node has its own", "give one of them another"
            )
    return ClusterFile(
        path,
        _value(path, "cluster.name", head.get("name"), str),
        _value(path, "cluster.id", head.get("id", ""), str),
        nodes,
    )


def _node(path: str, base: str, number: int, table: Any) -> ClusterNode:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: node {number} is not a [[node]] table", f"it is {table!r}", EXAMPLE)
    where = f"node {number}"
    node_id = _value(path, f"{where}: id", table.get("id"), int)
    if node_id < 1:
        raise UsageError(
            f"{path}: {where}: id cannot be {node_id}",
            "it is a positive whole number",
            "give each node an id that no other node ever had",
        )
    address = _value(path, f"{where}: address", table.get("address"), str)
    try:
        split_address(address)
    except UsageError as error:
        raise UsageError(f"{path}: {where}: {error.what}", error.why, error.next_step) from error
    data_dir = _value(path, f"{where}: data_dir", table.get("data_dir"), str)
    return ClusterNode(
        node_id,
        _value(path, f"{where}: name", table.get("name"), str),
        address,
        os.path.normpath(os.path.join(base, data_dir)),
    )


def _value(path: str, key: str, value: Any, kind: type[_T]) -> _T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UsageError(
            f"{path}: {key} is {'missing' if value is None else repr(value)}",
            f"it is {'a text' if kind is str else 'a whole number'}",
            EXAMPLE,
        )
    return value


def render_cluster_file(name: str, cluster_id: str, nodes: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of a new cluster file."""
    import tomli_w

    return tomli_w.dumps({"cluster": {"name": name, "id": cluster_id}, "node": [dict(n) for n in nodes]})
