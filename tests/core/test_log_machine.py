"""RaftLog over a MemStorage, with a cache of a few bytes, against a plain list (hypothesis, stateful)."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from raftnode.core.errors import LogCompacted
from raftnode.core.log import RaftLog
from raftnode.core.membership import make_configuration
from raftnode.core.storage import MemStorage
from raftnode.core.types import EntryKind, LogEntry

fractions = st.floats(0, 1)


class LogMachine(RuleBasedStateMachine):
    """`model` is the whole history of the log by index, discarded entries included; `base` is the snapshot point."""

    @initialize(budget=st.integers(1, 60))
    def begin(self, budget: int) -> None:
        self.storage = MemStorage()
        self.budget = budget
        self.log = RaftLog(self.storage, budget)
        self.log.load()
        self.base = (0, 0)
        self.model: list[LogEntry] = []

    @property
    def last(self) -> int:
        return self.base[0] + len(self.model)

    @property
    def last_term(self) -> int:
        return self.model[-1].term if self.model else self.base[1]

    def pick(self, fraction: float, low: int, high: int) -> int:
        return low + round(fraction * (high - low))

    def term_of(self, index: int) -> int | None:
        if index == self.base[0]:
            return self.base[1]
        return self.model[index - self.base[0] - 1].term if self.base[0] < index <= self.last else None

    @rule(rises=st.lists(st.sampled_from([0, 0, 0, 1, 3]), max_size=8), size=st.integers(0, 20), conf=st.booleans())
    def append(self, rises: list[int], size: int, conf: bool) -> None:
        term, new = max(self.last_term, 1), []
        for index, rise in enumerate(rises, self.last + 1):
            term += rise
            if conf:
                new.append(LogEntry(term, index, make_configuration([index]).encode(), EntryKind.CONFIGURATION))
            else:
                new.append(LogEntry(term, index, bytes(size)))
        self.log.append(new)
        self.model += new

    @precondition(lambda self: self.model)
    @rule(fraction=fractions)
    def truncate(self, fraction: float) -> None:
        index = self.pick(fraction, self.base[0] + 1, self.last)
        self.log.truncate(index)
        del self.model[index - self.base[0] - 1 :]

    @rule(fraction=fractions)
    def compact(self, fraction: float) -> None:
        index = self.pick(fraction, self.base[0], self.last)
        term = self.term_of(index)
        assert term is not None
        self.log.compact(index)
        del self.model[: index - self.base[0]]
        self.base = (index, term)

    @rule(ahead=st.integers(1, 12), rise=st.integers(-1, 2))
    def install(self, ahead: int, rise: int) -> None:
        index = self.base[0] + ahead
        term = max(1, self.base[1], (self.term_of(index) or self.last_term) + rise)
        kept = self.log.install(index, term)
        assert kept == (self.term_of(index) == term)
        self.model = self.model[ahead:] if kept else []
        self.base = (index, term)

    @rule(fraction=fractions)
    def evict(self, fraction: float) -> None:
        self.log.evict(self.pick(fraction, self.base[0], self.last))

    @rule()
    def restart(self) -> None:
        self.log = RaftLog(self.storage, self.budget)
        configurations = self.log.load()
        assert configurations == [e for e in self.model if e.kind is EntryKind.CONFIGURATION]

    @rule(low=fractions, high=fractions, size=st.none() | st.integers(0, 50))
    def read(self, low: float, high: float, size: int | None) -> None:
        first = self.pick(low, self.base[0] + 1, self.last + 1)
        last = self.pick(high, first, self.last + 3)
        got: list[LogEntry] = []
        while piece := self.log.entries(first + len(got), last, size):
            assert size is None or len(piece) == 1 or sum(len(e.data) for e in piece) <= size
            got += piece
        assert got == self.model[first - self.base[0] - 1 : last - self.base[0]]

    @rule(fraction=fractions)
    def read_what_was_discarded(self, fraction: float) -> None:
        index = self.pick(fraction, 0, self.base[0])
        with pytest.raises(LogCompacted) as caught:
            self.log.entries(index, self.last)
        assert caught.value.first_available == self.base[0] + 1

    @rule(fraction=fractions, term=st.integers(0, 30))
    def way_back(self, fraction: float, term: int) -> None:
        index = self.pick(fraction, 0, self.last + 2)
        found = [e for e in self.model if e.index <= index and e.term <= term]
        expected = (found[-1].index, found[-1].term) if found else self.base
        assert self.log.last_index_with_term_at_most(index, term) == expected

    @invariant()
    def ends_and_terms_agree(self) -> None:
        if not hasattr(self, "log"):
            return
        log = self.log
        assert (log.last_index, log.last_term) == (self.last, self.last_term)
        assert (log.snapshot_index, log.snapshot_term, log.first_index) == (*self.base, self.base[0] + 1)
        assert log.stable_index == self.last
        for index in range(max(0, self.base[0] - 2), self.last + 3):
            assert log.term_at(index) == self.term_of(index)
        assert log.is_up_to_date(self.last, self.last_term)
        assert not log.is_up_to_date(self.last, self.last_term - 1)


LogMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLogAgainstAList = LogMachine.TestCase
