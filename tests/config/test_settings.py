"""node.toml and cluster.toml: what is read, and how each wrong line is refused."""

import re
import tomllib
from pathlib import Path

import pytest

from raftnode.config.cluster_file import ClusterFile, derived_id
from raftnode.config.settings import (
    SETTINGS,
    NodeSettings,
    ReplicaSettings,
    SettingsError,
    format_duration,
    parse_address,
    parse_duration,
    parse_node_name,
    template,
)
from raftnode.wire.peer import decode_member_context

ROOT = Path(__file__).parents[2]


def load(tmp_path: Path, text: str) -> NodeSettings:
    file = tmp_path / "node.toml"
    file.write_text(text)
    return NodeSettings.load(file)


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    """A node needs no node.toml."""
    assert NodeSettings.load(tmp_path / "node.toml") == NodeSettings()


def test_the_template_is_all_defaults_and_every_line_of_it_can_be_uncommented(tmp_path: Path) -> None:
    """What `raftnode format` leaves changes nothing, commented out or not."""
    assert load(tmp_path, template()) == NodeSettings()
    uncommented = re.sub(r"(?m)^#(?! )", "", template())
    assert len(tomllib.loads(uncommented)) == len({setting.key.split(".")[0] for setting in SETTINGS})
    assert load(tmp_path, uncommented) == NodeSettings()


