"""Whether the members of a cluster hold the same: their logs and their keys, read from each while it runs.

Nothing is locked, so the members are read at different moments. Committed log entries never change: they are
compared index by index. The keys do change, so the leader is read before and after each other member:

    leader at entry a        member at entry b >= a        leader at entry c >= b

What the member holds with a revision up to a must be in the first reading, and what the leader holds in the end
with a revision up to b must be in the member's. Whatever neither covers was changed in between, by entries of
the log. Where all are read at the same entry, that is equality.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from raftctl.cluster import Cluster
from raftctl.output.text import bytes_field, escape_bytes
from raftnode.client.transport import Deadline
from raftnode.wire import kv
from raftnode.wire.client import (
    Consistency,
    ErrorCode,
    Failed,
    GetLog,
    GetStatus,
    LogEntryView,
    LogResult,
    Read,
    ReadResult,
    Request,
    StatusResult,
)
from raftnode.wire.frame import FrameError

LOG_PAGE: Final = 1000
KEYS_PAGE: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Difference:
    """Something in which these members differ from the rest. `index` is the first log entry it concerns."""

    what: str
    members: tuple[str, ...]
    text: str
    index: int | None = None
    key: bytes | None = None

    def record(self) -> dict[str, Any]:
        """Return it as JSON."""
        key = {} if self.key is None else bytes_field("key", self.key)
        return {"what": self.what, "members": list(self.members), "index": self.index, **key, "text": self.text}


@dataclass(eq=False)
class Side:
    """One member that is compared, until something differs or it can no longer be asked."""

    node_id: int
    name: str
    """This side's own: no other side uses it."""
    address: str
    differs: bool = False
    unchecked: str = ""
    """Why it could not be compared to the end."""


@dataclass
class LogFound:
    """The part of the log that was compared: empty where `first` is above `last`."""

    first: int
    last: int
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, views: Sequence[LogEntryView]) -> None:
        """Take in entries that all members hold, in order."""
        for e in (v.entry for v in views):
            self.digest.update(b"%d %d %d %d\n" % (e.index, e.term, e.kind, len(e.data)))
            self.digest.update(e.data)


@dataclass
class KeysFound:
    """The keys that were compared. `index`: the log entry up to which all was read at; None: each page at its own."""

    count: int = 0
    index: int | None = None
    digest: Any = field(default_factory=hashlib.sha256)
    exact: bool = True

    def add(self, items: Sequence[kv.KeyValue], applied: int | None) -> None:
        """Take in a page of keys. `applied`: the entry at which every member was read, if there is one."""
        self.exact = self.exact and applied is not None and self.index in (None, applied)
        self.index = applied if self.exact else None
        self.count += len(items)
        for i in items:
            self.digest.update(
                b"%d %d %d %d %d\n" % (len(i.key), len(i.value), i.create_revision, i.mod_revision, i.version)
            )
            self.digest.update(i.key + i.value)


class Page(NamedTuple):
    """A page of a member's keys, from a state that includes every entry up to `applied` and none after it."""

    applied: int
    items: Mapping[bytes, kv.KeyValue]
    end: bytes | None
    """The last key where a limit cut the page; None where it reaches to the end."""


