"""The manual page raftctl(1) is generated from the command table."""

import re
from pathlib import Path

import pytest

from raftctl.cli import manual, registry
from raftctl.cli.typer_app import help_text

PAGE = Path(__file__).parents[2] / "man" / "raftctl.1"


def test_the_page_is_what_the_generator_writes() -> None:
    """After a change of a command: python -m raftctl.cli.manual > man/raftctl.1."""
    assert PAGE.read_text(encoding="utf-8") == manual.page(), "stale: python -m raftctl.cli.manual > man/raftctl.1"


@pytest.mark.parametrize("path", registry.COMMANDS)
def test_lists_stay_lists_in_the_help(path: str) -> None:
    """States, fields and exit codes are one a line, in the page and in --help."""
    command = registry.load(path)
    text = help_text(command)
    for paragraph in manual.paragraphs(command):
        for term, _ in manual.list_items(paragraph) or []:
            assert f"\n- {term}: " in text


def test_a_list_item_without_a_text_is_refused() -> None:
    """It would be a term that nobody explains."""
    assert manual.list_items("- 0: It is healthy.\n- 3: It is\n  degraded.") == [
        ("0", "It is healthy."),
        ("3", "It is degraded."),
    ]
    assert manual.list_items("No list - 0: of any kind.") is None
    with pytest.raises(AssertionError, match="no text"):
        manual.list_items("- healthy")


def test_nothing_in_the_page_is_read_as_a_request() -> None:
    """Every line that begins with a dot is one of the few requests that the page uses."""
    requests = set(re.findall(r"^[.'](\S*)", manual.page(), re.MULTILINE))
    assert requests <= {"TH", "SH", "SS", "PP", "TP", "B", "BR", "I", "br", "nf", "fi", "RS", "RE"}
