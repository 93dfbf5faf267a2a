"""raftctl version."""

import sys

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.output.report import Report
from raftnode import __version__
from raftnode.wire.version import PROTOCOL_VERSION


@command("version")
def version(ctx: CommandContext) -> None:
    """Show the version of this program and of the protocol that it speaks.

    The versions of the nodes are in `status -o wide`.

    Example: raftctl version -o json
    """
    python = ".".join(str(part) for part in sys.version_info[:3])
    ctx.output.emit(
        Report(
            "version",
            {"version": __version__, "protocol": PROTOCOL_VERSION, "python": python},
            f"raftctl {__version__} (protocol {PROTOCOL_VERSION}, Python {python})",
            names=[__version__],
        )
    )
