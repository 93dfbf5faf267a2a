"""The protocol stories in stories/ still happen as they are written (see transcript.py)."""

from pathlib import Path

import pytest

from tests.core.transcript import STORIES, StoryError, difference, perform

FILES = sorted(STORIES.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_story_happens_as_it_is_written(path: Path) -> None:
    """What the commands do now is what the text says. A wanted change: `python -m tests.core.transcript --rewrite`."""
    assert (text := difference(path)) == "", f"{path.name} differs:\n{text}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_story_opens_with_what_to_look_at(path: Path) -> None:
    """Stories are documentation: two sentences or more come first."""
    opening = path.read_text().split("\ncluster ")[0]
    assert all(line.startswith("#") or not line for line in opening.splitlines())
    assert opening.count(". ") + opening.count(": ") >= 1
    assert len(opening) > 120


def test_a_story_that_tells_something_else_is_shown_as_a_difference(tmp_path: Path) -> None:
    """The comparison can fail: one changed line comes back as a unified diff."""
    path = tmp_path / "story.txt"
    text = perform("cluster 1 2 3\ncampaign 1\nsettle\n")
    path.write_text(text)
    assert difference(path) == ""
    path.write_text(text.replace("2 votes for 1", "2 votes for 3"))
    assert "-    2 votes for 3 in term 1" in difference(path)
    assert "+    2 votes for 1 in term 1" in difference(path)


def test_rewriting_a_story_keeps_its_commands_and_its_words() -> None:
    """Everything that is not indented stays as it is."""
    story = "# Words.\ncluster 1 2\n\nelect 1\n    nonsense\n# More words.\nstatus 1\n"
    once = perform(story)
    assert [line for line in once.splitlines() if not line.startswith(" ")] == [
        line for line in story.splitlines() if not line.startswith(" ")
    ]
    assert perform(once) == once


@pytest.mark.parametrize(
    "story",
    [
        "campaign 1\n",
        "cluster 1 2\ndance 1\n",
        "cluster 1 2\ndeliver 1->2\n",
        "cluster 1 2\ndeliver 1 2 x\n",
    ],
)
def test_a_command_that_cannot_be_read_is_named(story: str) -> None:
    """The author of a story is told which line is wrong."""
    with pytest.raises(StoryError, match=story.splitlines()[-1]):
        perform(story)
