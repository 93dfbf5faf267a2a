"""raftctl cluster health: a verdict for scripts and monitors."""

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.output.report import Report
from raftctl.view.cluster_view import HEALTHY
from raftctl.view.take import take_view
from raftnode.config.errors import ConditionFalse, NoLeaderError


@command("cluster health", connects=True, timeout=2.0)
def health(ctx: CommandContext) -> None:
    """Say whether the cluster is healthy. The exit code is the verdict.

    - 0: It is healthy.
    - 3: It is degraded: it works, but something is wrong with a member.
    - 4: No node answers.
    - 5: There is no leader, or no quorum.

    Example: raftctl cluster health || notify-the-operator
    """
    with ctx.cluster() as cluster:
        view = take_view(cluster)
    data = {
        "health": view.health,
        "voters": view.voters,
        "voters_up": view.voters_up,
        "quorum": view.quorum,
        "tolerates": view.tolerates,
        "reasons": list(view.reasons),
    }
    ctx.output.emit(Report("cluster.health", data, view.health, names=[view.health]))
    if view.health == HEALTHY:
        return
    kind = ConditionFalse if view.leader is not None and view.voters_up >= view.quorum else NoLeaderError
    raise kind(f"cluster {view.name} is {view.health}", "; ".join(view.reasons), "look closer: raftctl status")