class Comparison:
    """Compares members. `timeout` is how long each may take for its next page; `tick` is called with how far it is."""

    def __init__(self, cluster: Cluster, sides: Sequence[Side], timeout: float, tick: Callable[[str], None]) -> None:
        self.sides = sides
        self.differences: list[Difference] = []
        self.log = LogFound(1, 0)
        self.keys = KeysFound()
        self._cluster = cluster
        self._timeout = timeout
        self._tick = tick

    @property
    def active(self) -> list[Side]:
        """The members that are still compared, in the order in which they were given."""
        return [s for s in self.sides if not s.differs and not s.unchecked]

    def identify(self) -> None:
        """Ask each member at its own address who it is: no node is compared in another one's place."""
        answers = self._ask(self.active, GetStatus(0))
        for side in self.active:
            answer = answers[side.name]
            if not isinstance(answer, StatusResult):
                side.unchecked = f"it did not say who it is at {side.address}"
            elif answer.status.node_id != side.node_id:
                side.unchecked = f"node {answer.status.node_id} answers at its address {side.address}"

    def compare_logs(self, first: int, last: int) -> None:
        """Compare the entries `first`..`last`, which all members have committed."""
        found = self.log = LogFound(first, last)
        position = first
        patience = Deadline(self._timeout)
        while position <= found.last and self.active:
            pages = self._log_pages(position, found.last)
            if compacted := [name for name, a in pages.items() if isinstance(a, Failed)]:
                if patience.passed:
                    for side in (s for s in self.active if s.name in compacted):
                        side.unchecked = f"for {self._timeout:g} s it discarded its log faster than it could be read"
                    continue
                position = self._after_compaction(found, position)
                continue
            lists = {n: a.entries for n, a in pages.items() if isinstance(a, LogResult)}
            if lists:
                position += self._compare_entries(found, lists)
                patience = Deadline(self._timeout)
                self._tick(f"compared the log up to entry {position - 1} of {found.last}")

    def _log_pages(self, position: int, last: int) -> dict[str, LogResult | Failed]:
        pages = self._ask(self.active, GetLog(0, position, last, entries_max=LOG_PAGE))
        for side in self.active:
            answer = pages.get(side.name)
            if isinstance(answer, LogResult):
                indexes = [v.entry.index for v in answer.entries]
                if not indexes or indexes != list(range(position, position + len(indexes))):
                    side.unchecked = f"it gave {len(indexes)} entries that do not begin at {position}, as asked"
            elif isinstance(answer, Failed) and (answer.code is not ErrorCode.COMPACTED or answer.detail <= position):
                side.unchecked = answer.message
        left = {s.name for s in self.active}
        return {name: answer for name, answer in pages.items() if name in left}

    def _after_compaction(self, found: LogFound, position: int) -> int:
        """Start again where every member still has the log: one of them has discarded entries.

        On a busy cluster these may be all that were to be compared: then compare later ones, which all have by now.
        """
        answers = self._ask(self.active, GetStatus(0)).values()
        statuses = [a.status for a in answers if isinstance(a, StatusResult)]
        found.first = max([position + 1, *(s.first_log_index for s in statuses)])
        found.last = max(found.last, min((s.commit_index for s in statuses), default=0))
        found.digest = hashlib.sha256()
        return found.first

    def _compare_entries(self, found: LogFound, lists: Mapping[str, list[LogEntryView]]) -> int:
        """Compare what came from each; return how many entries all hold equally.

        Only the entries count: nodes of different versions may describe the same one in other words.
        """
        common = min(map(len, lists.values()))
        model, *others = ([v.entry for v in views[:common]] for views in lists.values())
        if any(entries != model for entries in others):
            common = next(i for i in range(common) if any(entries[i] != model[i] for entries in others))
            self._log_differs({name: views[common] for name, views in lists.items()})
        found.add(next(iter(lists.values()))[:common])
        return common

    def _log_differs(self, views: Mapping[str, LogEntryView]) -> None:
        """Note the members whose entry is not the most common one; of equally common ones, the leader's counts."""
        holders: list[tuple[LogEntryView, list[str]]] = []
        for name, view in views.items():
            names = next((names for held, names in holders if held.entry == view.entry), None)
            if names is None:
                holders.append((view, [name]))
            else:
                names.append(name)
        groups = sorted(holders, key=lambda group: -len(group[1]))
        others = tuple(name for _, names in groups[1:] for name in names)
        index = groups[0][0].entry.index
        text = "; ".join(f"{', '.join(names)}: {entry_text(view)}" for view, names in groups)
        self._note(Difference("log", others, f"entry {index}: {text}", index=index))

    def compare_keys(self) -> None:
        """Compare the key space of the members whose logs are equal."""
        found = self.keys
        start: bytes | None = b""
        while start is not None and self.active:
            start = self._compare_page(found, start)
            self._tick(f"compared {found.count} keys")

    def _compare_page(self, found: KeysFound, start: bytes) -> bytes | None:
        """Compare the keys from `start` on, and return where the next page begins; None after the last."""
        first = self._read(self.active, start)
        if not self.active:
            return None
        leader = self.active[0]
        before = after = first[leader.name]
        pages = {side.name: first[side.name] for side in self.active}
        applied = before.applied if len({p.applied for p in pages.values()}) == 1 else None
        if applied is None:
            pages = self._read([s for s in self.active if s is not leader], start, before.applied)
            read = self._read([leader], start, max((p.applied for p in pages.values()), default=0))
            if leader.unchecked:
                return start
            after = read[leader.name]
        ends = [p.end for p in (before, after, *pages.values()) if p.end is not None]
        end = min(ends, default=None)
        for name, page in pages.items():
            key = first_surplus(before, page, end)
            key = first_surplus(page, after, end) if key is None else key
            if key is not None:
                self._note(
                    Difference(
                        "keys",
                        (name,),
                        f"key {escape_bytes(key)}: {leader.name}: "
                        f"{item_text(after.items.get(key))}; {name}: {item_text(page.items.get(key))}",
                        key=key,
                    )
                )
        found.add([i for k, i in after.items.items() if end is None or k <= end], applied)
        return None if end is None else end + b"\0"

    def _read(self, sides: Sequence[Side], start: bytes, at_least: int = 0) -> dict[str, Page]:
        """Return a page of each member's own keys, once it has applied `at_least`."""
        request = Read(0, kv.encode(kv.List(b"", start, KEYS_PAGE)), Consistency.LOCAL)
        pages: dict[str, Page] = {}
        patience = Deadline(self._timeout)
        behind = list(sides)
        while behind:
            for name, answer in self._ask(behind, request).items():
                side = next(s for s in behind if s.name == name)
                page = _page(side, answer)
                if page is not None and page.applied >= at_least:
                    pages[name] = page
            behind = [s for s in behind if s.name not in pages and not s.unchecked]
            if behind and not patience.pause():
                for side in behind:
                    side.unchecked = f"it did not apply entry {at_least} within {self._timeout:g} s"
                break
        return pages

    def _note(self, difference: Difference) -> None:
        self.differences.append(difference)
        for side in self.sides:
            side.differs = side.differs or side.name in difference.members

    def _ask(self, sides: Sequence[Side], request: Request[T]) -> dict[str, T | Failed]:
        """Put a request to members until each has answered. A member that does not in time becomes unchecked."""
        waiting: dict[str, list[Side]] = {}
        for side in sides:
            waiting.setdefault(side.address, []).append(side)
        answers: dict[str, T | Failed] = {}
        patience = Deadline(self._timeout)
        while waiting:
            found = self._cluster.ask(list(waiting), request, patience)
            lasting = {a: failed for a, failed in found.failed.items() if not failed.code.is_temporary}
            for address, answer in (found.answers | lasting).items():
                answers |= dict.fromkeys((s.name for s in waiting.pop(address)), answer)
            if waiting and not patience.pause():
                for address, silent in waiting.items():
                    failure = found.failures.get(address)
                    for side in silent:
                        side.unchecked = failure.reason if failure else f"it was busy for {self._timeout:g} s"
                break
        return answers


