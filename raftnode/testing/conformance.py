"""A conformance suite for implementations of `LogStorage`.

A story is a sequence of calls, made on the storage and on a model of what it should hold. Each story is also run up to
each of its calls and ended by a crash.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.storage import ConfigurationStorage, LogStorage
from raftnode.core.types import EntryKind, HardState, LogEntry

S = TypeVar("S", bound=LogStorage)

RANDOM_STORIES: Final = 30

_BOTTOM: Final = "a new storage is empty"
_LOAD: Final = "load_entries(first, last) returns the entries from first to last, both included"
_LOAD_BYTES: Final = "load_entries() with bytes_max returns at least one entry, and no more than fit"
_LOAD_AFTER: Final = "load_entries_after(index) returns every entry above index, in order"
_STABLE_BOUND: Final = "stable_index is not above the last entry"
_STABLE_TRUNCATE: Final = "truncate(index) lowers stable_index below index at once"
_STABLE_SYNC: Final = "stable_index is the last entry once everything is durable"
_STABLE_CRASH: Final = "every entry up to stable_index is durable as it is in the log"
_DURABLE: Final = "what was made durable survives a crash"
_ORDER: Final = "calls become durable in order: a crash leaves the effect of the first of them"
_SETTLED: Final = "what is found after a crash survives the next one"

_NEW: Final = HardState()


@dataclass(frozen=True)
class _State:
    """What a storage should hold."""

    entries: tuple[LogEntry, ...] = ()
    snapshot: tuple[int, int] = (0, 0)
    configuration: Configuration | None = None
    hard_state: HardState = _NEW

    @property
    def last(self) -> int:
        return self.snapshot[0] + len(self.entries)

    def difference(self, found: "_State") -> str:
        """Say where `found` differs; empty: nowhere."""
        if found.snapshot != self.snapshot:
            return f"snapshot_metadata() is {found.snapshot}, not {self.snapshot}"
        if found.configuration != self.configuration:
            return f"snapshot_configuration() is {found.configuration}, not {self.configuration}"
        if found.hard_state != self.hard_state:
            return f"load_hard_state() is {found.hard_state}, not {self.hard_state}"
        return _entries_difference(found.entries, self.entries)


class _Call:
    """One call of a story."""

    rule = "sync() changes nothing that can be read"

    def make(self, storage: LogStorage) -> None:
        """Make the call."""

    def lead(self, state: _State) -> list[_State]:
        """Return the states that a crash during this call may leave, in order; the last is that after the call."""
        return [state]

    def __str__(self) -> str:
        return "sync()"


@dataclass(frozen=True)
class _Append(_Call):
    entries: tuple[LogEntry, ...]
    rule = "append() adds its entries after the last one, as they are"

    def make(self, storage: LogStorage) -> None:
        storage.append(list(self.entries))

    def lead(self, state: _State) -> list[_State]:
        counts = range(1, len(self.entries) + 1)
        return [replace(state, entries=state.entries + self.entries[:count]) for count in counts]

    def __str__(self) -> str:
        return f"append({_show(self.entries)})"


@dataclass(frozen=True)
class _Truncate(_Call):
    index: int
    rule = "truncate(index) discards the entries from index on, and nothing else"

    def make(self, storage: LogStorage) -> None:
        storage.truncate(self.index)

    def lead(self, state: _State) -> list[_State]:
        return [replace(state, entries=state.entries[: self.index - state.snapshot[0] - 1])]

    def __str__(self) -> str:
        return f"truncate({self.index})"


@dataclass(frozen=True)
class _Compact(_Call):
    index: int
    term: int
    configuration: Configuration | None = None
    rule = "compact(index, term) discards the entries up to index, and nothing else; above the end the log restarts"

    def make(self, storage: LogStorage) -> None:
        if isinstance(storage, ConfigurationStorage):
            storage.compact(self.index, self.term, self.configuration)
        else:
            storage.compact(self.index, self.term)

    def lead(self, state: _State) -> list[_State]:
        kept = state.entries[self.index - state.snapshot[0] :]
        return [replace(state, entries=kept, snapshot=(self.index, self.term), configuration=self.configuration)]

    def __str__(self) -> str:
        members = f", {self.configuration.voters}" if self.configuration is not None else ""
        return f"compact({self.index}, {self.term}{members})"


@dataclass(frozen=True)
class _SaveHardState(_Call):
    state: HardState
    rule = "save_hard_state() keeps the term and the vote"

    def make(self, storage: LogStorage) -> None:
        storage.save_hard_state(self.state)

    def lead(self, state: _State) -> list[_State]:
        return [replace(state, hard_state=self.state)]

    def __str__(self) -> str:
        return f"save_hard_state({self.state.current_term}, {self.state.voted_for})"


_Story = Sequence[_Call]
_SYNC: Final = _Call()


def check_log_storage(
    factory: Callable[[], S],
    *,
    sync: Callable[[S], object] | None = None,
    reopen: Callable[[S], S] | None = None,
) -> None:
    """Check a storage against everything that `LogStorage` promises, and `ConfigurationStorage` if it is one.

    `factory()` returns a new, empty storage with each call. `sync(storage)` makes everything durable; without it, each
    call must be durable when it returns. `reopen(storage)` crashes it and returns the storage as found after a restart,
    without the unsynced calls or with the first of them. If `reopen` is left out, crashes are not tested. To simulate
    a crash of the process, close the files and open them again; for one of the machine, let a simulated disk lose
    what was not fsynced.

        check_log_storage(Disk, sync=Disk.sync, reopen=lambda disk: disk.crash() or disk)

    Deterministic. Raises AssertionError, which says which rule is broken, how, and after which calls. An exception of
    the storage propagates, with the calls as a note.
    """
    checker = _Checker(factory, sync, reopen)
    for story in (*_STORIES, *(_random_story(random.Random(seed)) for seed in range(RANDOM_STORIES))):
        checker.run(story)
        if reopen is not None:
            for count in range(len(story) + 1):
                checker.run_and_crash(story[:count], reopen)


class _Checker(Generic[S]):
    """Runs stories on new storages."""

    def __init__(
        self, factory: Callable[[], S], sync: Callable[[S], object] | None, reopen: Callable[[S], S] | None
    ) -> None:
        self._factory = factory
        self._sync = sync
        self._calls: list[str] = []

    def run(self, story: _Story) -> None:
        """Make the calls, and compare everything after each."""
        storage = self._begin()
        state = _State()
        self._compare(storage, state, _BOTTOM)
        for call in story:
            self._make(storage, call)
            state = call.lead(state)[-1]
            keeps = isinstance(storage, ConfigurationStorage)
            self._compare(storage, state if keeps else replace(state, configuration=None), call.rule)
            self._check_stable(storage, state, call)

    def run_and_crash(self, story: _Story, reopen: Callable[[S], S]) -> None:
        """Make the calls, crash, and check what is left: all that was durable, and nothing that was never written."""
        storage = self._begin()
        keeps = isinstance(storage, ConfigurationStorage)
        states, durable = [_State()], 0
        for call in story:
            self._make(storage, call)
            led = call.lead(states[-1])
            states += led if keeps else [replace(state, configuration=None) for state in led]
            if call is _SYNC or self._sync is None:
                durable = len(states) - 1
        stable = storage.stable_index
        reopened = self._reopen(storage, reopen)
        found = self._observe(reopened)
        if found not in states[durable:]:
            self._fail(_DURABLE if found in states else _ORDER, states[durable].difference(found))
        self._check_stable_survived(stable, states[-1], found)
        again = self._reopen(reopened, reopen)
        if difference := found.difference(self._observe(again)):
            self._fail(_SETTLED, difference)
        self._go_on(again, found, reopen)

    def _go_on(self, storage: S, state: _State, reopen: Callable[[S], S]) -> None:
        """Check that a storage works after a crash as it did before."""
        term = state.entries[-1].term if state.entries else state.snapshot[1]
        call = _Append(_entries(state.last + 1, term + 1))
        for following in (call, _SYNC):
            self._make(storage, following)
        expected = call.lead(state)[-1]
        self._compare(storage, expected, call.rule)
        if difference := expected.difference(self._observe(self._reopen(storage, reopen))):
            self._fail(_DURABLE, difference)

    def _begin(self) -> S:
        self._calls = []
        return self._factory()

    def _make(self, storage: S, call: _Call) -> None:
        if call is not _SYNC or self._sync is not None:
            self._calls.append(str(call))
        try:
            if call is not _SYNC:
                call.make(storage)
            elif self._sync is not None:
                self._sync(storage)
        except Exception as error:
            error.add_note(f"after {', '.join(self._calls)}")
            raise

    def _reopen(self, storage: S, reopen: Callable[[S], S]) -> S:
        self._calls.append("a crash")
        return reopen(storage)

    def _observe(self, storage: S) -> _State:
        snapshot = tuple(storage.snapshot_metadata())
        configuration = storage.snapshot_configuration() if isinstance(storage, ConfigurationStorage) else None
        entries = tuple(storage.load_entries_after(snapshot[0]))
        return _State(entries, (snapshot[0], snapshot[1]), configuration, storage.load_hard_state())

    def _compare(self, storage: S, state: _State, rule: str) -> None:
        if difference := state.difference(self._observe(storage)):
            self._fail(rule, difference)
        first = state.snapshot[0] + 1
        for index in range(first, state.last + 1):
            expected = state.entries[index - first :]
            self._equal(_LOAD_AFTER, list(storage.load_entries_after(index - 1)), expected)
            for last in range(index, state.last + 1):
                wanted = state.entries[index - first : last - first + 1]
                self._equal(_LOAD, storage.load_entries(index, last), wanted)
                size = sum(len(entry.data) for entry in wanted)
                for bytes_max in (0, size - 1, size):
                    self._check_within(storage.load_entries(index, last, bytes_max), wanted, bytes_max)

    def _check_within(self, found: Sequence[LogEntry], wanted: Sequence[LogEntry], bytes_max: int) -> None:
        self._equal(_LOAD_BYTES, found, wanted[: max(1, len(found))])
        size = sum(len(entry.data) for entry in found)
        if size > bytes_max and len(found) > 1:
            self._fail(_LOAD_BYTES, f"{len(found)} entries of {size} bytes for bytes_max={bytes_max}")

    def _check_stable(self, storage: S, state: _State, call: _Call) -> None:
        stable = storage.stable_index
        if isinstance(call, _Truncate) and stable >= call.index:
            self._fail(_STABLE_TRUNCATE, f"it is {stable}")
        if stable > state.last:
            self._fail(_STABLE_BOUND, f"it is {stable}, and the log ends at {state.last}")
        if (call is _SYNC or self._sync is None) and stable != state.last:
            self._fail(_STABLE_SYNC, f"it is {stable}, and the log ends at {state.last}")

    def _check_stable_survived(self, stable: int, before: _State, found: _State) -> None:
        """Check the entries above the snapshot: it replaces those that it covers."""
        there = {entry.index: entry for entry in found.entries}
        for entry in before.entries:
            if entry.index <= stable and entry.index > found.snapshot[0] and there.get(entry.index) != entry:
                left = "a different one" if entry.index in there else "nothing"
                self._fail(_STABLE_CRASH, f"it was {stable}, and of entry {entry.index} there is {left}")

    def _equal(self, rule: str, found: Sequence[LogEntry], expected: Sequence[LogEntry]) -> None:
        if difference := _entries_difference(found, expected):
            self._fail(rule, difference)

    def _fail(self, rule: str, difference: str) -> None:
        raise AssertionError(f"{rule}: {difference}\nafter {', '.join(self._calls) or 'no call'}")


def _entries_difference(found: Sequence[LogEntry], expected: Sequence[LogEntry]) -> str:
    if [entry.index for entry in found] != [entry.index for entry in expected]:
        return f"the entries are {_show(found)}, not {_show(expected)}"
    for got, wanted in zip(found, expected, strict=True):
        if got != wanted:
            what = [name for name in ("term", "kind", "data") if getattr(got, name) != getattr(wanted, name)]
            return f"entry {got.index} has a different {' and '.join(what)} than the one appended"
    return ""


def _show(entries: Sequence[LogEntry]) -> str:
    if not entries:
        return "none"
    return ", ".join(f"{entry.index} of term {entry.term}" for entry in entries)


def _entries(first: int, *terms: int) -> tuple[LogEntry, ...]:
    """Return entries of these terms from `first` on: of each kind, empty ones and long ones."""
    made: list[LogEntry] = []
    for index, term in enumerate(terms, first):
        kind = (EntryKind.COMMAND, EntryKind.NOOP, EntryKind.CONFIGURATION)[index % 3]
        data = _MEMBERS.encode() if kind is EntryKind.CONFIGURATION else b"%d of %d;" % (index, term) * (index % 7)
        made.append(LogEntry(term, index, data, kind))
    return tuple(made)


_MEMBERS: Final = make_configuration([1, 2, 3], learners=[4], contexts={4: b"somewhere"})
_OTHERS: Final = make_configuration([2, 3, 5])

_STORIES: Final[tuple[_Story, ...]] = (
    (_SaveHardState(HardState(1)), _SYNC, _SaveHardState(HardState(1, 2)), _SYNC, _SaveHardState(HardState(2))),
    (_Append(_entries(1, 1, 1, 1)), _SYNC, _Append(_entries(4, 2)), _Append(_entries(5, 2, 3)), _SYNC),
    # A new leader's entries replace old ones: durable ones, staged ones, and all.
    (_Append(_entries(1, 1, 1, 1, 1, 1)), _SYNC, _Truncate(3), _Append(_entries(3, 2, 2, 2)), _SYNC, _Truncate(5)),
    (_Append(_entries(1, 1, 1)), _SYNC, _Append(_entries(3, 1, 1, 1)), _Truncate(4), _Append(_entries(4, 2)), _SYNC),
    (_Append(_entries(1, 1, 1)), _SYNC, _Truncate(1), _SYNC, _Append(_entries(1, 2)), _Truncate(1), _SYNC),
    # Compaction: of a part of the log, of all of it, and beyond its end.
    (_Append(_entries(1, 1, 1, 1, 1)), _SYNC, _Compact(2, 1), _SYNC, _Append(_entries(5, 2)), _Compact(3, 1), _SYNC),
    (_Append(_entries(1, 1, 1, 2)), _SYNC, _Compact(3, 2), _Append(_entries(4, 2, 2)), _SYNC, _Truncate(5), _SYNC),
    (_Append(_entries(1, 1, 1)), _SYNC, _Append(_entries(3, 1, 1)), _Compact(3, 1), _SYNC, _Truncate(4), _SYNC),
    (_Append(_entries(1, 1, 1)), _SYNC, _Compact(9, 2), _Append(_entries(10, 2, 3)), _SYNC, _Truncate(11), _SYNC),
    # A snapshot that conflicts with the log: all of the log goes, then it is compacted above its end.
    (_Append(_entries(1, 1, 1, 1, 1)), _SYNC, _Truncate(1), _Compact(3, 2), _SYNC, _Append(_entries(4, 2)), _SYNC),
    # The members at the snapshot point come and go with it.
    (_Append(_entries(1, 1, 1, 1)), _Compact(1, 1, _MEMBERS), _SYNC, _Compact(2, 1, _OTHERS), _Compact(3, 1), _SYNC),
    # All of one turn together.
    (
        _SaveHardState(HardState(1, 1)), _Append(_entries(1, 1, 1, 1)), _SYNC, _Truncate(2), _Append(_entries(2, 3)),
        _SaveHardState(HardState(3, 2)), _Compact(1, 1, _MEMBERS), _SYNC,
    ),
)  # fmt: skip


def _random_story(rng: random.Random) -> _Story:
    """Return a dozen random calls, as a node could make them."""
    story: list[_Call] = []
    state, term = _State(), 1
    for _ in range(12):
        first, last = state.snapshot[0] + 1, state.last
        choice = rng.randrange(9)
        call = _SYNC
        if choice < 3:
            term += rng.random() < 0.4
            call = _Append(_entries(last + 1, *[term] * rng.randint(1, 4)))
        elif choice == 3 and state.entries:
            term += 1
            call = _Truncate(rng.randint(first, last))
        elif choice == 4 and state.entries:
            entry = rng.choice(state.entries)
            call = _Compact(entry.index, entry.term, rng.choice((None, _MEMBERS, _OTHERS)))
        elif choice == 5:
            call = _Compact(last + rng.randint(1, 5), term, _MEMBERS)
        elif choice == 6:
            call = _SaveHardState(HardState(term, rng.choice((None, 1, 2))))
        story.append(call)
        state = call.lead(state)[-1]
    return story
