"""Protocol stories as text: commands, and under each one what happened.

    campaign 1
        1 becomes candidate in term 1
        1 -> 2  RequestVote term 1, log ends at 0@0

A line that is neither indented, nor empty, nor begins with `#` is a command; the indented lines below it are what
it did. A message is shown when it arrives (`1 => 2`), and, where it is still under way at the command's end, when
it was sent (`1 -> 2`). `4@2` is the entry with index 4 and term 2.

`python -m tests.core.transcript --rewrite [files]` writes what happens now; without `--rewrite` it shows the
difference. `--help` lists the commands, which are the methods `do_*` of `Story`.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raftnode.core.errors import LogCompacted, RaftError
from raftnode.core.membership import (
    ChangeKind,
    ConfChange,
    Configuration,
    SnapshotMeta,
    decode_configuration,
    make_configuration,
)
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.storage import MemStorage
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeId, NodeRole
from raftnode.testing import Disk, Letter, Process, Stage
from tests.support.bench import entries

STORIES = Path(__file__).parent / "stories"
INDENT = "    "
ANYBODY = 0


class StoryError(ValueError):
    """A story's command cannot be read."""


# Words for messages, entries and configurations.


def describe_entry(entry: LogEntry) -> str:
    """Return `4@2 "x"`, `4@2 noop` or `4@2 voters 1 2 3`."""
    place = f"{entry.index}@{entry.term}"
    match entry.kind:
        case EntryKind.COMMAND:
            return place if entry.data == place.encode() else f'{place} "{entry.data.decode()}"'
        case EntryKind.NOOP:
            return f"{place} noop"
        case EntryKind.CONFIGURATION:
            return f"{place} {describe_configuration(decode_configuration(entry.data))}"


def describe_entries(found: Sequence[LogEntry]) -> str:
    """Return each entry, or the ends of a long run."""
    if len(found) <= 4:
        return ", ".join(describe_entry(entry) for entry in found)
    return f"{describe_entry(found[0])} .. {describe_entry(found[-1])} ({len(found)} entries)"


def describe_configuration(configuration: Configuration) -> str:
    """Return `voters 1 2 3, learners 4`; a joint one as `voters 1 4 and 1 2 3`."""
    parts = [f"voters {_names(configuration.voters)}"]
    if configuration.joint:
        parts[0] += f" and {_names(configuration.voters_outgoing)}"
    for word, group in (
        ("learners", configuration.learners),
        ("learners at its end", configuration.learners_next),
        ("observers", configuration.observers),
    ):
        if group:
            parts.append(f"{word} {_names(group)}")
    return ", ".join(parts)


def describe_message(message: Message) -> str:
    """Return a message's name and the fields that decide something."""
    match message:
        case AppendEntriesRequest():
            head = f"AppendEntries term {message.term}, after {message.prev_log_index}@{message.prev_log_term}"
            content = describe_entries(message.entries) if message.entries else "nothing"
            return f"{head}: {content}; commit {message.leader_commit}"
        case AppendEntriesResponse(success=True):
            return f"AppendEntries accepted, term {message.term}, matches up to {message.last_log_index}"
        case AppendEntriesResponse():
            why = f", nothing at {message.rejected_index}" if message.rejected_index > message.last_log_index else ""
            return (
                f"AppendEntries refused, term {message.term}{why}, log ends at {message.last_log_index}, try "
                f"{message.conflict_index}@{message.conflict_term}"
            )
        case RequestVoteRequest() | PreVoteRequest():
            name = "RequestVote" if isinstance(message, RequestVoteRequest) else "PreVote"
            mark = isinstance(message, RequestVoteRequest) and message.leadership_transfer
            return f"{name} term {message.term}, log ends at {message.last_log_index}@{message.last_log_term}" + (
                ", for a transfer" if mark else ""
            )
        case RequestVoteResponse() | PreVoteResponse():
            name = "vote" if isinstance(message, RequestVoteResponse) else "pre-vote"
            verdict = "granted" if message.vote_granted else "refused"
            return f"{name} {verdict}, term {message.term}" + (f": {message.reason}" if message.reason else "")
        case InstallSnapshotRequest():
            members = message.configuration
            return (
                f"InstallSnapshot term {message.term}, up to {message.last_included_index}"
                f"@{message.last_included_term}" + (f", {describe_configuration(members)}" if members else "")
            )
        case InstallSnapshotResponse():
            verdict = "installed" if message.installed else "not installed"
            return f"InstallSnapshot answered, term {message.term}, {message.last_included_index} {verdict}"
        case TimeoutNowRequest():
            return f"TimeoutNow term {message.term}"


