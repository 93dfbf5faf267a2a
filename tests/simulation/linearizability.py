"""Is a history linearizable? Wing and Gong's search with Lowe's memoization, one key at a time.

A history is linearizable where every operation can be given one moment between its call and its return such that
the outputs are those of one register that does the operations in the order of these moments. Each key is a register
of its own, so each is searched alone. An operation of unknown outcome has its moment at any time after its call, or
never; a failed one has none.

The search goes through configurations: which operations have had their moment, and the value then. Only few
operations are under way at a time, so that all before some first one are done: a configuration is as small in a
long history as in a short one.

    calls  ---a======a---------      a and b may be next: nothing that is left returned before they were called.
           -----b=======b------      c may not: a returned before it.
           ----------------c==c-

Three things keep it small, and none of them changes the answer:

- A configuration is entered once (Lowe). One in which the same known operations are done, with the same value, and
  with more of the unknown ones used up, leads nowhere that the first one did not.
- What may be next, fits and never changes anything (a read, a cas that failed) is taken at once: it stands in nobody's
  way.
- Of unknown operations that are alike only the one that was called first is tried.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.simulation.history import Operation

CONFIGURATIONS_MAX = 2_000_000

Value = str | None


class SearchTooLargeError(Exception):
    """The search was given up: the history may be linearizable or not."""


@dataclass(frozen=True)
class Violation:
    """A key whose operations have no order that explains their outputs."""

    key: str
    done: int
    """How many operations the longest explanation covers."""
    value: Value
    """The value after them."""
    stuck: tuple[Operation, ...]
    """The operations of which none could be next then."""

    def __str__(self) -> str:
        lines = "".join(f"\n  {operation}" for operation in self.stuck)
        return f"key {self.key!r} is not linearizable: {self.done} operations leave {self.value!r}, and then{lines}"


def violations(history: Iterable[Operation]) -> list[Violation]:
    """Return what is wrong with a history: one violation for each key that has one."""
    keys: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        keys[operation.key].append(operation)
    found = (check_key(key, keys[key]) for key in sorted(keys))
    return [violation for violation in found if violation is not None]


def apply(value: Value, operation: Operation) -> tuple[Value, str | int | bool | None]:
    """Return the value after `operation`, and its output, on a register. Raises ValueError where it cannot be done."""
    match operation.op:
        case "get":
            return value, value
        case "put":
            return str(operation.arg), None
        case "delete":
            return None, value is not None
        case "cas":
            return (str(operation.arg), True) if value == operation.expected else (value, False)
        case "incr":
            total = int(value or "0") + int(operation.arg or 0)
            return str(total), total


@dataclass(frozen=True)
class _Configuration:
    """Which operations have had their moment, and the value after them."""

    first: int
    """The lowest known operation that has not."""
    ahead: int
    """Bit i: whether known operation `first` + i has."""
    unknown: int
    """Bit i: whether unknown operation i has."""
    value: Value

    @property
    def done(self) -> int:
        """How many known operations have."""
        return self.first + self.ahead.bit_count()


class _Search:
    def __init__(self, operations: list[Operation]) -> None:
        self.known = sorted((o for o in operations if o.outcome == "ok"), key=lambda o: (o.call_ns, o.return_ns))
        # What was only asked, and reads at that, says nothing.
        self.unknown = sorted(
            (o for o in operations if o.outcome == "unknown" and o.op != "get"), key=lambda o: o.call_ns
        )
        self._entered: dict[tuple[int, int, Value], list[int]] = {}
        self._count = 0

    def start(self) -> _Configuration | None:
        return self._enter(0, 0, 0, None)

    def _enter(self, first: int, ahead: int, unknown: int, value: Value) -> _Configuration | None:
        """Return the configuration after all that can be taken at once, or None where it leads nowhere new."""
        taken = True
        while taken:
            taken = False
            for number, operation in self.candidates(first, ahead):
                if _only_looks(operation) and _outcome(value, operation):
                    ahead |= 1 << number - first
                    taken = True
            while ahead & 1:
                first, ahead = first + 1, ahead >> 1
        before = self._entered.setdefault((first, ahead, value), [])
        if any(used & unknown == used for used in before):
            return None
        before.append(unknown)
        self._count += 1
        if self._count > CONFIGURATIONS_MAX:
            raise SearchTooLargeError(f"after {self._count} configurations of {len(self.known)} operations")
        return _Configuration(first, ahead, unknown, value)

    def candidates(self, first: int, ahead: int) -> list[tuple[int, Operation]]:
        """Return the known operations that may be next."""
        found: list[tuple[int, Operation]] = []
        end: float = float("inf")
        for number in range(first, len(self.known)):
            operation = self.known[number]
            if operation.call_ns > end:
                break
            if not ahead >> number - first & 1:
                assert operation.return_ns is not None
                end = min(end, operation.return_ns)
                found.append((number, operation))
        return [(number, operation) for number, operation in found if operation.call_ns <= end]

    def next_ones(self, at: _Configuration) -> Iterator[_Configuration]:
        """Give the configurations one operation further: a known operation first, then an unknown one."""
        candidates = self.candidates(at.first, at.ahead)
        for number, operation in candidates:
            for value in _outcome(at.value, operation):
                further = self._enter(at.first, at.ahead | 1 << number - at.first, at.unknown, value)
                if further is not None:
                    yield further
        end = min(operation.return_ns or 0 for _, operation in candidates)
        tried: set[tuple[str, str | int | None, str | None]] = set()
        for number, operation in enumerate(self.unknown):
            if operation.call_ns > end:
                break
            like = (operation.op, operation.arg, operation.expected)
            if at.unknown >> number & 1 or like in tried:
                continue
            tried.add(like)
            for value in _outcome(at.value, operation):
                if value != at.value:
                    further = self._enter(at.first, at.ahead, at.unknown | 1 << number, value)
                    if further is not None:
                        yield further


def _only_looks(operation: Operation) -> bool:
    """Say whether an operation with this output leaves every value as it is. A put of the same value does not."""
    return operation.op == "get" or operation.output is False


def _outcome(value: Value, operation: Operation) -> tuple[()] | tuple[Value]:
    """Return the value after `operation`, or nothing where its output would have been another."""
    try:
        after, output = apply(value, operation)
    except ValueError:
        return ()
    if operation.outcome == "ok" and (output != operation.output or type(output) is not type(operation.output)):
        return ()
    return (after,)


def check_key(key: str, operations: list[Operation]) -> Violation | None:
    """Return what is wrong with one key's operations. Raises SearchTooLargeError."""
    search = _Search(operations)
    best = start = search.start()
    assert start is not None
    assert best is not None
    if start.first == len(search.known):
        return None
    path = [search.next_ones(start)]
    while path:
        further = next(path[-1], None)
        if further is None:
            path.pop()
            continue
        if further.first == len(search.known):
            return None
        if further.done > best.done:
            best = further
        path.append(search.next_ones(further))
    stuck = tuple(operation for _, operation in search.candidates(best.first, best.ahead))
    return Violation(key, best.done, best.value, stuck)
