"""node.toml and cluster.toml: what is read, and how each wrong line is refused."""

import re
import tomllib
from pathlib import Path

import pytest

from raftnode.config.settings import (
    SETTINGS,
    NodeSettings,
    ReplicaSettings,
    SettingsError,
    template,
)

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


@pytest.mark.parametrize("value", ["[" * 5000, "1" * 5000], ids=["nesting", "digits"])
def test_toml_that_the_reader_cannot_take_is_refused_by_name(tmp_path: Path, value: str) -> None:
    """Deep nesting and endless numbers are no tracebacks."""
    path = tmp_path / "node.toml"
    path.write_text(f"x = {value}")
    with pytest.raises(SettingsError, match="is not TOML"):
        NodeSettings.load(path)
