"""Right bytes of every kind, from a cluster that really ran: what the mutations begin with."""

import functools
import random
from dataclasses import dataclass, field

import msgspec

from raftnode.config.settings import template
from raftnode.core.types import LogEntry
from raftnode.wire.client import ReadSnapshot
from raftnode.wire.frame import encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello, Rejected, Welcome
from tests.replica.test_replica_hostile import any_message, any_request
from tests.support.replicas import CLUSTER_ID, Cluster, put, unframe

EACH_MAX = 300
CLUSTER_TOML = b"""[cluster]
name = "demo"
id = "5f0c"
[[node]]
id = 1
name = "n1"
address = "127.0.0.1:7001"
data_dir = "data/n1"
[[node]]
id = 2
name = "n2"
address = "[::1]:7002"
data_dir = "data/n2"
"""


@dataclass
class Corpus:
    """Bodies of frames by protocol, and a node's files by name."""

    hellos: list[bytes] = field(default_factory=list)
    peers: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    node_toml: list[bytes] = field(default_factory=list)
    cluster_toml: list[bytes] = field(default_factory=list)


def body_of(message: object) -> bytes:
    """Return a message as it stands in a frame."""
    assert isinstance(message, msgspec.Struct)
    return unframe(encode_frame(message))


@functools.cache
def corpus() -> Corpus:
    """Run a cluster of three through requests of every kind, and keep what was said and what its disks hold."""
    rng = random.Random(1)
    cluster = Cluster(3, seed=1)
    leader = cluster.leader()
    client = cluster.client()
    made = Corpus()
    for number in range(60):
        client.ask(leader, put(client, b"k%d" % number, rng.randbytes(number * 7)))
    requests = [any_request(rng, client.next_id()) for _ in range(EACH_MAX)]
    requests += [ReadSnapshot(client.next_id(), 0, 0, offset, 65536) for offset in range(0, 2000, 100)]
    for request in requests:
        made.requests.append(body_of(request))
        client.send(rng.choice((1, 2, 3)), request)
        cluster.run_for(0.01)
    cluster.run_for(1.0)
    for node in cluster.nodes.values():
        for kind, said in list(node.journal):
            if kind == "answer":
                made.answers.append(body_of(said))
            elif kind in ("request", "response"):
                assert isinstance(said, tuple)
                _keep_message(made, said[1])
    made.peers = rng.sample(made.peers, min(EACH_MAX, len(made.peers)))
    made.peers += [body_of(any_message(rng)) for _ in range(EACH_MAX)]
    made.answers = rng.sample(made.answers, min(EACH_MAX, len(made.answers)))
    made.hellos = [
        body_of(Hello(PROTOCOL_VERSION, CLUSTER_ID, 2, "ab" * 16, 1)),
        body_of(Hello(PROTOCOL_VERSION, "")),
        body_of(Welcome(PROTOCOL_VERSION, CLUSTER_ID, 2, "ab" * 16, "n2")),
        body_of(Rejected("cluster", "another")),
    ]
    fs = cluster.nodes[leader].fs
    made.files = {path: fs.contents(path) for path in fs.files()}
    plain = "\n".join(line.removeprefix("#") for line in template().splitlines() if not line.startswith("# "))
    made.node_toml = [plain.encode(), template().encode(), b"[raft]\nheartbeat_interval = 0.1\npre_vote = true\n"]
    made.cluster_toml = [CLUSTER_TOML]
    return made


def _keep_message(made: Corpus, message: object) -> None:
    made.peers.append(body_of(message))
    for entry in getattr(message, "entries", ()):
        assert isinstance(entry, LogEntry)
        if len(made.entries) < EACH_MAX and entry.data:
            made.entries.append(entry.data)
