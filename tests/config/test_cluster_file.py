"""cluster.toml: one parser for both programs."""

import subprocess
import sys
from pathlib import Path

import pytest

from raftnode.config.cluster_file import ClusterFile, derived_id, render
from raftnode.config.settings import SettingsError
from raftnode.wire.peer import decode_member_context

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
        ("h2:7001", "H1.:07001", "node[2].address", "node[1] has the same"),
        ("h2:7001", "0.0.0.0:7001", "node[2].address", "the other nodes can dial"),
        ("h2:7001", "[::]:7001", "node[2].address", "the other nodes can dial"),
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


def test_a_file_that_is_written_is_read_back_the_same(tmp_path: Path) -> None:
    """render() and load() are inverse."""
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER.replace('address = "h2:7001"', 'address = "h2:7001"\ndata_dir = "data/n2"'))
    cluster = ClusterFile.load(file)
    file.write_text(render(cluster.name, cluster.id, cluster.nodes))
    again = ClusterFile.load(file)
    assert (again.name, again.given_id, again.nodes) == (cluster.name, cluster.id, cluster.nodes)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "demo"', 'name = "demo x"'),
        ('"n2"', '"2"'),
        ("h2:7001", "a b:1"),
        ("h2:7001", "[foo]:1"),
        ("h2:7001", "host_[x]:1"),
        ("id = 2", "id = 2\nweight = 3"),
        ("id = 2", "id = 2147483648"),
        ('name = "demo"', 'name = "demo"\nid = "a b"'),
    ],
)
def test_both_programs_refuse_the_same_files(tmp_path: Path, old: str, new: str) -> None:
    """What raftnode format would refuse on a machine is refused before by the raftctl commands that read the file."""
    file = tmp_path / "cluster.toml"
    file.write_text(
        CLUSTER.replace('address = "h2:7001"', 'address = "h2:7001"\ndata_dir = "data/n2"').replace(old, new)
    )
    format_node = [sys.executable, "-m", "raftnode.main", "format", "--cluster-file", str(file), "--name", "n1"]
    list_nodes = [sys.executable, "-m", "raftctl", "cluster", "list", "-f", str(file)]
    for command in (format_node, list_nodes):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2, (command, done)
        assert str(file) in done.stderr
