"""The names of a data directory's files: see raftnode-files(5)."""

from typing import Final

IDENTITY: Final = "identity.json"
INSTANCES: Final = "instances.json"
BOOTS: Final = "boots.json"
LOCK: Final = "LOCK"
SETTINGS: Final = "node.toml"
WAL: Final = "wal"
SNAPSHOTS: Final = "snapshots"
