"""Rule 11: which endpoints are used, and the contexts that name them."""

from pathlib import Path

import pytest

from raftctl.local.contexts import config_path, endpoint_sources, parse_endpoints, split_address
from raftnode.config.errors import UsageError
from tests.raftctl.conftest import Cli


def test_flag_beats_environment_beats_context_beats_default(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """config explain shows every place and which one won."""
    assert cli("config explain -o json").json["source"] == "default"
    cli("context set prod --endpoint 10.0.0.1:7001")
    assert cli("config explain -o json").json["endpoints"] == ["10.0.0.1:7001"]
    monkeypatch.setenv("RAFTCTL_ENDPOINTS", "10.0.0.2:7001,10.0.0.3:7001")
    assert cli("config explain -o json").json["endpoints"] == ["10.0.0.2:7001", "10.0.0.3:7001"]
    assert cli("config explain -o json --context prod").json["endpoints"] == ["10.0.0.1:7001"]
    shown = cli("config explain -e h:1 --context prod -o json").json
    assert shown["endpoints"] == ["h:1"]
    assert [p["won"] for p in shown["places"]] == [True, False, False, False, False]


def test_contexts_are_saved_used_shown_and_deleted(cli: Cli) -> None:
    """The first one becomes current; each change says whether it changed anything."""
    assert cli("context set prod -e 10.0.0.1:7001 -o json").json["changed"] is True
    assert cli("context set prod -e 10.0.0.1:7001 -o json").json["changed"] is False
    cli("context set test -e 10.0.0.9:7001")
    assert cli("context list -o json").json["current"] == "prod"
    assert cli("context use test -o json").json["changed"] is True
    assert cli("context show -o json").json["endpoints"] == ["10.0.0.9:7001"]
    assert cli("context delete test -o json").json["changed"] is True
    assert cli("context delete test").code == 3
    assert cli("context delete test --if-exists -o json").json["changed"] is False
    assert cli("context show").code == 3
    assert cli("context use nowhere").code == 3
    assert cli("context set empty").code == 2
    assert cli("status --context nowhere").code == 3


@pytest.mark.parametrize(
    "text",
    [
        "current = 1",
        "contexts = 1",
        "[contexts.a]\nendpoints = []",
        '[contexts.a]\nendpoints = "h:1"',
        '[contexts.a]\nendpoints = ["h"]',
        "not toml",
        "[contexts.a]",
    ],
)
def test_a_bad_contexts_file_names_itself(cli: Cli, tmp_path: Path, text: str) -> None:
    """Exit 2 with the file and the key, no traceback."""
    (tmp_path / "contexts.toml").write_text(text, encoding="utf-8")
    got = cli("context list")
    assert got.code == 2
    assert "E_USAGE" in got.err


def test_addresses() -> None:
    """host:port, with brackets around an IPv6 host."""
    assert split_address("[::1]:7001") == ("::1", 7001)
    assert parse_endpoints(["a:1, b:2", "a:1"]) == ("a:1", "b:2")
    for wrong in ("host", "host:", ":1", "host:0", "host:65536", "::1:7001", "host:x"):
        with pytest.raises(UsageError):
            split_address(wrong)


def test_where_the_contexts_file_is() -> None:
    """RAFTCTL_CONFIG over XDG_CONFIG_HOME over HOME."""
    assert config_path({"RAFTCTL_CONFIG": "/c"}) == "/c"
    assert config_path({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == "/x/raftctl/config.toml"
    assert config_path({"HOME": "/h"}) == "/h/.config/raftctl/config.toml"
    assert endpoint_sources(["h:1"], None, {"HOME": "/nonexistent"})[0].endpoints == ("h:1",)
