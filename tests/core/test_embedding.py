"""The embedding example is short, runs, and loses nothing, at whatever step its nodes crash."""

import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raftnode import HardState, LogEntry, Message, NodeRole, Ready, RequestVoteResponse
from raftnode.testing import Disk

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "embedded_cluster.py"
COMMANDS = [b"one", b"two", b"three"]


def test_the_embedding_example_runs_in_eighty_lines_and_all_nodes_apply_the_same() -> None:
    """Three nodes in one process: each prints the same log, with all that was proposed, in order."""
    assert len(EXAMPLE.read_text().splitlines()) <= 80
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"node {node} applied {COMMANDS}" for node in (1, 2, 3)]


def duties() -> list[str]:
    """Return the first lines of the numbered list in the docstring of `Ready`."""
    return re.findall(r"^(\d\. .+)$", inspect.getdoc(Ready) or "", re.MULTILINE)


def test_the_order_of_duties_is_the_same_everywhere() -> None:
    """In the docstring, in the tutorial's README.md, and, but for what it has no use for, in the example."""
    listed = duties()
    assert [line[0] for line in listed] == list("12345")
    assert "\n".join(listed) in (ROOT / "examples" / "embedded" / "README.md").read_text()
    assert re.findall(r"# (\d\. .+)$", EXAMPLE.read_text(), re.MULTILINE)[:4] == listed[:4]


class Crash(BaseException):
    """The process of one node ends here."""


class Run:
    """The example, on disks that lose what was not saved, with a crash at its `crash_at`th step."""

    def __init__(self, crash_at: int, *, everyone: bool, keep: int, disk: type["TrapDisk"]) -> None:
        spec = importlib.util.spec_from_file_location("example", EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        example = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        self.steps = self.busy_steps = 0
        self.crash_at, self.everyone, self.keep = crash_at, everyone, keep
        self.acting = 0
        self.votes: dict[tuple[int, int], int] = {}
        self.leaders: dict[int, int] = {}
        self.acknowledged: list[bytes] = []
        self.cluster: Any = example.Cluster({node: disk(self, node) for node in example.IDS})
        self.deliver, self.cluster.send = self.cluster.send, self.send

    def step(self, node: int) -> None:
        """Count a step of a node, and crash there if it is the one."""
        self.steps += 1
        self.acting = node
        if self.steps == self.crash_at:
            raise Crash

    def send(self, node: int, messages: list[tuple[int, Message]]) -> None:
        """Send messages one by one: a crash may come between any two."""
        for peer, message in messages:
            self.step(node)
            if isinstance(message, RequestVoteResponse) and message.vote_granted:
                voted = self.votes.setdefault((node, message.term), peer)
                assert voted == peer, f"node {node} voted for {voted} and for {peer} in term {message.term}"
            self.deliver(node, [(peer, message)])

    def play(self) -> None:
        """Elect, propose, and do it again after the crash; then everything acknowledged is everywhere."""
        for command in COMMANDS:
            self.until_applied(command)
        self.busy_steps = self.steps
        self.run(5.0)
        logs = list(self.cluster.applied.values())
        assert logs[0] == logs[1] == logs[2]
        self.check_acknowledged(logs[0])

    def until_applied(self, command: bytes) -> None:
        """Propose to whoever leads until the leader has applied it: that is what a client would be told."""
        for _ in range(100):
            self.run(0.2)
            leaders = [raft for raft in self.cluster.nodes.values() if raft.role is NodeRole.LEADER]
            for raft in leaders:
                if command in self.cluster.applied[raft.node_id]:
                    self.acknowledged.append(command)
                    return
                if raft.last_log_index == raft.last_applied:
                    self.guarded(lambda raft=raft: raft.propose(command))
        raise AssertionError(f"{command!r} was never applied")

    def run(self, seconds: float) -> None:
        """Let time pass, and restart whoever crashes."""
        for _ in range(round(seconds / 0.05)):
            self.guarded(lambda: self.cluster.run(0.05))
            for raft in self.cluster.nodes.values():
                if raft.role is NodeRole.LEADER:
                    first = self.leaders.setdefault(raft.current_term, raft.node_id)
                    assert first == raft.node_id, f"nodes {first} and {raft.node_id} lead term {raft.current_term}"

    def guarded(self, action: Any) -> None:
        """Do something that a crash may end; then start who crashed, and let another node campaign first."""
        try:
            action()
        except Crash:
            crashed = list(self.cluster.nodes) if self.everyone else [self.acting]
            for node in crashed:
                self.cluster.disks[node].crash(self.keep)
                self.cluster.start(node)
            if self.everyone:
                self.cluster.mail.clear()
            first = self.cluster.nodes[self.crash_at % 3 + 1]
            first.election_deadline_override(self.cluster.now)

    def check_acknowledged(self, log: list[bytes]) -> None:
        """Everything that was acknowledged is there, in that order."""
        first_ones = sorted(set(log), key=log.index)
        found = [command for command in first_ones if command in self.acknowledged]
        assert found == self.acknowledged, f"{self.acknowledged} were acknowledged; applied: {log}"


class TrapDisk(Disk):
    """A disk each of whose calls is a step of the run."""

    def __init__(self, run: Run, node: int) -> None:
        super().__init__()
        self._run, self._node = run, node

    def append(self, entries: list[LogEntry]) -> None:  # type: ignore[override]
        self._run.step(self._node)
        super().append(entries)

    def save_hard_state(self, state: HardState) -> None:
        self._run.step(self._node)
        super().save_hard_state(state)

    def sync(self) -> None:
        if self.unsynced:
            self._run.step(self._node)
        super().sync()


class SavesNothing(TrapDisk):
    """What the example does without its second step: it sends before anything is durable."""

    def sync(self) -> None:
        self._stable = self.last_index


def runs(disk: type[TrapDisk]) -> Iterator[Run]:
    """Give one run for each step, each way to crash, and one kept write or none."""
    whole = Run(0, everyone=False, keep=0, disk=disk)
    whole.play()
    for step in range(1, whole.busy_steps + 1):
        for everyone in (False, True):
            for keep in (0, 1):
                yield Run(step, everyone=everyone, keep=keep, disk=disk)


def test_the_example_loses_nothing_wherever_it_crashes() -> None:
    """One node alone, and all at once: no acknowledged command is lost, nobody votes twice, one leads a term."""
    count = 0
    for run in runs(TrapDisk):
        run.play()
        count += 1
    assert count > 200


def test_a_program_that_sends_before_it_saves_is_found_out() -> None:
    """So the check above can fail."""
    with pytest.raises(AssertionError, match=r"voted for|lead term|were acknowledged"):  # noqa: PT012
        for run in runs(SavesNothing):
            run.play()
