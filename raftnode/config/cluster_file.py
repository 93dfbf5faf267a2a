"""cluster.toml: a cluster's name and first members, from which data directories are formatted.

[cluster]
name = "demo"
id = "6a0f..."          # optional: derived from the name and the nodes if absent

[[node]]
id = 1
name = "n1"
address = "127.0.0.1:7001"
data_dir = "data/n1"    # relative to the file
"""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Final

from raftnode.config.errors import NotFound
from raftnode.config.settings import SettingsError, read_toml, unknown
from raftnode.core.membership import Configuration, make_configuration
from raftnode.wire.address import normal_address, parse_member_address, parse_node_name
from raftnode.wire.peer import encode_member_context

ID_NAMESPACE: Final = uuid.UUID("5b0fdc3e-8a55-4c8e-9a0c-1d0d1f7c2b6e")
"""The uuid5 namespace of the cluster ids that are derived from a cluster file."""

NODE_ID_MAX: Final = 2**31 - 1


@dataclass(frozen=True)
class ClusterNode:
    """One [[node]]. A relative `data_dir` has been joined to the directory of the file."""

    id: int
    name: str
    address: str
    data_dir: Path | None

    @property
    def data_path(self) -> str:
        """The absolute data directory. Only for files read with `data_dirs=True`."""
        assert self.data_dir is not None, "a file whose data directories are needed was read with data_dirs=True"
        return os.path.abspath(self.data_dir)


@dataclass(frozen=True)
class ClusterFile:
    """A whole cluster.toml, checked. `given_id` is empty if the file has no id; `id` is then derived from the nodes."""

    path: Path
    name: str
    id: str
    given_id: str
    nodes: tuple[ClusterNode, ...]

    @classmethod
    def load(cls, path: Path, *, data_dirs: bool = False) -> "ClusterFile":
        """Read `path`; with `data_dirs`, each node must have a data_dir. Raises SettingsError."""
        document = read_toml(path)
        _known(path, "", document, ("cluster", "node"))
        cluster = document.get("cluster")
        if not isinstance(cluster, dict):
            raise SettingsError(path, "cluster", cluster, 'must be a section [cluster] with a name = "..."')
        _known(path, "cluster.", cluster, ("name", "id"))
        name = _parsed(path, "cluster.name", cluster.get("name"), parse_node_name)
        tables = document.get("node")
        if not isinstance(tables, list) or not tables:
            raise SettingsError(path, "node", None, "there must be at least one [[node]]")
        nodes = tuple(_node(path, number, table) for number, table in enumerate(tables, 1))
        _check_distinct(path, nodes)
        given = cluster.get("id")
        if given is not None:
            _parsed(path, "cluster.id", given, _cluster_id)
        for number, node in enumerate(nodes, 1):
            if data_dirs and node.data_dir is None:
                raise SettingsError(path, f"node[{number}].data_dir", None, "is missing: it must be a path")
        return cls(path, name, given or derived_id(name, nodes), given or "", nodes)

    def configuration(self) -> Configuration:
        """Return the first configuration: every node a voter."""
        contexts = {node.id: encode_member_context(node.name, node.address) for node in self.nodes}
        return make_configuration([node.id for node in self.nodes], contexts=contexts)

    def node(self, name: str) -> ClusterNode | None:
        """Return the node called `name`."""
        return next((node for node in self.nodes if node.name == name), None)

    def pick(self, names: Sequence[str]) -> tuple[ClusterNode, ...]:
        """Return the nodes with these names in the file's order, or all for no names. Raises NotFound."""
        for name in names:
            if self.node(name) is None:
                raise NotFound(
                    f"{self.path} has no node {name!r}",
                    f"its nodes are {', '.join(node.name for node in self.nodes)}",
                    f"see them: raftctl cluster list -f {quote(str(self.path))}",
                )
        return tuple(node for node in self.nodes if not names or node.name in names)


def render(name: str, cluster_id: str, nodes: Sequence[ClusterNode]) -> str:
    """Return the text of a new cluster file; data directories stand in it as they are in `nodes`."""
    import tomli_w

    tables = [
        {"id": node.id, "name": node.name, "address": node.address, "data_dir": str(node.data_dir)} for node in nodes
    ]
    return tomli_w.dumps({"cluster": {"name": name, "id": cluster_id}, "node": tables})


def derived_id(name: str, nodes: tuple[ClusterNode, ...]) -> str:
    """Return the cluster id of a file without one: uuid5 of the name and each node's id, name and address.

    The hashed text is the name, then "id name address" of each node in order of its id, joined by newlines.
    """
    lines = [f"{node.id} {node.name} {node.address}" for node in sorted(nodes, key=lambda node: node.id)]
    return str(uuid.uuid5(ID_NAMESPACE, "\n".join([name, *lines])))


def _node(path: Path, number: int, table: Any) -> ClusterNode:
    where = f"node[{number}]."
    if not isinstance(table, dict):
        raise SettingsError(path, f"node[{number}]", table, "must be a [[node]] table")
    _known(path, where, table, ("id", "name", "address", "data_dir"))
    data_dir = table.get("data_dir")
    if data_dir is not None and (not isinstance(data_dir, str) or not data_dir):
        raise SettingsError(path, f"{where}data_dir", data_dir, "must be a path")
    return ClusterNode(
        id=_parsed(path, f"{where}id", table.get("id"), _node_id),
        name=_parsed(path, f"{where}name", table.get("name"), parse_node_name),
        address=_parsed(path, f"{where}address", table.get("address"), _address),
        data_dir=None if data_dir is None else path.parent / data_dir,
    )


def _check_distinct(path: Path, nodes: tuple[ClusterNode, ...]) -> None:
    for what in ("id", "name", "address", "data_dir"):
        seen: dict[object, int] = {}
        for number, node in enumerate(nodes, 1):
            value = normal_address(node.address) if what == "address" else getattr(node, what)
            if value is not None and value in seen:
                allowed = f"must be its own: node[{seen[value]}] has the same"
                raise SettingsError(path, f"node[{number}].{what}", str(getattr(node, what)), allowed)
            seen[value] = number


def _known(path: Path, where: str, table: dict[str, Any], names: tuple[str, ...]) -> None:
    for name, value in table.items():
        if name not in names:
            shown = None if isinstance(value, dict | list) else value
            raise SettingsError(path, f"{where}{name}", shown, unknown("key", name, names))


def _parsed(path: Path, key: str, value: object, parse: Any) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        missing = "is missing: it " if value is None else ""
        raise SettingsError(path, key, value, f"{missing}{error}") from None


def _address(value: object) -> str:
    parse_member_address(value)
    return str(value)


def _node_id(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= NODE_ID_MAX:
        raise ValueError(f"must be a whole number from 1 to {NODE_ID_MAX}")
    return value


def _cluster_id(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable() or " " in value:
        raise ValueError("must be 1 to 64 printable characters without a space, such as a UUID")
    return value
