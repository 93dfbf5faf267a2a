"""Requests to a cluster: find the leader and stay with it, repeat what is safe to repeat, write through a session.

Every kind of client uses these coroutines. They run over a `Network` and need no event loop: over `BlockingNetwork`
they never suspend (see `blocking.run`), over the asyncio network they do.

A client never talks to two clusters. The user's cluster id or the first node that answers decides which. Endpoints
that belong to different clusters are an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from raftnode.client.errors import (
    ConnectionFailed,
    NoLeader,
    NoNodeAnswers,
    OutcomeUnknown,
    SessionLost,
    WrongCluster,
    failed_error,
)
from raftnode.client.fanout import HEAD_START_S, Answers, Round
from raftnode.client.requests import Repeat, is_for_leader, node_wait_s, repeat_of
from raftnode.client.transport import PAUSE_S, Deadline
from raftnode.wire.client import (
    UNKNOWN,
    ErrorCode,
    Failed,
    GetStatus,
    NodeStatus,
    OpenSession,
    Request,
    StatusResult,
    Written,
)

ATTEMPT_S: Final = 2.0
"""How long one node may take over a request that can be repeated elsewhere."""

DIAL_S: Final = 1.0
"""How long connecting to a node, or one round of finding the leader, may take."""

MOMENT_S: Final = 0.05
"""How long a listed member that the leader never reached may take to turn out to be another cluster's."""

NEVER_MS: Final = -1
"""What `last_contact_ms` is for a member that the leader has not heard from."""

ONCE_S: Final = 0.5
"""How long to wait for the statuses that explain an error, after the deadline has passed."""

T = TypeVar("T")

if TYPE_CHECKING:
    from raftnode.client.network import Network
    from raftnode.client.session import WriteSession

    StatusAnswers = Answers[StatusResult]