def first_surplus(older: Page, newer: Page, end: bytes | None) -> bytes | None:
    """Return the first key up to `end` that `newer` holds at a revision that `older` should hold, but does not.

    A revision that even `newer` does not include yet is none that the key can have.
    """
    for key, item in newer.items.items():
        if end is not None and key > end:
            return None
        old = item.mod_revision <= older.applied or item.mod_revision > newer.applied
        if old and older.items.get(key) != item:
            return key
    return None


def _page(side: Side, answer: ReadResult | Failed) -> Page | None:
    """Return the page in an answer; None, and why on the side, if there is none."""
    if isinstance(answer, Failed):
        side.unchecked = answer.message
        return None
    try:
        result = kv.decode_result(answer.result)
    except FrameError as error:
        side.unchecked = str(error)
        return None
    if not isinstance(result, kv.ListResult) or (result.more and not result.items):
        side.unchecked = "it gave no list of its keys"
        return None
    items = {item.key: item for item in result.items}
    return Page(answer.applied_index, items, result.items[-1].key if result.more else None)


def entry_text(view: LogEntryView) -> str:
    """Return one line that identifies an entry's content."""
    entry = view.entry
    digest = hashlib.sha256(entry.data).hexdigest()[:12]
    return f"term {entry.term}, {entry.kind.name.lower()}, {len(entry.data)} bytes with sha256 {digest}"


def item_text(item: kv.KeyValue | None) -> str:
    """Return one line that identifies a key's state."""
    if item is None:
        return "absent"
    digest = hashlib.sha256(item.value).hexdigest()[:12]
    return (
        f"revision {item.mod_revision}, created at {item.create_revision}, version {item.version}, "
        f"{len(item.value)} bytes with sha256 {digest}"
    )
