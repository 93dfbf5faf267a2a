"""raftctl cluster up: start the nodes of a cluster file on this machine."""

from collections.abc import Sequence
from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.local.cluster_files import CLUSTER_FILE, NODE, load_cluster_file
from raftctl.local.processes import POLL_S, Child, raftnode_command, running_pid, start_node
from raftctl.output.output import note
from raftctl.output.report import Report
from raftctl.view.cluster_view import count_up, status_report, view_of
from raftnode.client.fanout import ask_all
from raftnode.client.transport import Deadline
from raftnode.config.cluster_file import ClusterNode
from raftnode.config.errors import CommandError, InternalError, NoLeaderError, UnknownOutcomeError
from raftnode.wire.client import GetStatus, NodeStatus


@command("cluster up", timed=True, timeout=30.0)
def up(
    ctx: CommandContext,
    *,
    cluster_file: Annotated[str, CLUSTER_FILE] = "cluster.toml",
    node: Annotated[tuple[str, ...], NODE] = (),
    wait: Annotated[
        bool, Opt("--wait", "Wait until the nodes answer and one leads (the default).", negative="--no-wait")
    ] = True,
    dry_run: Annotated[bool, Opt("--dry-run", "Say what would be started, and start nothing.")] = False,
) -> None:
    """Start the nodes of a cluster file that do not run yet, wait for a leader, and show the status.

    The nodes run in the background, each in a new session, and keep running after this command. Their output goes
    to raftnode.log in the data directory. A node that ends at once is reported with the last lines of its log. The
    last line, on standard error, sets up the shell so that its next commands talk to this cluster.

    Example: raftctl cluster up -f demo/cluster.toml
    """
    file = load_cluster_file(cluster_file)
    chosen = file.pick(node)
    deadline = Deadline(ctx.timeout)
    stopped = [n for n in chosen if running_pid(n.data_path) is None]
    started = [n.name for n in stopped]
    if dry_run:
        ctx.output.emit(
            Report(
                "cluster.up",
                {"changed": False, "dry_run": True, "would_start": started},
                f"changed: false  would start: {', '.join(started) or 'nothing'}",
                names=started,
            )
        )
        return
    children = [start_node(n.name, n.data_path, raftnode_command("run", "--data-dir", n.data_path)) for n in stopped]
    result = {
        "changed": bool(children),
        "started": started,
        "running": [n.name for n in chosen if n.name not in started],
    }
    title = f"changed: {'true' if children else 'false'}  started: {', '.join(started) or 'nothing'}"
    if not wait:
        ctx.output.emit(Report("cluster.up", result, title, names=started))
        return
    wait_for_answers(chosen, file.given_id, children, deadline)
    with Cluster([n.address for n in file.nodes], deadline, file.given_id) as cluster:
        report = wait_for_leader(cluster, children, required=not node)
    ctx.output.emit(
        Report(
            "cluster.up",
            {**result, "status": dict(report.data)},
            f"{title}\n{report.title}",
            report.columns,
            report.rows,
            names=started,
        )
    )
    ctx.note(f"export RAFTCTL_ENDPOINTS={','.join(n.address for n in file.nodes)}")


def wait_for_answers(
    nodes: Sequence[ClusterNode], cluster_id: str, children: Sequence[Child], deadline: Deadline
) -> None:
    """Return when every node answers at its address. Raises InternalError if one ended or another answers there."""
    while True:
        check_alive(children)
        found = ask_all([n.address for n in nodes], GetStatus(0), deadline.capped(1.0))
        answering = {address: a.status for address, a in found.answers.items()}
        for node in nodes:
            status = answering.get(node.address)
            if status is not None:
                check_identity(node, cluster_id, status)
        if len(answering) == len(nodes):
            return
        if not deadline.pause(POLL_S):
            silent = [f"{n.name} at {n.address}" for n in nodes if n.address not in answering]
            raise UnknownOutcomeError(
                f"{', '.join(silent)} did not answer within {deadline.seconds:g} s",
                "the processes were started and still run",
                "see raftnode.log in the data directory",
                code="E_TIMEOUT",
            )


def check_identity(node: ClusterNode, cluster_id: str, status: NodeStatus) -> None:
    """Raise InternalError where another node, or another cluster's, answers at the node's address."""
    if status.node_id != node.id or (cluster_id and status.cluster_id != cluster_id):
        raise InternalError(
            f"{node.address} is not {node.name}",
            f"node {status.node_id} of cluster {status.cluster_name} ({status.cluster_id}) listens there",
            "change the address in the cluster file, or stop the other node",
            code="E_ADDRESS_TAKEN",
        )


def wait_for_leader(cluster: Cluster, children: Sequence[Child], *, required: bool) -> Report:
    """Return the status report when a node leads. Not `required`: too few nodes for one are fine."""
    while True:
        check_alive(children)
        statuses, asked = cluster.statuses(1.0)
        view = view_of(statuses, asked)
        report = status_report(view, {a: f.reason for a, f in asked.failures.items()})
        members = {m.id for m in view.members}
        if view.leader is not None and all(
            s.leader_id == view.leader.node_id for s in statuses if s.node_id in members
        ):
            for stranger in (s for s in statuses if s.node_id not in members):
                note(f"{stranger.node_name} runs, but is no longer a member of the cluster")
            return report
        if not required and view.voters_up < view.quorum:
            note(f"no leader can be elected: {count_up(view.voters_up)}, {view.quorum} are needed")
            return report
        if not cluster.deadline.pause(POLL_S):
            raise NoLeaderError(
                f"the nodes answer, but none leads after {cluster.deadline.seconds:g} s",
                "; ".join(view.reasons),
                "look closer: raftctl status; raftctl events list",
            )


def check_alive(children: Sequence[Child]) -> None:
    """Raise for a node that was started and ended: its log says why."""
    errors: list[CommandError] = []
    for child in children:
        code = child.poll()
        if code is not None:
            tail = "\n  ".join(child.log_tail() or ["it logged nothing"])
            errors.append(
                InternalError(
                    f"{child.name} ended with exit code {code} when it was started",
                    tail,
                    f"its log: {child.log_path}",
                    code="E_NODE_EXITED",
                )
            )
    if errors:
        raise errors[0]