def _names(nodes: Iterable[NodeId]) -> str:
    return " ".join(str(node) for node in nodes)


@dataclass(frozen=True)
class Seen:
    """What was last told of a node."""

    role: NodeRole
    term: int
    leader: NodeId | None
    vote: NodeId | None
    log: tuple[tuple[int, int], ...]
    snapshot_index: int
    commit: int
    configuration: Configuration
    configuration_index: int


def look_at(node: RaftNode, storage: MemStorage) -> Seen:
    """Return what a story tells of `node`, through its public interface."""
    status = node.status()
    log = tuple((entry.index, entry.term) for entry in storage.load_entries_after(status.snapshot_index))
    return Seen(
        status.role, status.current_term, status.leader_id, status.voted_for, log, status.snapshot_index,
        status.commit_index, status.configuration, status.configuration_index,
    )  # fmt: skip


def describe_changes(node: NodeId, before: Seen, now: Seen, storage: MemStorage) -> list[str]:
    """Return what is different about `node`, whose log is in `storage`, in sentences."""
    told = []
    voted = now.vote not in (None, node) and (now.vote, now.term) != (before.vote, before.term)
    if voted and now.role is before.role and now.leader is None:
        told.append(f"{node} votes for {now.vote} in term {now.term}")
    elif (now.role, now.term, now.leader) != (before.role, before.term, before.leader):
        told.append(_role_change(node, before, now) + (f", votes for {now.vote}" if voted else ""))
    told += _log_change(node, before, now, storage)
    if now.configuration != before.configuration:
        told.append(f"{node} uses {describe_configuration(now.configuration)} (entry {now.configuration_index})")
    if now.commit > before.commit:
        told.append(f"{node} commits up to {now.commit}")
    return told


class Actor(Process):
    """A node of a story, which tells what happens to it."""

    def __init__(self, story: "Story", node: NodeId) -> None:
        self.story = story
        super().__init__(story.config_of(node), clock=story.clock, send=story.send)

    def turn(self) -> Ready:
        story, node = self.story, self.id
        story.tell_changes(node)
        ready = super().turn()
        commands = [entry for entry in ready.committed_entries if entry.kind is EntryKind.COMMAND]
        if commands and not story.quiet:
            story.tell(f"{node} applies {describe_entries(commands)}")
        for read_id, index in ready.reads:
            story.tell(f"{node} confirms read {read_id} at index {index}")
        for read_id in ready.reads_aborted:
            story.tell(f"{node} aborts read {read_id}")
        for transfer in ready.transfers:
            story.tell(f"{node}'s transfer to {transfer.target} {_outcome(transfer.done, transfer.reason)}")
        for promotion in ready.promotions:
            story.tell(f"{node}'s promotion of {promotion.peer} {_outcome(promotion.done, promotion.reason)}")
        return ready

    def send_snapshot(self, peer: NodeId, offset: int = 0) -> None:
        self.story.tell(f"{self.id} has discarded what {peer} needs: it asks for a snapshot to be sent")


