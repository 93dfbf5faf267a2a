"""The operations of a key-value client, over any network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from raftnode.client.cluster import Dispatcher
from raftnode.client.errors import Conflict, NoNodeAnswers, OutcomeUnknown, Refused
from raftnode.client.transport import Deadline
from raftnode.core.errors import SerializationError
from raftnode.wire import kv
from raftnode.wire.address import parse_address, split_endpoints
from raftnode.wire.client import (
    Consistency,
    ErrorCode,
    MemberStatus,
    NodeStatus,
    Read,
    Request,
    Watch,
)

if TYPE_CHECKING:
    from raftnode.client.network import Network

TIMEOUT_S: Final = 5.0
PAGE: Final = 1000
LONG_POLL_S: Final = 10.0

Text = bytes | str
# Named here, because a method is called `list`.
Members = list[MemberStatus]
Statuses = list[NodeStatus]
T = TypeVar("T")
R = TypeVar("R")


class Gap(NamedTuple):
    """Changes after revision `after` and up to `through` are no longer known: read the keys again."""

    after: int
    through: int


def parse_endpoints(endpoints: str | Sequence[str]) -> list[str]:
    """Return the addresses in "host:port,..." or in a list, each once. Raises ValueError."""
    found = split_endpoints([endpoints] if isinstance(endpoints, str) else endpoints)
    if not found:
        raise ValueError("no endpoint was given")
    for address in found:
        parse_address(address)
    return list(found)


def as_bytes(text: Text) -> bytes:
    """Return a key or a value as bytes; a str as UTF-8."""
    return text.encode() if isinstance(text, str) else text


class Operations:
    """The operations of `Client` and `AsyncClient`. Each ends within `timeout` seconds, whatever goes wrong.

    Every one raises NotDone, OutcomeUnknown or Refused; see `raftnode.client.errors`. Keys and values are bytes, or
    str as UTF-8.
    """

    def __init__(self, endpoints: str | Sequence[str], network: Network, timeout: float) -> None:
        self._dispatcher = Dispatcher(parse_endpoints(endpoints), network)
        self._timeout = timeout

    async def put(self, key: Text, value: Text, *, expected_revision: int | None = None) -> kv.PutResult:
        """Set a key to a value.

        With `expected_revision` only where the key is at that revision (0: does not exist). Raises Conflict.
        """
        return await self._write(kv.Put(as_bytes(key), as_bytes(value), expected_revision), kv.PutResult)

    async def get(self, key: Text, *, consistency: str = "linearizable") -> kv.KeyValue | None:
        """Return a key's value and revisions; None where it does not exist.

        `consistency` "linearizable" is never stale; "local" is what any node has now, which may be behind.
        """
        query = kv.Get(as_bytes(key))
        found = await self._read(query, kv.GetResult, Consistency(consistency), Deadline(self._timeout))
        return found.item

    async def delete(self, key: Text, *, expected_revision: int | None = None) -> bool:
        """Remove a key, and return whether it was there.

        With `expected_revision` only where the key is at that revision. Raises Conflict.
        """
        return (await self._write(kv.Delete(as_bytes(key), expected_revision), kv.DeleteResult)).deleted

    async def list(
        self, prefix: Text = b"", *, limit: int | None = None, keys_only: bool = False
    ) -> AsyncGenerator[kv.KeyValue, None]:
        """Give the keys that begin with `prefix`, in byte order: a thousand at one revision, the next at a later one.

        At most `limit` of them; `keys_only`: with empty values.
        """
        start, left = b"", limit
        while left is None or left > 0:
            query = kv.List(as_bytes(prefix), start, PAGE if left is None else min(PAGE, left), keys_only)
            page = await self._read(query, kv.ListResult, Consistency.LINEARIZABLE, Deadline(self._timeout))
            for item in page.items:
                yield item
            if not page.more or not page.items:
                return
            start = page.items[-1].key + b"\0"
            left = None if left is None else left - len(page.items)

    async def cas(self, key: Text, expected: Text | None, value: Text) -> bool:
        """Set a key to a value only where it has the value `expected` (None: does not exist). Return whether it had."""
        command = kv.CompareAndSet(as_bytes(key), None if expected is None else as_bytes(expected), as_bytes(value))
        try:
            await self._write(command, kv.PutResult)
        except Conflict:
            return False
        return True

    async def incr(self, key: Text, by: int = 1) -> int:
        """Add to the decimal number at a key (an absent one counts as 0) and return the sum.

        Raises Refused where the value is no number, or the sum is outside the range of a signed 64-bit integer.
        """
        return (await self._write(kv.Increment(as_bytes(key), by), kv.IncrementResult)).value

    async def watch(self, prefix: Text = b"", *, after: int | None = None) -> AsyncGenerator[kv.Change | Gap, None]:
        """Give the changes of keys that begin with `prefix` as they happen, oldest first, without end.

        It begins after revision `after`, or now, and resumes where it was when a connection breaks. Changes that are
        no longer known are given as a Gap. Raises NotDone where no node answers for `timeout` seconds.
        """
        wanted = as_bytes(prefix)
        if after is None:
            query = kv.List(wanted, limit=1, keys_only=True)
            after = (await self._read(query, kv.ListResult, Consistency.LINEARIZABLE, Deadline(self._timeout))).revision
        while True:
            request = Watch(0, kv.encode(kv.Changes(wanted, after)), round(LONG_POLL_S * 1000))
            answer = await self._dispatcher.call_any(request, Deadline(self._timeout + LONG_POLL_S))
            found = expect(answer.result, kv.ChangesResult)
            if found.lost_before > after:
                yield Gap(after, found.lost_before)
            for change in found.changes:
                yield change
            after = max(after, found.through)

    async def members(self) -> Members:
        """Return the members as the leader sees them, in the order of their ids."""
        return (await self._dispatcher.leader_status(Deadline(self._timeout))).members

    async def status(self) -> Statuses:
        """Return the status of every node that answers, in the order of their ids. Raises NoNodeAnswers."""
        found = await self._dispatcher.survey(Deadline(self._timeout))
        if not found.answers:
            raise NoNodeAnswers(found.failures)
        statuses = {a.status.node_id: a.status for a in found.answers.values()}
        return [statuses[i] for i in sorted(statuses)]

    async def call(self, request: Request[T]) -> T:
        """Put any request of `raftnode.wire.client` to a node that answers it. Its id may be 0."""
        return await self._dispatcher.call(request, Deadline(self._timeout))

    async def _write(self, command: kv.KvCommand, expected: type[R]) -> R:
        written = await self._dispatcher.write(kv.encode(command), Deadline(self._timeout))
        return expect(written.result, expected)

    async def _read(self, query: kv.KvQuery, expected: type[R], consistency: Consistency, deadline: Deadline) -> R:
        answer = await self._dispatcher.call(Read(0, kv.encode(query), consistency), deadline)
        return expect(answer.result, expected)


def expect(data: bytes, expected: type[R]) -> R:
    """Return the store's result. Raises Conflict or Refused if it refused, OutcomeUnknown if it is invalid."""
    try:
        result = kv.decode_result(data)
    except SerializationError as error:
        raise OutcomeUnknown(str(error), ErrorCode.INTERNAL) from error
    if isinstance(result, expected):
        return result
    if isinstance(result, kv.ConflictResult):
        raise Conflict(result.reason, result.current)
    if isinstance(result, kv.BadCommand):
        raise Refused(result.reason, ErrorCode.BAD_REQUEST)
    raise OutcomeUnknown(
        f"the store answers with a {type(result).__name__} instead of a {expected.__name__}", ErrorCode.INTERNAL
    )
