"""What an embedder's test can do on a stage."""

import pytest

import raftnode.testing
from raftnode import ConfChange, NodeRole, NotLeader
from raftnode.testing import Process, Stage


def test_the_example_of_the_package_runs() -> None:
    """Documentation that nobody runs is wrong sooner or later."""
    text = raftnode.testing.__doc__
    assert text is not None
    example = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(example) > 4
    exec("\n".join(example), {"Stage": Stage})


def test_commands_reach_every_machine() -> None:
    """And each one once, in order."""
    stage = Stage(3)
    stage.elect(2)
    assert stage.propose(b"a", b"b") == 3
    stage.run(0.2)
    assert stage.machines == {1: [b"a", b"b"], 2: [b"a", b"b"], 3: [b"a", b"b"]}


def test_a_minority_commits_nothing_and_loses_it_when_the_others_go_on() -> None:
    """The story of every partition."""
    stage = Stage(3)
    old = stage.elect(1)
    stage.isolate(1)
    old.propose(b"lost")
    stage.settle()
    stage.elect(2)
    stage.propose(b"kept")
    stage.heal()
    stage.until(lambda: stage.machines[1] == [b"kept"])
    with pytest.raises(NotLeader):
        old.propose(b"x")


def test_all_nodes_crash_and_every_committed_command_survives() -> None:
    """A snapshot's bytes and the log after it give the machine back, whatever bytes the commands hold."""
    stage = Stage(3)
    stage.elect(1)
    commands = [b"", b"1:x", b"\0\xff", b"3:"]
    stage.propose(*commands)
    stage.run(0.2)
    for process in stage.processes.values():
        process.take_snapshot(trailing=1)
    stage.propose(b"after")
    stage.run(0.2)
    for node in stage.processes:
        stage.crash(node)
    for node in stage.processes:
        stage.restart(node)
    stage.run(3.0)
    stage.propose(b"again")
    stage.run(0.2)
    assert set(map(tuple, stage.machines.values())) == {(*commands, b"after", b"again")}


def test_a_node_without_the_log_gets_a_snapshot_in_chunks() -> None:
    """And one whose last chunks were lost gets them again."""
    stage = Stage(3)
    leader = stage.elect(1)
    stage.processes[1].chunk_bytes = 7
    stage.propose(*(b"command %d" % i for i in range(10)))
    stage.processes[1].take_snapshot()
    stage.add(4)
    leader.propose_conf_change(ConfChange.add_learner(4))
    stage.network.loss = 0.2
    stage.run(5.0)
    stage.heal()
    stage.run(5.0)
    assert stage.machines[4] == stage.machines[1] != []
    assert stage.nodes[4].role is NodeRole.LEARNER


class SlowProcess(Process):
    """Its disk is never ready by itself."""

    def begin_sync(self) -> None:
        return


class SlowStage(Stage):
    """Node 1 syncs when the test says so."""

    def make_process(self, node: int) -> Process:
        if node != 1:
            return super().make_process(node)
        return SlowProcess(self.config_of(node), clock=self.clock, send=self.send)


def test_a_process_sends_nothing_that_its_disk_does_not_hold_yet() -> None:
    """A vote leaves after the sync, and a crash before it takes the vote back."""
    stage = SlowStage(3, pre_vote=False)
    voter = stage.processes[1]
    stage.processes[2].node.election_deadline_override(stage.clock.now)
    stage.processes[2].tick()
    stage.network.cut(2, 3)
    stage.settle()
    assert (voter.node.voted_for, stage.nodes[2].role) == (2, NodeRole.CANDIDATE)
    stage.crash(1)
    assert stage.restart(1).voted_for is None
    stage.nodes[2].election_deadline_override(stage.clock.now)
    stage.processes[2].tick()
    stage.settle()
    voter.synced()
    stage.settle()
    assert stage.leader().node_id == 2


def test_what_goes_wrong_on_a_stage_is_an_assertion() -> None:
    """A test that directs one fails with what was expected."""
    stage = Stage(3)
    with pytest.raises(AssertionError, match="nobody leads"):
        stage.leader()
    with pytest.raises(AssertionError, match="never held"):
        stage.until(lambda: False, seconds=0.2)
    stage.crash(1)
    with pytest.raises(AssertionError, match="node 1 is down"):
        stage.elect(1)