class Story(Stage):
    """A cluster that obeys a story's commands and tells what it does. Its network holds every message.

    A message finds out where it arrives that its way is cut: a story may heal the network before.
    """

    def __init__(self, first: Configuration, options: dict[str, Any]) -> None:
        self.lines: list[str] = []
        self.seen: dict[NodeId, Seen] = {}
        self.quiet = False
        self.brief = False
        self.prefix = ""
        self.sent = 0
        super().__init__(first=first, **options)

    def make_process(self, node: NodeId) -> Actor:
        return Actor(self, node)

    def send(self, source: NodeId, target: NodeId, message: Message) -> None:
        self.sent += 1
        self.network.held.append(Letter(source, target, message, number=self.sent))

    def heal(self) -> None:
        self.network.blocked.clear()

    def restart(self, node: NodeId) -> RaftNode:
        raft = super().restart(node)
        self.look(node)
        return raft

    def add(self, node: NodeId) -> RaftNode:
        raft = super().add(node)
        self.look(node)
        return raft

    # Telling.

    def look(self, node: NodeId) -> Seen:
        """Take what is true of `node` now for known."""
        process = self.processes[node]
        found = self.seen[node] = look_at(process.node, process.disk)
        return found

    def tell(self, text: str) -> None:
        self.lines.append(self.prefix + text)

    def tell_changes(self, node: NodeId) -> None:
        """Tell what is new about `node` since it was last looked at."""
        if self.brief:
            return
        before, now = self.seen[node], self.look(node)
        changes = describe_changes(node, before, now, self.processes[node].disk)
        self.lines.extend(self.prefix + text for text in changes)

    # Messages.

    def arrive(self, letter: Letter) -> None:
        """Deliver one message, or lose it where the link is cut or the target is down."""
        source, target, text = letter.source, letter.target, describe_message(letter.message)
        lost = (source, target) in self.network.blocked or target not in self.nodes
        if not self.quiet:
            self.tell(f"{source} {'-x' if lost else '=>'} {target}  {text}")
        try:
            self.network.arrive(letter)
        except RaftError as error:
            self.tell(f"{target} raises {type(error).__name__}: {error}")
            self.processes[target].turn()

    def settle(self) -> None:
        """Deliver messages until none is under way."""
        for _ in range(20_000):
            for node in sorted(self.nodes):
                self.processes[node].turn()
            if not self.network.held:
                return
            self.arrive(self.network.held.popleft())
        raise StoryError("the messages never end")

    @contextmanager
    def hushed(self, *, brief: bool) -> Iterator[None]:
        """Tell what changes, and no messages; `brief`: only what has changed in the end."""
        self.quiet, self.brief = True, brief
        try:
            yield
        finally:
            self.quiet = self.brief = False

    # The commands.

    def do_start(self, words: list[str]) -> None:
        """`start 4`: start a node with an empty log, which waits to be added."""
        node = int(words[0])
        self.add(node)
        self.tell(f"{node} starts with an empty log, as a {self.nodes[node].role.value}")

    def do_log(self, words: list[str]) -> None:
        """`log 2 1 1 4 term 4`: start a node again with a log of these terms."""
        if "term" in words:
            at = words.index("term")
            term = int(words[at + 1])
            words = words[:at]
        else:
            term = int(words[-1])
        node, terms = int(words[0]), [int(word) for word in words[1:]]
        self.processes[node].disk = disk = Disk()
        disk.append(entries(terms))
        disk.save_hard_state(HardState(term))
        disk.sync()
        self.restart(node)

    def do_campaign(self, words: list[str]) -> None:
        """`campaign 1`: its election timeout passes."""
        node = self.nodes[int(words[0])]
        node.election_deadline_override(self.clock.now)
        node.tick()

    def do_elect(self, words: list[str]) -> None:
        """`elect 1`: after a silence 1 campaigns, and every message is delivered; only the outcome is told."""
        node = self.nodes[int(words[0])]
        self.clock.advance(node.config.election_timeout_min)
        for other in self.nodes.values():
            other.election_deadline_override(self.clock.now + other.config.election_timeout_max)
        with self.hushed(brief=True):
            self.do_campaign(words)
            self.settle()

    def do_propose(self, words: list[str]) -> None:
        """`propose 1 "x"`, and more of them after each other."""
        for word in words[1:]:
            self.nodes[int(words[0])].propose(word.strip('"').encode())
        self.processes[int(words[0])].turn()

    def do_deliver(self, words: list[str]) -> None:
        """`deliver 1->2 [3->2 ...] [count]`: deliver what is under way there now, or the first messages of each."""
        for letter in self._pick(words):
            self.arrive(letter)

    def do_exchange(self, words: list[str]) -> None:
        """`exchange 1 2`: deliver what is under way between the two until it is quiet there."""
        pair = {int(words[0]), int(words[1])}
        while True:
            for node in sorted(pair & self.nodes.keys()):
                self.processes[node].turn()
            found = next((letter for letter in self.network.held if {letter.source, letter.target} == pair), None)
            if found is None:
                return
            self.network.held.remove(found)
            self.arrive(found)

    def do_drop(self, words: list[str]) -> None:
        """`drop 2->1 [2->3 ...] [count]`: lose what is under way there; `2->*`: to anybody."""
        for letter in self._pick(words):
            self.tell(f"{letter.source} -x {letter.target}  {describe_message(letter.message)}")

    def do_duplicate(self, words: list[str]) -> None:
        """`duplicate 1->2`: deliver what is under way there, and keep a copy under way."""
        for letter in self._pick(words):
            self.send(letter.source, letter.target, letter.message)
            self.arrive(letter)

    def do_settle(self, words: list[str]) -> None:
        """`settle [quietly]`: deliver messages until none is under way; quietly: only the outcome is told."""
        if words:
            with self.hushed(brief=True):
                self.settle()
        else:
            self.settle()

    def do_partition(self, words: list[str]) -> None:
        """`partition 1 | 2 3`: no message passes from one group to another."""
        groups = [{int(node) for node in part.split()} for part in " ".join(words).split("|")]
        for group in groups:
            self.isolate(*group)

    def do_heal(self, words: list[str]) -> None:
        """`heal`: every message passes again."""
        self.heal()

    def do_tick(self, words: list[str]) -> None:
        """`tick 0.1s [nodes]`: time passes and the timers of these nodes (all) go off; no message is delivered."""
        self.clock.advance(float(words[0].removesuffix("s")))
        for node in [int(word) for word in words[1:]] or sorted(self.nodes):
            self.nodes[node].tick()

    def do_run(self, words: list[str]) -> None:
        """`run 2s`: time passes, timers go off and messages are delivered; only the changes are told."""
        start, seconds = self.clock.now, float(words[0].removesuffix("s"))
        with self.hushed(brief=False):
            while self.clock.now < start + seconds - 1e-9:
                self.clock.advance(0.05)
                self.prefix = f"+{self.clock.now - start:.2f}s  "
                for node in sorted(self.nodes):
                    self.nodes[node].tick()
                self.settle()
        self.prefix = ""

    def do_crash(self, words: list[str]) -> None:
        """`crash 1`: it keeps its log, term and vote, and forgets everything else."""
        node = int(words[0])
        self.crash(node)
        self.tell(f"{node} is down")

    def do_restart(self, words: list[str]) -> None:
        """`restart 1`: it starts from its log, its term and its vote."""
        node = int(words[0])
        self.restart(node)
        now = self.seen[node]
        self.tell(f"{node} is a {now.role.value} in term {now.term}; {self._log_row(node)}")

    def do_conf(self, words: list[str]) -> None:
        """`conf 1 add_voter 4 remove 2`: propose one or several membership changes at once."""
        changes = [ConfChange(ChangeKind(kind), int(peer)) for kind, peer in zip(words[1::2], words[2::2], strict=True)]
        self.nodes[int(words[0])].propose_conf_change(changes)

    def do_promote(self, words: list[str]) -> None:
        """`promote 1 4`: 1 promotes the learner 4 when it has caught up."""
        self.nodes[int(words[0])].promote_when_caught_up(int(words[1]))

    def do_transfer(self, words: list[str]) -> None:
        """`transfer 1 2`: 1 hands over to 2."""
        self.nodes[int(words[0])].transfer_leadership(int(words[1]))

    def do_read(self, words: list[str]) -> None:
        """`read 1`: ask for a linearizable read."""
        node = int(words[0])
        self.tell(f"{node} takes read {self.nodes[node].read_index()}")

    def do_compact(self, words: list[str]) -> None:
        """`compact 1 5`: take a snapshot of the machine at index 5 and discard the log up to there."""
        process, index = self.processes[int(words[0])], int(words[1])
        node, machine = process.node, process.machine
        later = [e for e in node.log_entries_range(index + 1, node.last_applied) if e.kind is EntryKind.COMMAND]
        process.machine = machine[: len(machine) - len(later)]
        snapshot, data = SnapshotMeta(index, node.term_at(index), node.configuration_at(index)), process.machine_state()
        process.machine = machine
        node.compact(index)
        process.snapshot, process.snapshot_data = snapshot, data

    def do_snapshot(self, words: list[str]) -> None:
        """`snapshot 1->4`: send 1's last snapshot to 4."""
        source, target = _link(words[0])
        Process.send_snapshot(self.processes[source], target)

    def do_status(self, words: list[str]) -> None:
        """`status 1`: what an operator may ask."""
        status = self.nodes[int(words[0])].status()
        self.tell(
            f"{status.role.value}, term {status.current_term}, leader {status.leader_id}, commit "
            f"{status.commit_index}, log {status.first_log_index}..{status.last_log_index}"
            + (f", {status.pending_reads} read waits" if status.pending_reads else "")
        )
        settled = "committed" if status.configuration_committed else "not committed"
        self.tell(f"{describe_configuration(status.configuration)} (entry {status.configuration_index}, {settled})")
        for peer in status.peers:
            window = f", {peer.inflight_messages} under way ({peer.inflight_bytes} bytes)"
            self.tell(
                f"{peer.peer}: {peer.progress}, match {peer.match_index}, next {peer.next_index}{window}"
                + (", promotable" if peer.promotable else "")
            )
        if status.no_leader_reason:
            self.tell(status.no_leader_reason)

    def do_logs(self, words: list[str]) -> None:
        """`logs [nodes]`: the terms of every entry."""
        for node in [int(word) for word in words] or sorted(self.processes):
            self.tell(self._log_row(node))

    def do_machines(self, words: list[str]) -> None:
        """`machines`: the commands that each node has applied."""
        for node in sorted(self.nodes):
            self.tell(f"{node}: {b' '.join(self.machines[node]).decode() or 'nothing'}")

    def _pick(self, words: list[str]) -> Iterator[Letter]:
        """Take what is under way on each link, when it is that link's turn."""
        count = int(words[-1]) if words[-1].isdigit() else None
        for source, target in map(_link, words if count is None else words[:-1]):
            held = self.network.held
            found = [letter for letter in held if letter.source == source and target in (letter.target, ANYBODY)][
                :count
            ]
            if not found:
                raise StoryError(f"nothing is under way from {source} to {target or 'anybody'}")
            for letter in found:
                held.remove(letter)
            yield from found

    def _log_row(self, node: NodeId) -> str:
        storage = self.processes[node].disk
        index, term = storage.snapshot_metadata()
        found = [str(entry.term) for entry in storage.load_entries_after(index)]
        start = f"(snapshot {index}@{term}) " if index else ""
        commit = f", commit {self.nodes[node].commit_index}" if node in self.nodes else ", down"
        return f"log of {node}: {start}{' '.join(found) or 'empty'}{commit}"


