"""A cluster, spoken to with blocking sockets: find the leader, and stay with it.

`Cluster` follows the leader when it changes, and repeats what may be repeated until the deadline: a read always, a
write because it carries a session and a sequence number, so that the cluster applies it once however often it
arrives. It never speaks to two clusters: the first node that answers, or an id that the user gave, decides which.
"""

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from raftctl.connection import Connection
from raftctl.exchange import Asked, ask_all
from raftctl.failures import SessionLost, failure_error, unknown, unreachable
from raftctl.link import Deadline, LinkError, Pin
from raftnode.config.errors import NoLeader, Unreachable, UsageError
from raftnode.wire.client import (
    UNKNOWN,
    Answer,
    AnyRequest,
    ErrorCode,
    Failed,
    GetStatus,
    NodeStatus,
    OpenSession,
    SessionOpened,
    StatusResult,
    Write,
    Written,
)

ATTEMPT_S: Final = 2.0
"""How long one node may take over a request that can be repeated elsewhere."""

DIAL_S: Final = 1.0
"""How long one round of finding the leader may take."""

MOMENT_S: Final = 0.05
"""How long a node may take to say that it is another cluster's, where the members say that it is this one's."""

NEVER_MS: Final = -1
"""What `last_contact_ms` is for a member that the leader has not heard from."""

ONCE_S: Final = 0.5
"""How long the nodes get to say how things are when the deadline leaves them nothing."""


class Repeat(enum.Enum):
    """What may be done when a request's answer is lost."""

    FREELY = enum.auto()
    """It changes nothing, or nothing that matters: send it again."""
    ONCE_APPLIED = enum.auto()
    """It carries a session: send it again, but without an answer in the end its outcome is unknown."""
    NEVER = enum.auto()
    """Its outcome is unknown at once; the caller looks at what became of it."""


_LATER: Final = frozenset(
    {
        ErrorCode.NO_LEADER,
        ErrorCode.BUSY,
        ErrorCode.OVERWRITTEN,
        ErrorCode.TIMED_OUT,
        ErrorCode.SHUTTING_DOWN,
    }
)


