"""The event log: cursors, gaps, filters; and the log lines that follow from it."""

import io
import json

import pytest

from raftnode.daemon.log import LogWriter, Repeats
from raftnode.replica.events import EVENTS_PER_BOOT, EventLog
from raftnode.wire.client import EventRecord


def log_of(count: int, *, boot: int = 1, capacity: int = 100) -> EventLog:
    """Return the log of node 7 with `count` events of type "t.<n>"."""
    log = EventLog("n7", 7, boot, lambda: 1.5, capacity)
    for n in range(1, count + 1):
        log.emit(f"t.{n}", 3, n=n)
    return log


def types(events: list[EventRecord]) -> list[str]:
    return [event.type for event in events]


def test_an_empty_cursor_gives_all_and_each_cursor_resumes_after_its_event() -> None:
    """Reading in parts gives what reading at once gives."""
    log = log_of(5)
    events, cursor, lost = log.after("", "", 2)
    assert (types(events), lost) == (["t.1", "t.2"], 0)
    assert cursor == events[-1].cursor
    events, cursor, lost = log.after(cursor)
    assert (types(events), lost) == (["t.3", "t.4", "t.5"], 0)
    assert log.after(cursor) == ([], cursor, 0)
    log.emit("t.6", 3)
    assert types(log.after(cursor)[0]) == ["t.6"]


def test_a_record_has_time_node_type_term_and_data() -> None:
    """What an operator sees of an event."""
    (event,) = log_of(1, boot=2).after("")[0]
    cursor = f"7:{2 * EVENTS_PER_BOOT + 1}"
    assert event == EventRecord(cursor, "1970-01-01T00:00:01.500Z", "n7", "t.1", 3, {"n": 1})


def test_events_that_were_dropped_are_counted() -> None:
    """A gap is told, never silent; without a cursor nothing was promised, so nothing is lost."""
    log = log_of(10, capacity=4)
    first = f"7:{EVENTS_PER_BOOT + 2}"
    events, _, lost = log.after(first)
    assert (types(events), lost) == (["t.7", "t.8", "t.9", "t.10"], 4)
    assert log.after("")[2] == 0


def test_a_filter_moves_the_cursor_over_what_it_leaves_out() -> None:
    """The next read does not look again at events that the glob has refused."""
    log = log_of(12)
    events, cursor, _ = log.after("", "t.1*", 1000)
    assert types(events) == ["t.1", "t.10", "t.11", "t.12"]
    assert cursor == log.last_cursor
    events, cursor, _ = log.after("", "t.1?", 1)
    assert types(events) == ["t.10"]
    assert types(log.after(cursor, "t.1?")[0]) == ["t.11", "t.12"]


def test_a_cursor_of_an_earlier_run_gives_all_of_this_run_and_says_that_some_are_lost() -> None:
    """The events of an earlier run are gone with its memory."""
    earlier = log_of(3, boot=1).last_cursor
    events, _, lost = log_of(2, boot=2).after(earlier)
    assert (types(events), lost) == (["t.1", "t.2"], -1)


@pytest.mark.parametrize(
    ("cursor", "said"),
    [
        ("x", "not an event cursor"),
        ("7:", "not an event cursor"),
        ("7:-1", "not an event cursor"),
        ("7:²", "not an event cursor"),
        ("7:" + "1" * 5000, "not an event cursor"),
        ("8:1", "node 8; this is node 7"),
        (f"7:{EVENTS_PER_BOOT + 4}", "ahead of the last event"),
        (f"7:{9 * EVENTS_PER_BOOT}", "ahead of the last event"),
    ],
)
def test_a_cursor_that_this_node_did_not_give_is_refused(cursor: str, said: str) -> None:
    """Malformed, another node's, or from a future: ValueError says which."""
    with pytest.raises(ValueError, match=said):
        log_of(3).after(cursor)


def test_each_event_is_one_log_line() -> None:
    """The sink writes what the event log keeps."""
    stream = io.StringIO()
    writer = LogWriter("n7", wall_clock=lambda: 0.0, stream=stream)
    log = EventLog("n7", 7, 1, lambda: 0.0, sink=writer.record)
    log.emit("member.added", 3, node=4, voters=[1, 2, 3], reason='say "hi"', ok=True, leader=None)
    assert stream.getvalue() == (
        "ts=1970-01-01T00:00:00.000Z level=info node=n7 event=member.added term=3 about_node=4 "
        'voters=1,2,3 reason="say \\"hi\\"" ok=true leader=\n'
    )


def test_a_line_break_in_a_value_stays_inside_its_line() -> None:
    """Nobody can forge a log line through a name or an error text, in either format."""
    for format in ("logfmt", "json"):
        stream = io.StringIO()
        writer = LogWriter("n7", format=format, wall_clock=lambda: 0.0, stream=stream)
        writer.line("error", "x", text="a\nts=forged level=info", other="\u2028")
        assert stream.getvalue().count("\n") == 1
        assert len(stream.getvalue().splitlines()) == 1


def test_json_lines_are_json() -> None:
    """One object a line."""
    stream = io.StringIO()
    LogWriter("n7", format="json", wall_clock=lambda: 0.0, stream=stream).line("warn", "x", a=1, b=[1, 2])
    assert json.loads(stream.getvalue()) == {
        "ts": "1970-01-01T00:00:00.000Z",
        "level": "warn",
        "node": "n7",
        "event": "x",
        "a": 1,
        "b": [1, 2],
    }


def test_lines_below_the_level_are_left_out() -> None:
    """log.level is the least important one that is written."""
    stream = io.StringIO()
    writer = LogWriter("n7", level="warn", wall_clock=lambda: 0.0, stream=stream)
    for level in ("debug", "info", "warn", "error"):
        writer.line(level, level)
    assert [line.split("event=")[1] for line in stream.getvalue().splitlines()] == ["warn", "error"]


def test_a_log_that_nobody_reads_does_not_stop_the_node() -> None:
    """A closed standard error is no reason to lose a replica."""
    stream = io.StringIO()
    stream.close()
    LogWriter("n7", wall_clock=lambda: 0.0, stream=stream).line("info", "x")


def test_a_repeated_trouble_passes_once_in_an_interval_with_the_number_held_back() -> None:
    """A flood of one kind leaves one line a minute, and says how many there were."""
    now = 0.0
    repeats = Repeats(lambda: now, interval=60.0, keys_max=2)
    assert [repeats.allow(key) for key in ("a", "a", "b", "a")] == [0, None, 0, None]
    now = 60.0
    assert repeats.allow("a") == 2
    for key in range(1000):
        assert repeats.allow(key) == 0
    assert len(repeats._seen) <= 2