def _log_change(node: NodeId, before: Seen, now: Seen, storage: MemStorage) -> list[str]:
    told = []
    if now.snapshot_index > before.snapshot_index:
        told.append(f"{node}'s log now begins after {now.snapshot_index}@{storage.snapshot_metadata()[1]}")
    end = max((index for index, _ in now.log), default=now.snapshot_index)
    gone = [f"{i}@{t}" for i, t in before.log if i > now.snapshot_index and (i, t) not in now.log]
    if gone:
        told.append(f"{node} discards {_run(gone)}")
    start = max((index for index, term in before.log if (index, term) in now.log), default=before.snapshot_index)
    start = max(start, now.snapshot_index)
    if end > start:
        told.append(f"{node} appends {describe_entries(storage.load_entries(start + 1, end))}")
    return told


def _role_change(node: NodeId, before: Seen, now: Seen) -> str:
    if now.role in (NodeRole.FOLLOWER, NodeRole.LEARNER, NodeRole.OBSERVER):
        if now.leader is None and now.role is before.role and now.term > before.term:
            return f"{node} is now in term {now.term}, without a leader"
        whom = "knows no leader" if now.leader is None else f"follows {now.leader}"
        became = "" if now.role is before.role else f"becomes {now.role.value}, "
        return f"{node} {became}{whom} in term {now.term}"
    if now.role is NodeRole.PRE_CANDIDATE:
        return f"{node} becomes pre-candidate and stays in term {now.term}"
    return f"{node} becomes {now.role.value} in term {now.term}"