class Cluster:
    """A cluster, known by some of its addresses; more are learned from what its nodes say.

    `cluster_id` is the id that the user gave; without it, the first node that answers decides.
    """

    def __init__(self, endpoints: Sequence[str], deadline: Deadline, cluster_id: str = "") -> None:
        self.endpoints = list(endpoints)
        self.deadline = deadline
        self.pipe: int | None = None
        """A pipe whose reader's end ends every wait, for commands that only print what comes."""
        self._pin = Pin(cluster_id)
        self._known = dict.fromkeys(endpoints)
        self._connection: Connection | None = None
        self._leader_hint = ""
        self._last_answers: list[NodeStatus] = []
        self._session = 0
        self._sequence = 0

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self,
        addresses: Iterable[str],
        request: AnyRequest | Callable[[str], AnyRequest],
        deadline: Deadline,
        *,
        enough: Callable[[Asked], bool] | None = None,
    ) -> Asked:
        """Put a request to these nodes of the cluster at the same time. No answer is no error."""
        return ask_all(addresses, request, deadline, pin=self._pin, enough=enough, pipe=self.pipe)

    def survey(
        self,
        patience: float | None = None,
        *,
        at_least: float = 0.0,
        enough: Callable[[Asked], bool] | None = None,
    ) -> Asked:
        """Ask every known member, and those that they name, for its status. No answer is no error.

        The answers may take until the deadline, or `patience` seconds, but always `at_least` that many. Raises
        UsageError where an endpoint that was given is another cluster's.
        """
        left = self.deadline.remaining()
        deadline = Deadline(max(at_least, left if patience is None else min(patience, left)))
        asked = ask_all(
            self._known, GetStatus(1), deadline, pin=self._pin, more=self._learn, enough=enough, suffices=_suffices
        )
        if any(address in asked.foreign for address in self.endpoints):
            raise self._mixed(asked)
        found = [status for _, status in _statuses(asked)]
        self._last_answers = found or self._last_answers
        return asked

    def statuses(self, patience: float | None = None, *, at_least: float = 0.0) -> tuple[list[NodeStatus], Asked]:
        """Return the status of every node that answers, once each. Raises Unreachable where none does."""
        asked = self.survey(patience, at_least=at_least)
        found = {status.node_id: status for _, status in _statuses(asked)}
        if not found:
            raise unreachable(asked)
        return [found[i] for i in sorted(found)], asked

    def _mixed(self, asked: Asked) -> UsageError:
        """Return the error for endpoints that are not all of one cluster, or not of the one that was asked for."""
        whose: dict[str, list[str]] = {}
        found = dict(_statuses(ask_all(self.endpoints, GetStatus(1), Deadline(DIAL_S))))
        for address in filter(found.__contains__, self.endpoints):
            status = found[address]
            whose.setdefault(f"{status.cluster_name} ({status.cluster_id})", []).append(address)
        told = "; ".join(f"{cluster} at {', '.join(addresses)}" for cluster, addresses in whose.items())
        return UsageError(
            "the endpoints belong to different clusters"
            if len(whose) > 1
            else f"the endpoints do not belong to cluster {self._pin.cluster_id}",
            told or "; ".join(asked.foreign.values()),
            "name the endpoints of one cluster: raftctl config explain shows where they come from",
        )

    def _look_for(self, found: Callable[[Asked], bool]) -> Asked:
        """Ask around until `found`, and until it is known that every endpoint is of the same cluster."""
        moment = Deadline(MOMENT_S)
        return self.survey(DIAL_S, enough=lambda asked: found(asked) and self._vouched(asked, moment))

    def _vouched(self, asked: Asked, moment: Deadline) -> bool:
        """Return whether every endpoint is known to be of the answering cluster: its members name it, or it spoke.

        Whoever answers first must not decide alone: of endpoints that belong to two clusters, neither is used. One
        that the leader lists but has never heard from may be another cluster's: it has until `moment` to say so.
        """
        members = [m for _, status in _statuses(asked) for m in status.members]
        listed = {m.address for m in members}
        unheard = set() if moment.passed else {m.address for m in members if m.last_contact_ms == NEVER_MS}
        return all(asked.settled(e) or (e in listed and e not in unheard) for e in self.endpoints)

    def _learn(self, answer: Answer) -> list[str]:
        if not isinstance(answer, StatusResult):
            return []
        addresses = [m.address for m in answer.status.members if m.address]
        self._known.update(dict.fromkeys(addresses))
        return addresses

    def call_leader(self, request: AnyRequest, repeat: Repeat = Repeat.FREELY) -> Answer:
        """Put a request to the leader, whoever that is by the deadline, and return its answer.

        Raises Unreachable, NoLeader, OutcomeUnknown, or what the leader's refusal means.
        """
        doubtful = ""
        last: Failed | None = None
        while True:
            connection = self._to_leader(doubtful, last)
            limit = self.deadline if repeat is Repeat.NEVER else self.deadline.capped(ATTEMPT_S)
            try:
                answer = connection.call(request, limit)
            except LinkError as error:
                self.close()
                if repeat is Repeat.NEVER:
                    raise unknown(str(error)) from error
                if repeat is Repeat.ONCE_APPLIED:
                    doubtful = str(error)
                self._pause(doubtful, last)
                continue
            if not isinstance(answer, Failed):
                return answer
            last = answer
            if answer.outcome == UNKNOWN and answer.code is not ErrorCode.SESSION_EXPIRED:
                if repeat is Repeat.NEVER:
                    raise unknown(answer.message)
                doubtful = answer.message if repeat is Repeat.ONCE_APPLIED else ""
            elif answer.code is ErrorCode.NOT_LEADER:
                self.close()
                self._leader_hint = answer.leader_address
                if answer.leader_address:
                    continue
            elif answer.code is ErrorCode.NO_SPACE and doubtful:
                # This try was refused, but an earlier one may be in the full leader's log: another may have it.
                pass
            elif answer.code not in _LATER:
                raise failure_error(answer, doubtful)
            elif answer.code is ErrorCode.SHUTTING_DOWN:
                self.close()
            self._pause(doubtful, last)

    def start_at(self, address: str) -> None:
        """Try this address first, for what any node answers."""
        self._leader_hint = address

    def call_any(self, request: AnyRequest, wait_s: float = 0.0, address: str = "") -> Answer:
        """Put a request that any node answers to one that is there, and return the answer.

        `wait_s` is how long the node itself may wait; `address` asks that node alone. Raises as `call_leader`
        does.
        """
        while True:
            connection = self._to_node(address) if address else self._to_any()
            try:
                answer = connection.call(request, Deadline(wait_s + ATTEMPT_S))
            except LinkError:
                self.close()
                self._pause("", None)
                continue
            if not isinstance(answer, Failed):
                return answer
            if answer.code not in _LATER:
                raise failure_error(answer)
            self.close()
            self._pause("", answer)

    def write(self, command: bytes) -> Written:
        """Have the state machine apply `command` exactly once. Raises as `call_leader` does."""
        for attempt in (1, 2):
            if not self._session:
                opened = self.call_leader(OpenSession(0))
                assert isinstance(opened, SessionOpened), "OpenSession is answered by SessionOpened"
                self._session, self._sequence = opened.session, 0
            self._sequence += 1
            request = Write(0, self._session, self._sequence, self._sequence - 1, command)
            try:
                answer = self.call_leader(request, Repeat.ONCE_APPLIED)
            except SessionLost:
                # Every try of this write was answered, by a refusal: it may be sent again in a new session.
                self._session = 0
                if attempt == 2:
                    raise
                continue
            assert isinstance(answer, Written), "Write is answered by Written"
            return answer
        raise AssertionError("the second attempt returns or raises")

    def _connect(self, address: str) -> Connection:
        return Connection(address, self.deadline.capped(DIAL_S), self._pin, self.pipe)

    def _to_leader(self, doubtful: str, last: Failed | None) -> Connection:
        if self._connection is not None:
            return self._connection
        while True:
            address = self._leader_hint or self._find_leader()
            self._leader_hint = ""
            if address:
                try:
                    self._connection = self._connect(address)
                except LinkError:
                    address = ""
                else:
                    return self._connection
            self._pause(doubtful, last)

    def _to_node(self, address: str) -> Connection:
        if self._connection is not None and self._connection.address == address:
            return self._connection
        self.close()
        while True:
            try:
                self._connection = self._connect(address)
            except LinkError as error:
                if error.refused or error.foreign or not self.deadline.pause():
                    raise Unreachable(
                        f"{address} does not answer", error.reason, "see which nodes do: raftctl status"
                    ) from error
            else:
                return self._connection

    def _to_any(self) -> Connection:
        if self._connection is None and self._leader_hint:
            try:
                self._connection = self._connect(self._leader_hint)
            except LinkError:
                # It was only a preference; the survey below finds another node.
                self._leader_hint = ""
        while self._connection is None:
            asked = self._look_for(lambda a: bool(a.answers))
            for address in asked.answers:
                try:
                    self._connection = self._connect(address)
                except LinkError:
                    continue
                break
            else:
                self._check_reachable(asked)
                self._pause("", None)
        return self._connection

    def _find_leader(self) -> str:
        asked = self._look_for(lambda a: _leader_itself(a) != "")
        self._check_reachable(asked)
        return _leader_itself(asked) or _leader_as_told(asked)

    def _check_reachable(self, asked: Asked) -> None:
        """Give up at once where every address refuses and none ever answered: waiting would not help."""
        if not self._last_answers and asked.failures and all(f.refused for f in asked.failures.values()):
            raise unreachable(asked)

    def _reasons(self, last: Failed | None) -> list[str]:
        """Return why nobody leads: what a node said, and who is down."""
        from raftctl.view.survey import view_of

        asked = self.survey(at_least=ONCE_S)
        view = view_of([s for _, s in _statuses(asked)] or self._last_answers, asked)
        said = [] if last is None else [last.message]
        late = [] if view.leader is None else [f"{view.leader.node_name} leads now, but the time was over"]
        return [*said, *(late or view.reasons)]

    def _pause(self, doubtful: str, last: Failed | None) -> None:
        if self.deadline.pause():
            return
        if doubtful:
            raise unknown(doubtful)
        if not self._last_answers:
            raise unreachable(Asked(LinkError(a, "no answer") for a in self._known))
        raise NoLeader(
            f"no leader took the request within {self.deadline.seconds:g} s",
            "; ".join(self._reasons(last)),
            "see who is up: raftctl status; wait for one: raftctl wait --leader",
        )


def _suffices(asked: Asked) -> bool:
    """Return whether the leader and a majority of its voters have answered: it knows how the others are."""
    found = [status for _, status in _statuses(asked)]
    top = max((s.term for s in found), default=0)
    leader = next((s for s in found if s.role == "leader" and s.term == top), None)
    if leader is None:
        return False
    voters = {m.id for m in leader.members if m.kind in ("voter", "outgoing")}
    return 2 * len(voters & {s.node_id for s in found}) > len(voters)


def _statuses(asked: Asked) -> list[tuple[str, NodeStatus]]:
    return [(address, a.status) for address, a in asked.answers.items() if isinstance(a, StatusResult)]


def _leader_itself(asked: Asked) -> str:
    """Return where a node was reached that says it leads, in the highest term of all that answered."""
    found = _statuses(asked)
    top = max((s.term for _, s in found), default=0)
    return next((address for address, s in found if s.role == "leader" and s.term == top), "")


def _leader_as_told(asked: Asked) -> str:
    told = [(s.term, s.leader_address) for _, s in _statuses(asked) if s.leader_address]
    return max(told, default=(0, ""))[1]
