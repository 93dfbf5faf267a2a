"""raftctl context: saved clusters to talk to."""

from typing import Annotated, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.local.contexts import config_path, context_endpoints, load_contexts, parse_endpoints, save_contexts
from raftctl.output.report import Column, Report
from raftnode.config.errors import NotFound, UsageError

NAME: Final = Arg("NAME", "The context's name.")
DRY_RUN: Final = Opt("--dry-run", "Say whether anything would change, and save nothing.")


@command("context list")
def list_contexts(ctx: CommandContext) -> None:
    """List the saved contexts. The current one is marked with a star.

    Example: raftctl context list
    """
    contexts = load_contexts(config_path())
    names = sorted(contexts.endpoints)
    ctx.output.emit(
        Report(
            "context.list",
            {
                "current": contexts.current or None,
                "contexts": [
                    {"name": n, "endpoints": list(contexts.endpoints[n]), "current": n == contexts.current}
                    for n in names
                ],
            },
            columns=[Column("CURRENT"), Column("NAME"), Column("ENDPOINTS")],
            rows=[["*" if n == contexts.current else None, n, ",".join(contexts.endpoints[n])] for n in names],
            items="contexts",
            item_schema="context",
            names=names,
        )
    )


@command("context set")
def set_(
    ctx: CommandContext,
    name: Annotated[str, NAME],
    *,
    endpoint: Annotated[tuple[str, ...], Opt("-e/--endpoint", "A node, host:port; may be repeated.", "HOST:PORT")] = (),
    cluster_id: Annotated[
        str | None, Opt("--cluster-id", "The id of their cluster; commands then talk to no other.", "ID")
    ] = None,
    use_: Annotated[bool, Opt("--use", "Make it the current one as well.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Save a context: a name for a cluster's endpoints. The first one that is saved becomes the current one.

    Example: raftctl context set prod --endpoint 10.0.0.1:7001 --endpoint 10.0.0.2:7001
    """
    path = config_path()
    contexts = load_contexts(path)
    addresses = parse_endpoints(endpoint)
    if not addresses:
        raise UsageError(
            "a context needs an endpoint",
            "none was given",
            f"raftctl context set {name} --endpoint HOST:PORT",
        )
    current = name if use_ or not contexts.endpoints else contexts.current
    ids = {n: i for n, i in contexts.cluster_ids.items() if n != name} | ({name: cluster_id} if cluster_id else {})
    changed = (contexts.endpoints.get(name), contexts.current, contexts.cluster_ids) != (addresses, current, ids)
    if changed and not dry_run:
        contexts.endpoints[name] = addresses
        contexts.cluster_ids = ids
        contexts.current = current
        save_contexts(path, contexts)
    _emit(ctx, "context.set", name, changes=changed, dry_run=dry_run)


@command("context use")
def use(ctx: CommandContext, name: Annotated[str, NAME], *, dry_run: Annotated[bool, DRY_RUN] = False) -> None:
    """Make a saved context the current one.

    Example: raftctl context use prod
    """
    path = config_path()
    contexts = load_contexts(path)
    context_endpoints(contexts, name, path)
    changed = contexts.current != name
    if changed and not dry_run:
        contexts.current = name
        save_contexts(path, contexts)
    _emit(ctx, "context.use", name, changes=changed, dry_run=dry_run)


@command("context delete")
def delete(
    ctx: CommandContext,
    name: Annotated[str, NAME],
    *,
    if_exists: Annotated[bool, Opt("--if-exists", "Do not fail if there is no such context.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Forget a saved context.

    Example: raftctl context delete prod --if-exists
    """
    path = config_path()
    contexts = load_contexts(path)
    if name not in contexts.endpoints and if_exists:
        _emit(ctx, "context.delete", name, changes=False, dry_run=dry_run)
        return
    context_endpoints(contexts, name, path)
    if not dry_run:
        del contexts.endpoints[name]
        contexts.cluster_ids.pop(name, None)
        if contexts.current == name:
            contexts.current = ""
        save_contexts(path, contexts)
    _emit(ctx, "context.delete", name, changes=True, dry_run=dry_run)


@command("context show")
def show(
    ctx: CommandContext,
    name: Annotated[str | None, Arg("NAME", "The context; without it, the current one.")] = None,
) -> None:
    """Show a context's endpoints.

    Example: raftctl context show prod
    """
    path = config_path()
    contexts = load_contexts(path)
    chosen = name or contexts.current
    if not chosen:
        raise NotFound("no context is current", f"{path} names none", "choose one: raftctl context use NAME")
    endpoints = context_endpoints(contexts, chosen, path)
    ctx.output.emit(
        Report(
            "context.show",
            {
                "name": chosen,
                "endpoints": list(endpoints),
                "cluster_id": contexts.cluster_ids.get(chosen),
                "current": chosen == contexts.current,
            },
            columns=[Column("NAME"), Column("ENDPOINTS"), Column("CLUSTER ID")],
            rows=[[chosen, ",".join(endpoints), contexts.cluster_ids.get(chosen)]],
            names=[chosen],
        )
    )


def _emit(ctx: CommandContext, schema: str, name: str, *, changes: bool, dry_run: bool) -> None:
    word = "true" if changes else "false"
    ctx.output.emit(
        Report(
            schema,
            {"name": name, "changed": changes and not dry_run}
            | ({"dry_run": True, "would_change": changes} if dry_run else {}),
            f"changed: false  would change: {word}  context {name}" if dry_run else f"changed: {word}  context {name}",
            names=[name],
        )
    )