def _outcome(done: bool, reason: str) -> str:
    return "is done" if done else f"failed: {reason}"


def _run(found: list[str]) -> str:
    return ", ".join(found) if len(found) <= 4 else f"{found[0]} .. {found[-1]} ({len(found)} entries)"


def _link(word: str) -> tuple[NodeId, NodeId]:
    match = re.fullmatch(r"(\d+)->(\d+|\*)", word)
    if match is None:
        raise StoryError(f"{word!r} is no link: it is written 1->2")
    return int(match[1]), ANYBODY if match[2] == "*" else int(match[2])


def make_story(words: list[str]) -> Story:
    """`cluster 1 2 3 [learners 4] [observers 5] [pre_vote=off ...]`: start nodes with empty logs."""
    groups: dict[str, list[NodeId]] = {"voters": [], "learners": [], "observers": []}
    options: dict[str, Any] = {}
    group = "voters"
    for word in words:
        if "=" in word:
            name, value = word.split("=")
            options[name] = value == "on" if value in ("on", "off") else float(value) if "." in value else int(value)
        elif word in groups:
            group = word
        else:
            groups[group].append(int(word))
    return Story(make_configuration(groups["voters"], groups["learners"], groups["observers"]), options)


def perform(text: str) -> str:
    """Return the story `text` with what its commands do now."""
    story: Story | None = None
    out: list[str] = []
    for line in text.splitlines():
        if line.startswith((" ", "\t")):
            continue
        out.append(line)
        if not line or line.startswith("#"):
            continue
        verb, *words = line.split()
        if verb == "cluster":
            story = make_story(words)
            continue
        if story is None:
            raise StoryError(f"{line!r} comes before a cluster")
        try:
            out.extend(INDENT + told for told in _obey(story, verb, words))
        except (StoryError, ValueError, IndexError, KeyError) as error:
            raise StoryError(f"{line!r}: {error}") from error
    return "\n".join(out) + "\n"


