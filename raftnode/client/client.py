"""The blocking client."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

from raftnode.client.blocking import BlockingNetwork, iterate, run
from raftnode.client.guard import ClusterGuard
from raftnode.client.operations import TIMEOUT_S, Gap, Members, Operations, Statuses, Text
from raftnode.wire.client import Request
from raftnode.wire.kv import Change, KeyValue, PutResult

T = TypeVar("T")


class Client:
    """A client of a cluster. Not thread-safe: give each thread its own.

        with Client("10.0.0.1:7001,10.0.0.2:7001") as client:
            client.put("greeting", "hello")

    `endpoints` are some of the cluster's addresses, as "host:port,..." or a list. `cluster_id` is the cluster that
    they must belong to; without it, the first node that answers decides. Every operation has `timeout` seconds:
    within that, it finds and follows the leader, and a write is applied once however often it is sent.

    Every operation raises NotDone (nothing happened: safe to repeat), OutcomeUnknown (it may have happened) or Refused;
    see `raftnode.client.errors`. Keys and values are bytes, or str as UTF-8.
    """

    def __init__(
        self, endpoints: str | Sequence[str], *, cluster_id: str | None = None, timeout: float = TIMEOUT_S
    ) -> None:
        self._network = BlockingNetwork(ClusterGuard(cluster_id or ""))
        self._operations = Operations(endpoints, self._network, timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._network.close()

    def put(self, key: Text, value: Text, *, expected_revision: int | None = None) -> PutResult:
        """Set a key to a value.

        With `expected_revision` only where the key is at that revision (0: does not exist). Raises Conflict.
        """
        return run(self._operations.put(key, value, expected_revision=expected_revision))

    def get(self, key: Text, *, consistency: str = "linearizable") -> KeyValue | None:
        """Return a key's value and revisions; None where it does not exist.

        `consistency` "linearizable" is never stale; "local" is what any node has now, which may be behind.
        """
        return run(self._operations.get(key, consistency=consistency))

    def delete(self, key: Text, *, expected_revision: int | None = None) -> bool:
        """Remove a key, and return whether it was there.

        With `expected_revision` only where the key is at that revision. Raises Conflict.
        """
        return run(self._operations.delete(key, expected_revision=expected_revision))

    def list(
        self, prefix: Text = b"", *, limit: int | None = None, keys_only: bool = False
    ) -> Generator[KeyValue, None, None]:
        """Give the keys that begin with `prefix`, in byte order: a thousand at one revision, the next at a later one.

        At most `limit` of them; `keys_only`: with empty values.
        """
        return iterate(self._operations.list(prefix, limit=limit, keys_only=keys_only))

    def cas(self, key: Text, expected: Text | None, value: Text) -> bool:
        """Set a key to a value only where it has the value `expected` (None: does not exist). Return whether it had."""
        return run(self._operations.cas(key, expected, value))

    def incr(self, key: Text, by: int = 1) -> int:
        """Add to the decimal number at a key (an absent one counts as 0) and return the sum.

        Raises Refused where the value is no number, or the sum is outside the range of a signed 64-bit integer.
        """
        return run(self._operations.incr(key, by))

    def watch(self, prefix: Text = b"", *, after: int | None = None) -> Generator[Change | Gap, None, None]:
        """Give the changes of keys that begin with `prefix` as they happen, oldest first, without end.

        It begins after revision `after`, or now, and resumes where it was when a connection breaks. Changes that are
        no longer known are given as a Gap. Raises NotDone where no node answers for `timeout` seconds.
        """
        return iterate(self._operations.watch(prefix, after=after))

    def members(self) -> Members:
        """Return the members as the leader sees them, in the order of their ids."""
        return run(self._operations.members())

    def status(self) -> Statuses:
        """Return the status of every node that answers, in the order of their ids. Raises NoNodeAnswers."""
        return run(self._operations.status())

    def call(self, request: Request[T]) -> T:
        """Put any request of `raftnode.wire.client` to a node that answers it. Its id may be 0."""
        return run(self._operations.call(request))
