"""What a leader knows of one other member's log, and what is in flight to it.

    match_index      next_index           last
         |               |                  |
    .....m  in flight... n  not sent yet....l

- PROBE: where the logs match is not known; one request at a time.
- REPLICATE: requests follow each other without waiting, inside a window of messages and of bytes.
- SNAPSHOT: the entries it needs were compacted; nothing but heartbeats until the snapshot is acknowledged.
"""

import enum
from collections import deque
from dataclasses import dataclass

from raftnode.core.types import NodeId


class ProgressState(enum.Enum):
    """How entries are sent to a member."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    """One member's replication state. Only a leader has these, and forgets them when it steps down."""

    __slots__ = (
        "acked_round",
        "catch_up_started",
        "catch_up_target",
        "caught_up",
        "inflight",
        "inflight_bytes",
        "inflight_bytes_max",
        "inflight_messages_max",
        "last_contact",
        "match_index",
        "must_send",
        "next_index",
        "peer",
        "probe",
        "sent_commit",
        "snapshot_due",
        "snapshot_index",
        "state",
        "unanswered",
    )

    def __init__(
        self, peer: NodeId, next_index: int, now: float, inflight_messages_max: int, inflight_bytes_max: int
    ) -> None:
        self.peer = peer
        self.state = ProgressState.PROBE
        self.match_index = 0
        self.next_index = next_index
        self.last_contact: float | None = None
        """When it last answered in this term; before that, when this leader began to send to it."""
        self.acked_round = 0
        """The newest broadcast round that it answered."""
        self.must_send = True
        """Send a request even if it is empty: a heartbeat, a read's round, a commit index."""
        self.sent_commit = 0
        self.probe: tuple[int, int] | None = None
        """In PROBE: (last index, bytes) of the one request in flight."""
        self.unanswered = False
        """A probe was sent and not answered yet: the next one carries no entries."""
        self.inflight: deque[tuple[int, int]] = deque()
        """(last index, bytes) of each unacknowledged request in REPLICATE."""
        self.inflight_bytes = 0
        self.inflight_messages_max = inflight_messages_max
        self.inflight_bytes_max = inflight_bytes_max
        self.snapshot_index = 0
        """In SNAPSHOT: the snapshot that was asked for covers at least this index."""
        self.snapshot_due = now
        """When a snapshot may be asked for, for the first time or again."""
        self.catch_up_target: int | None = None
        """Catch-up round (thesis 4.2.1): the leader's last index when the round began."""
        self.catch_up_started = now
        self.caught_up = False

    def window_is_open(self) -> bool:
        """Whether another request with entries may be sent now."""
        if self.state is ProgressState.REPLICATE:
            return len(self.inflight) < self.inflight_messages_max and self.inflight_bytes < self.inflight_bytes_max
        return self.state is ProgressState.PROBE and self.probe is None

    def answers(self, now: float, within: float) -> bool:
        """Whether it answered this leader in the last `within` seconds."""
        return bool(self.acked_round) and self.last_contact is not None and now - self.last_contact < within

    def sent(self, last_index: int, size_bytes: int) -> None:
        """Record that a request with entries up to `last_index` is sent."""
        if self.state is ProgressState.REPLICATE:
            self.next_index = last_index + 1
            self.inflight.append((last_index, size_bytes))
            self.inflight_bytes += size_bytes
        else:
            self.probe = (last_index, size_bytes)
            self.unanswered = True

    def acknowledged(self, index: int) -> bool:
        """Record that its log matches up to `index`. Return whether `match_index` grew; it never falls."""
        inflight = self.inflight
        while inflight and inflight[0][0] <= index:
            self.inflight_bytes -= inflight.popleft()[1]
        proves_probe = index + 1 == self.next_index
        grows = index > self.match_index
        if grows:
            self.match_index = index
            self.next_index = max(self.next_index, index + 1)
        match self.state:
            case ProgressState.PROBE if grows or proves_probe:
                self.become_replicate()
            case ProgressState.SNAPSHOT if self.match_index >= self.snapshot_index:
                self.become_replicate()
            case _:
                pass
        return grows

    def rejected(self, rejected_index: int, next_hint: int) -> bool:
        """Record a refusal of the request after `rejected_index` (0: not given). Return whether it changed anything.

        An outdated refusal changes nothing, so that only one probe is in flight however many arrive.
        """
        if self.state is ProgressState.SNAPSHOT:
            return False
        if rejected_index and rejected_index <= self.match_index:
            return False
        if self.state is ProgressState.REPLICATE:
            self.become_probe()
            if rejected_index:
                self.next_index = max(self.match_index + 1, min(rejected_index, next_hint))
            return True
        if self.probe is None or (rejected_index and rejected_index != self.next_index - 1):
            return False
        self.next_index = max(self.match_index + 1, min(self.next_index - 1, next_hint))
        self.probe = None
        return True

    def become_probe(self) -> None:
        """Find out again where the logs match."""
        self._clear_window()
        self.state = ProgressState.PROBE
        self.next_index = self.match_index + 1
        self.probe = None

    def become_replicate(self) -> None:
        """Send without waiting, from after the match, or after the entries of a probe in flight."""
        self._clear_window()
        self.state = ProgressState.REPLICATE
        self.next_index = self.match_index + 1
        probe, self.probe = self.probe, None
        if probe is not None and probe[0] > self.match_index:
            self.next_index = probe[0] + 1
            self.inflight.append(probe)
            self.inflight_bytes = probe[1]

    def become_snapshot(self, snapshot_index: int) -> None:
        """Wait for a snapshot that covers `snapshot_index` to be acknowledged."""
        self._clear_window()
        self.probe = None
        self.state = ProgressState.SNAPSHOT
        self.snapshot_index = snapshot_index

    def unreachable(self) -> None:
        """Assume that what is in flight is lost: send one request at a time, without entries, until it answers."""
        if self.state is ProgressState.REPLICATE:
            self.become_probe()
            self.unanswered = True

    def snapshot_failed(self, due: float) -> None:
        """Allow the snapshot that it waits for to be requested again at `due`."""
        if self.state is ProgressState.SNAPSHOT:
            self.snapshot_due = due

    def snapshot_acknowledged(self, index: int) -> bool:
        """Record that a snapshot up to `index` is in force there. Return whether the match grew."""
        grows = index > self.match_index
        self.match_index = max(self.match_index, index)
        if self.state is ProgressState.SNAPSHOT:
            self.become_probe()
        else:
            self.next_index = max(self.next_index, self.match_index + 1)
        return grows

    def measure_catch_up(self, last_index: int, now: float, round_seconds_max: float) -> None:
        """Advance the catch-up rounds of a learner (thesis 4.2.1).

        A round ends when the learner has every entry that the leader had at the round's start. The learner is
        caught up once a round took less than an election timeout: then promoting it costs no availability.
        An empty acknowledgement ends no round: a learner that has acknowledged nothing has not caught up.
        """
        if self.match_index == 0:
            return
        if self.catch_up_target is None:
            self.catch_up_target, self.catch_up_started = last_index, now
        if self.match_index >= self.catch_up_target:
            self.caught_up = now - self.catch_up_started <= round_seconds_max
            self.catch_up_target, self.catch_up_started = last_index, now

    def _clear_window(self) -> None:
        self.inflight.clear()
        self.inflight_bytes = 0


@dataclass(slots=True)
class Promotion:
    """A learner that is to be promoted when it has caught up. `since` is when its match index last grew."""

    match_index: int
    since: float