def _obey(story: Story, verb: str, words: list[str]) -> list[str]:
    command: Callable[[list[str]], None] | None = getattr(story, f"do_{verb}", None)
    if command is None:
        raise StoryError(f"{verb!r} is no command")
    before = {letter.number for letter in story.network.held}
    story.lines = []
    try:
        command(words)
    except (LogCompacted, RaftError) as error:
        story.tell(f"{type(error).__name__}: {error}")
    for node in sorted(story.nodes):
        story.processes[node].turn()
    for letter in story.network.held:
        if letter.number not in before:
            story.tell(f"{letter.source} -> {letter.target}  {describe_message(letter.message)}")
    return story.lines


def difference(path: Path) -> str:
    """Return how what a story's commands do now differs from its text; empty where it does not."""
    old = path.read_text()
    return "".join(difflib.unified_diff(
        old.splitlines(keepends=True), perform(old).splitlines(keepends=True), f"{path.name} (as written)",
        f"{path.name} (now)"
    ))  # fmt: skip


def main() -> int:
    commands = [make_story, *(method for name, method in vars(Story).items() if name.startswith("do_"))]
    parser = argparse.ArgumentParser(
        description="compare protocol stories with what the core does, or rewrite them",
        epilog="commands:\n" + "\n".join(f"  {' '.join((command.__doc__ or '').split())}" for command in commands),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rewrite", action="store_true", help="write what happens now into the files")
    parser.add_argument("files", nargs="*", type=Path, help=f"stories (all in {STORIES.name}/)")
    arguments = parser.parse_args()
    differs = 0
    for path in arguments.files or sorted(STORIES.glob("*.txt")):
        if arguments.rewrite:
            path.write_text(perform(path.read_text()))
        elif text := difference(path):
            differs += 1
            print(text, end="")
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