class Dispatcher:
    """Sends requests to a cluster that is known by some of its addresses; more are learned from its nodes."""

    def __init__(self, endpoints: Sequence[str], network: Network) -> None:
        self.endpoints = list(endpoints)
        self.network = network
        self._known = dict.fromkeys(endpoints)
        self._leader = ""
        """Where the leader is believed to be; "" for unknown."""
        self._node = ""
        """The node that answered last, for what any node answers."""
        self._last_statuses: list[NodeStatus] = []
        self._session: WriteSession | None = None
        self._session_lock = network.lock()

    @property
    def session(self) -> int:
        """The number of the session of the writes; 0 before the first write."""
        return 0 if self._session is None else self._session.number

    # Asking every node.

    async def survey(
        self, deadline: Deadline, *, enough: Callable[[StatusAnswers], bool] | None = None, head_start: float = 0.0
    ) -> StatusAnswers:
        """Ask every known member, and those that they name, for its status. Missing answers are not an error.

        Raises WrongCluster if an endpoint belongs to a different cluster than the others, or than the given id.
        """
        round_ = Round(
            self._known,
            deadline,
            more=self._learn,
            enough=enough,
            suffices=_suffices,
            refers=lambda answer: answer.status.leader_address,
            head_start=head_start,
        )
        found = await self.network.ask_all(round_, GetStatus(0))
        if any(address in found.foreign for address in self.endpoints):
            raise await self._wrong_cluster(found)
        self._last_statuses = [a.status for a in found.answers.values()] or self._last_statuses
        leader = _leader_itself(found)
        if leader and self._is_vouched(found, None):
            self._leader = leader
        return found

    async def _wrong_cluster(self, found: StatusAnswers) -> WrongCluster:
        """Return the error for endpoints that are not all of one cluster, or not of the one that was asked for."""
        whose: dict[tuple[str, str], list[str]] = {}
        every = await self.network.ask_all(Round(self.endpoints, Deadline(DIAL_S)), GetStatus(0), any_cluster=True)
        for address in filter(every.answers.__contains__, self.endpoints):
            status = every.answers[address].status
            whose.setdefault((status.cluster_name, status.cluster_id), []).append(address)
        return WrongCluster(self.network.guard.cluster_id, whose, "; ".join(found.foreign.values()))

    async def _look_for(
        self, deadline: Deadline, found: Callable[[StatusAnswers], bool], *, quick: bool
    ) -> StatusAnswers:
        """Ask nodes until `found` holds and every endpoint is known to belong to the same cluster.

        `quick`: ask the first endpoint alone, then the leader that it names, if those answers are enough.
        """
        moment = Deadline(MOMENT_S)
        head_start = HEAD_START_S if quick else 0.0
        alone = Deadline(head_start)

        def enough(answers: StatusAnswers) -> bool:
            return found(answers) and self._is_vouched(answers, moment, by_leader=not alone.passed)

        return await self.survey(deadline.capped(DIAL_S), enough=enough, head_start=head_start)

    def _is_vouched(self, found: StatusAnswers, moment: Deadline | None, *, by_leader: bool = False) -> bool:
        """Return whether every endpoint is known to be of the answering cluster, as a listed member or by its answer.

        The first answer must not decide alone, because endpoints of different clusters are an error. A member that the
        leader lists but was never in contact with may belong to another cluster: wait for it until `moment` (None:
        forever). `by_leader`: ignore the members that followers list, since followers do not track contact.
        """
        statuses = [a.status for a in found.answers.values()]
        members = [m for s in statuses for m in s.members if s.role == "leader" or not by_leader]
        listed = {m.address for m in members}
        patient = moment is None or not moment.passed
        unheard = {m.address for m in members if m.last_contact_ms == NEVER_MS} if patient else set()
        return all(found.is_settled(e) or (e in listed and e not in unheard) for e in self.endpoints)

    def _learn(self, answer: StatusResult) -> list[str]:
        addresses = [m.address for m in answer.status.members if m.address]
        self._known.update(dict.fromkeys(addresses))
        return addresses

    # One request.

    async def call(self, request: Request[T], deadline: Deadline) -> T:
        """Put a request to a node that can answer it, and return the answer.

        Raises NotDone, OutcomeUnknown, Refused; see `call_leader` and `call_any`.
        """
        return await (self.call_leader if is_for_leader(request) else self.call_any)(request, deadline)

    async def call_leader(self, request: Request[T], deadline: Deadline) -> T:
        """Put a request to the leader, whichever node that is by the deadline, and return its answer.

        Raises NoNodeAnswers, NoLeader, OutcomeUnknown, Refused, WrongCluster.
        """
        repeat = repeat_of(request)
        doubtful = ""
        said = ""
        quick = True
        while True:
            address = self._leader or await self._find_leader(deadline, quick=quick)
            quick = False
            if not address:
                await self._pause(deadline, doubtful, said)
                continue
            self._leader = address
            limit = deadline if repeat is Repeat.NEVER else deadline.capped(ATTEMPT_S)
            try:
                answer = await self.network.call(address, request, limit, DIAL_S)
            except ConnectionFailed as error:
                self._lose_leader(address)
                if error.sent and repeat is Repeat.NEVER:
                    raise OutcomeUnknown(str(error)) from error
                if error.sent and repeat is Repeat.ONCE_APPLIED:
                    doubtful = str(error)
                await self._pause(deadline, doubtful, said)
                continue
            if not isinstance(answer, Failed):
                return answer
            said = answer.message
            if answer.outcome == UNKNOWN and answer.code is not ErrorCode.SESSION_EXPIRED:
                if repeat is Repeat.NEVER:
                    raise failed_error(answer)
                doubtful = said if repeat is Repeat.ONCE_APPLIED else ""
            elif answer.code is ErrorCode.NOT_LEADER:
                self._lose_leader(address)
                if answer.leader_address:
                    self._leader = answer.leader_address
                    if not deadline.passed:
                        continue
            elif answer.code is ErrorCode.NO_SPACE and doubtful:
                # This try was refused, but an earlier one may be in the log of this or another node.
                pass
            elif not answer.code.is_temporary:
                raise failed_error(answer, doubtful)
            elif answer.code is ErrorCode.SHUTTING_DOWN:
                self._lose_leader(address)
            await self._pause(deadline, doubtful, said)

    async def leader_status(self, deadline: Deadline) -> NodeStatus:
        """Return the status of the node that leads. Raises as `call_leader` does."""
        quick = True
        while True:
            address = self._leader or await self._find_leader(deadline, quick=quick)
            quick = False
            if address:
                try:
                    answer = await self.network.call(address, GetStatus(0), deadline.capped(ATTEMPT_S), DIAL_S)
                except ConnectionFailed:
                    answer = None
                if isinstance(answer, StatusResult) and answer.status.role == "leader":
                    self._leader = address
                    return answer.status
                self._lose_leader(address)
            await self._pause(deadline, "", "")

    def _lose_leader(self, address: str) -> None:
        if self._leader == address:
            self._leader = ""

    def start_at(self, address: str) -> None:
        """Try this address first, for what any node answers."""
        self._node = address

    async def call_any(self, request: Request[T], deadline: Deadline) -> T:
        """Put a request that any node can answer to one that is up, and return the answer.

        Raises as `call_leader` does.
        """
        while True:
            preferred = self._node
            address = preferred or await self._find_any(deadline)
            try:
                answer = await self._attempt(address, request, deadline)
            except ConnectionFailed as error:
                self._node = ""
                if error.sent or not preferred:
                    await self._pause(deadline, "", "")
                continue
            self._node = address
            if not isinstance(answer, Failed):
                return answer
            if not answer.code.is_temporary:
                raise failed_error(answer)
            self._node = ""
            await self._pause(deadline, "", answer.message)

    async def call_node(self, address: str, request: Request[T], deadline: Deadline) -> T:
        """Put a request to the node at this address, and return the answer. Raises as `call_leader` does."""
        while True:
            try:
                answer = await self._attempt(address, request, deadline)
            except ConnectionFailed as error:
                if not error.sent and (error.refused or error.foreign or not await self._sleep(deadline)):
                    raise NoNodeAnswers({address: error}) from error
                if error.sent:
                    await self._pause(deadline, "", "")
                continue
            if not isinstance(answer, Failed):
                return answer
            if not answer.code.is_temporary:
                raise failed_error(answer)
            await self._pause(deadline, "", answer.message)

    async def _attempt(self, address: str, request: Request[T], deadline: Deadline) -> T | Failed:
        wait_s = node_wait_s(request)
        limit = deadline if wait_s is None else deadline.capped(wait_s + ATTEMPT_S)
        return await self.network.call(address, request, limit, DIAL_S)

    async def _find_any(self, deadline: Deadline) -> str:
        quick = True
        while True:
            found = await self._look_for(deadline, lambda a: bool(a.answers), quick=quick)
            quick = False
            if found.answers:
                return next(iter(found.answers))
            self._check_reachable(found)
            await self._pause(deadline, "", "")

    async def _find_leader(self, deadline: Deadline, *, quick: bool) -> str:
        """Return the address of the leader, or of the node named as leader; "" if unknown.

        `quick` is for a request's first try.
        """
        found = await self._look_for(deadline, lambda a: _leader_itself(a) != "", quick=quick)
        self._check_reachable(found)
        return _leader_itself(found) or _leader_as_told(found)

    def _check_reachable(self, found: StatusAnswers) -> None:
        """Raise NoNodeAnswers if every address refuses and none ever answered: waiting would not help."""
        if not self._last_statuses and found.failures and all(f.refused for f in found.failures.values()):
            raise NoNodeAnswers(found.failures)

    async def _sleep(self, deadline: Deadline) -> bool:
        """Sleep for a moment, but not past the deadline. Returns whether time is left."""
        await self.network.sleep(min(PAUSE_S, deadline.remaining()))
        return not deadline.passed

    async def _pause(self, deadline: Deadline, doubtful: str, said: str) -> None:
        """Sleep for a moment. If no time is left, raise the error that describes the request's outcome."""
        if await self._sleep(deadline):
            return
        if doubtful:
            raise OutcomeUnknown(doubtful)
        if not self._last_statuses:
            raise NoNodeAnswers({a: ConnectionFailed(a, "no answer") for a in self._known})
        found = await self.survey(Deadline(ONCE_S))
        statuses = [a.status for a in found.answers.values()] or self._last_statuses
        raise NoLeader(deadline.seconds, said, statuses, found.failures)

    # Writes.

    async def write(self, command: bytes, deadline: Deadline) -> Written:
        """Have the state machine apply `command` exactly once. Raises as `call_leader` does."""
        try:
            return await self._write_once(command, deadline)
        except SessionLost:
            # Every try of this write was answered with a refusal, so it may be sent again in a new session.
            return await self._write_once(command, deadline)

    async def _write_once(self, command: bytes, deadline: Deadline) -> Written:
        session = await self._open_session(deadline)
        write = session.begin(command)
        try:
            return await self.call_leader(write, deadline)
        except SessionLost:
            if self._session is session:
                self._session = None
            raise
        finally:
            session.end(write)

    async def _open_session(self, deadline: Deadline) -> WriteSession:
        # Commands that only read do not load it.
        from raftnode.client.session import WriteSession

        async with self._session_lock:
            if self._session is None or self._session.is_full:
                opened = await self.call_leader(OpenSession(0), deadline)
                self._session = WriteSession(opened.session)
            return self._session


def _suffices(found: StatusAnswers) -> bool:
    """Return whether the leader and a majority of its voters have answered: then its view of the others is current."""
    statuses = [a.status for a in found.answers.values()]
    top = max((s.term for s in statuses), default=0)
    leader = next((s for s in statuses if s.role == "leader" and s.term == top), None)
    if leader is None:
        return False
    voters = {m.id for m in leader.members if m.kind in ("voter", "outgoing")}
    return 2 * len(voters & {s.node_id for s in statuses}) > len(voters)


def _leader_itself(found: StatusAnswers) -> str:
    """Return the address of a node that says it leads, in the highest term of all answers."""
    top = max((a.status.term for a in found.answers.values()), default=0)
    leading = (address for address, a in found.answers.items() if a.status.role == "leader" and a.status.term == top)
    return next(leading, "")


def _leader_as_told(found: StatusAnswers) -> str:
    told = [(a.status.term, a.status.leader_address) for a in found.answers.values() if a.status.leader_address]
    return max(told, default=(0, ""))[1]