def test_every_section_is_read(tmp_path: Path) -> None:
    """Durations are texts with a unit or numbers of seconds, sizes texts with a unit or numbers of bytes."""
    settings = load(
        tmp_path,
        """
        [node]
        listen = "[::]:7001"
        [raft]
        election_timeout_min = "500ms"
        election_timeout_max = 1.5
        heartbeat_interval = 0.05
        pre_vote = false
        [snapshot]
        entries = 5
        bytes = "1GiB"
        keep = 3
        [storage]
        segment_bytes = "1MiB"
        [log]
        level = "debug"
        format = "json"
        [limits]
        connections = 7
        request_timeout = "1m"
        """,
    )
    assert settings == NodeSettings(
        listen="[::]:7001",
        replica=ReplicaSettings(
            election_timeout_min=0.5,
            election_timeout_max=1.5,
            heartbeat_interval=0.05,
            pre_vote=False,
            snapshot_entries=5,
            snapshot_bytes=1 << 30,
            request_timeout=60.0,
        ),
        snapshot_keep=3,
        segment_bytes=1 << 20,
        log_level="debug",
        log_format="json",
        connections_max=7,
    )


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("[raft]\nheartbeat_interval = '10 s'", "raft.heartbeat_interval", '"500ms"'),
        ("[raft]\nheartbeat_interval = 0", "raft.heartbeat_interval", "above 0"),
        ("[raft]\nheartbeat_interval = true", "raft.heartbeat_interval", "duration"),
        ("[raft]\nheartbeat_interval = nan", "raft.heartbeat_interval", "duration"),
        ("[raft]\nheartbeat_interval = '600ms'", "raft.heartbeat_interval", "half of raft.election_timeout"),
        ("[raft]\nelection_timeout_max = '1s'", "raft.election_timeout_max", "above raft.election_timeout"),
        ("[raft]\npre_vote = 1", "raft.pre_vote", "true or false"),
        ("[raft]\nheartbeat = 1", "raft.heartbeat", "did you mean 'heartbeat_interval'"),
        ("[rfat]\npre_vote = true", "rfat", "did you mean 'raft'"),
        ("raft = 3", "raft", "must be a section"),
        ("[node]\nlisten = 'localhost'", "node.listen", "host:port"),
        ("[node]\nlisten = 'h:0'", "node.listen", "1 to 65535"),
        ("[snapshot]\nentries = -1", "snapshot.entries", "at least 0"),
        ("[snapshot]\nkeep = 0", "snapshot.keep", "at least 1"),
        ("[snapshot]\nbytes = '3 MB'", "snapshot.bytes", "64MiB"),
        ("[storage]\nsegment_bytes = 10", "storage.segment_bytes", "from 64KiB"),
        ("[log]\nlevel = 'loud'", "log.level", "one of debug, info, warn, error"),
        ("[limits]\nconnections = 1.5", "limits.connections", "whole number"),
    ],
)
def test_a_wrong_line_is_refused_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, key: str, said: str
) -> None:
    """An operator can correct the line from the message alone."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert caught.value.key == key
    assert str(tmp_path / "node.toml") in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [(b"[raft", "is not TOML"), (b"\xff", "is not UTF-8")])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """The message names the file, and the line where the parser gave up."""
    file = tmp_path / "node.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        NodeSettings.load(file)


def test_every_setting_is_in_its_manual_page() -> None:
    """node.toml(5) names each section, each key and each default."""
    page = (ROOT / "man" / "node.toml.5").read_text().replace("\\-", "-")
    for setting in SETTINGS:
        section, _, name = setting.key.partition(".")
        assert f'.SS "[{section}]"' in page
        assert f".B {name}\n" in page, setting.key
        assert f"Default: {setting.show(setting.default())}." in page, setting.key


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.5, 1.0, 1.5, 90.0])
def test_a_duration_is_read_back_as_it_was_shown(seconds: float) -> None:
    """format_duration() and parse_duration() are inverse."""
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "h", "h:", ":1", "h:x", "h:65536", "a b:1", "::1:70", "h:1\n", 7, None])
def test_what_is_no_address_is_refused(text: object) -> None:
    """An IPv6 address needs its brackets; the port is a port."""
    with pytest.raises(ValueError, match="host:port"):
        parse_address(text)


def test_addresses_are_split() -> None:
    """host:port, and [ipv6]:port without its brackets."""
    assert parse_address("10.0.0.1:7001") == ("10.0.0.1", 7001)
    assert parse_address("[fe80::1%eth0]:1") == ("fe80::1%eth0", 1)


@pytest.mark.parametrize("name", ["", "7", "-a", "a b", "a:b", "a" * 64, "é", 3, None])
def test_a_name_that_could_be_taken_for_something_else_is_refused(name: object) -> None:
    """A member is named by name, id or address: a name is none of the other two."""
    with pytest.raises(ValueError, match="letters"):
        parse_node_name(name)


CLUSTER = """
[cluster]
name = "demo"
[[node]]
id = 1
name = "n1"
address = "h1:7001"
data_dir = "data/n1"
[[node]]
id = 2
name = "n2"
address = "h2:7001"
"""


def test_a_cluster_file_gives_nodes_and_their_first_configuration(tmp_path: Path) -> None:
    """Every node a voter, with name and address in its context; data_dir is relative to the file."""
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER)
    cluster = ClusterFile.load(file)
    assert [node.data_dir for node in cluster.nodes] == [tmp_path / "data/n1", None]
    configuration = cluster.configuration()
    assert configuration.voters == (1, 2)
    assert configuration.highest_id == 2
    assert decode_member_context(configuration.contexts[2]).address == "h2:7001"


def test_a_cluster_without_an_id_gets_the_same_one_on_every_machine(tmp_path: Path) -> None:
    """The id follows from the name and the nodes: three machines format alike from copies of one file."""
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER)
    cluster = ClusterFile.load(file)
    assert cluster.id == derived_id("demo", tuple(reversed(cluster.nodes)))
    file.write_text(CLUSTER.replace("h2:", "h3:"))
    assert ClusterFile.load(file).id != cluster.id
    file.write_text(CLUSTER.replace('name = "demo"', 'name = "demo"\nid = "given"'))
    assert ClusterFile.load(file).id == "given"


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ('name = "demo"', "", "cluster.name", "is missing"),
        ("[cluster]\n", "[clutser]\n", "clutser", "did you mean 'cluster'"),
        ("id = 2", "id = 1", "node[2].id", "node[1] has the same"),
        ("id = 2", "id = 0", "node[2].id", "from 1"),
        ('"n2"', '"n1"', "node[2].name", "node[1] has the same"),
        ("h2:7001", "h1:7001", "node[2].address", "node[1] has the same"),
        ("h2:7001", "h2", "node[2].address", "host:port"),
        ('data_dir = "data/n1"', "data_dir = 3", "node[1].data_dir", "must be a path"),
        ("address =", "adress =", "node[1].adress", "did you mean 'address'"),
        ("[[node]]", "[[nodes]]", "nodes", "did you mean 'node'"),
    ],
)
def test_a_wrong_cluster_file_is_refused(tmp_path: Path, old: str, new: str, key: str, said: str) -> None:
    """File, key and rule are named."""
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER.replace(old, new))
    with pytest.raises(SettingsError) as caught:
        ClusterFile.load(file)
    assert caught.value.key == key
    assert said in str(caught.value)


@pytest.mark.parametrize("value", ["[" * 5000, "1" * 5000], ids=["nesting", "digits"])
def test_toml_that_the_reader_cannot_take_is_refused_by_name(tmp_path: Path, value: str) -> None:
    """Deep nesting and endless numbers are no tracebacks."""
    path = tmp_path / "node.toml"
    path.write_text(f"x = {value}")
    with pytest.raises(SettingsError, match="is not TOML"):
        NodeSettings.load(path)
