"""raftctl member list."""

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_text
from raftctl.view.take import take_view


@command("member list", connects=True, timeout=2.0)
def list_members(ctx: CommandContext) -> None:
    """List the members: name, id, kind and address.

    Example: raftctl member list -o json
    """
    with ctx.cluster() as cluster:
        view = take_view(cluster)
    ctx.output.emit(
        Report(
            "member.list",
            {
                "cluster": {"id": view.cluster_id, "name": view.name},
                "joint": view.joint,
                "members": [m.record() for m in view.members],
            },
            columns=[
                Column("NAME"),
                Column("ID"),
                Column("KIND"),
                Column("ADDRESS"),
                Column("STATE"),
                Column("INSTANCE", True),
                Column("VERSION", True),
            ],
            rows=[
                [
                    escape_text(m.name),
                    str(m.id),
                    m.kind,
                    escape_text(m.address),
                    m.state,
                    m.status.instance_id if m.status else None,
                    m.status.version if m.status else None,
                ]
                for m in view.members
            ],
            items="members",
            item_schema="member",
            names=[m.name for m in view.members],
        )
    )
