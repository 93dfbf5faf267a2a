"""Every reader of foreign bytes has a target: the table in readers.py is held against the code, both ways."""

import sys
from pathlib import Path
from types import FrameType

from tests.fuzz.readers import NO_READERS, READERS, REAL_NODE, calls
from tests.fuzz.target import Target
from tests.fuzz.targets import targets

SEEDS_EACH = 60


def test_every_function_that_reads_has_a_row() -> None:
    """A new decoder or reader needs a target, or a reason why it is none; a row for what is gone must go too."""
    assert sorted(calls()) == sorted([*READERS, *NO_READERS])


def test_each_target_calls_the_readers_in_its_rows() -> None:
    """A row is true only where the right bytes of its target come by that function."""
    with targets() as every:
        rows = {target.name: [r for r, name in READERS.items() if name == target.name] for target in every}
        assert set(READERS.values()) <= {*rows, REAL_NODE}
        unreached = {t.name: sorted(set(rows[t.name]) - _called_by(t)) for t in every if rows[t.name]}
    assert {name: missing for name, missing in unreached.items() if missing} == {}


def _called_by(target: Target) -> set[str]:
    """Return the functions that a target's seeds pass, as readers.py writes them."""
    codes = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add((frame.f_globals.get("__name__", ""), frame.f_code.co_qualname))

    step = max(len(target.seeds) // SEEDS_EACH, 1)
    sys.setprofile(note)
    try:
        for seed in target.seeds[::step]:
            target.run(seed)
            target.run(seed[:-1] + b"\0" * 4)
    finally:
        sys.setprofile(None)
    return {f"{module}:{name.replace('.<locals>', '')}" for module, name in codes}


def test_a_new_reader_without_a_row_is_noticed(tmp_path: Path) -> None:
    """A check that cannot fail proves nothing: each way to read is found where it is planted."""
    for package in ("raftnode", "raftctl"):
        (tmp_path / package).mkdir()
    planted = {
        "raftnode/a.py": "import json\ndef settings(path):\n    return json.loads(path.read_text())",
        "raftnode/b.py": "class Reader:\n    def take(self, sock):\n        return sock.recv(10)",
        "raftctl/c.py": "def outer():\n    def inner(file):\n        return file.pread(1, 0)\n    return inner",
        "raftctl/d.py": "from raftnode.wire.frame import decode_as\ndef decode_new(b): return decode_as(x, b, 'new')",
        "raftctl/e.py": "def harmless(text):\n    return text.upper()",
    }
    for path, source in planted.items():
        (tmp_path / path).write_text(source)
    assert calls(tmp_path) == [
        "raftnode.a:settings",
        "raftnode.b:Reader.take",
        "raftctl.c:outer.inner",
        "raftctl.d:decode_new",
    ]
