"""raftctl config explain: which endpoints are used, and why."""

from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.local.contexts import config_path, endpoint_sources
from raftctl.output.report import Column, Report


@command("config explain")
def explain(
    ctx: CommandContext,
    *,
    endpoint: Annotated[tuple[str, ...], Opt("-e/--endpoint", "As for another command.", "HOST:PORT")] = (),
    context: Annotated[str | None, Opt("--context", "As for another command.", "NAME")] = None,
) -> None:
    """Show every place that names endpoints, the strongest first, and which one wins.

    The order is: the flags --endpoint and --context, the variables RAFTCTL_ENDPOINTS and RAFTCTL_CONTEXT, the
    current context of the contexts file, the default.

    Example: RAFTCTL_ENDPOINTS=10.0.0.1:7001 raftctl config explain
    """
    sources = endpoint_sources(endpoint, context)
    ctx.output.emit(
        Report(
            "config.explain",
            {
                "contexts_file": config_path(),
                "endpoints": list(sources[0].endpoints),
                "source": sources[0].place,
                "places": [{"place": s.place, "endpoints": list(s.endpoints), "won": s.won} for s in sources],
            },
            columns=[Column("USED"), Column("PLACE"), Column("ENDPOINTS")],
            rows=[["yes" if s.won else "no", s.place, ",".join(s.endpoints)] for s in sources],
            items="places",
            item_schema="config.place",
            names=list(sources[0].endpoints),
        )
    )
