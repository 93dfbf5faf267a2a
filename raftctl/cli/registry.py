"""Every command and the module that holds it: a module is loaded when its command is used."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Final, cast

from raftctl.cli.command import Command

COMMANDS: Final = {
    "status": "status:status",
    "wait": "wait:wait",
    "cluster init": "cluster.init:init",
    "cluster up": "cluster.up:up",
    "cluster down": "cluster.down:down",
    "cluster list": "cluster.list:list_nodes",
    "cluster bench": "cluster.bench:bench",
    "cluster health": "cluster.health:health",
    "cluster verify": "cluster.verify:verify",
    "member list": "member.list:list_members",
    "member add": "member.add:add",
    "member promote": "member.promote:promote",
    "member demote": "member.demote:demote",
    "member remove": "member.remove:remove",
    "member replace": "member.replace:replace",
    "member transfer": "member.transfer:transfer",
    "log range": "log.range:range_",
    "log tail": "log.tail:tail",
    "log info": "log.info:info",
    "log verify": "log.verify:verify",
    "log stats": "log.stats:stats",
    "log export": "log.export:export",
    "snapshot trigger": "snapshot.trigger:trigger",
    "snapshot list": "snapshot.list:list_snapshots",
    "snapshot save": "snapshot.save:save",
    "snapshot inspect": "snapshot.inspect:inspect",
    "snapshot verify": "snapshot.verify:verify",
    "snapshot restore": "snapshot.restore:restore",
    "events list": "events.list:list_events",
    "events tail": "events.tail:tail",
    "kv get": "kv.get:get",
    "kv list": "kv.list:list_keys",
    "kv watch": "kv.watch:watch",
    "kv put": "kv.put:put",
    "kv delete": "kv.delete:delete",
    "kv cas": "kv.cas:cas",
    "kv incr": "kv.incr:incr",
    "context list": "context:list_contexts",
    "context use": "context:use",
    "context set": "context:set_",
    "context delete": "context:delete",
    "context show": "context:show",
    "config explain": "config:explain",
    "completion": "completion:completion",
    "version": "version:version",
}

GROUPS: Final = {
    "cluster": "Make, start, stop and check clusters on this machine.",
    "member": "List and change the members.",
    "log": "Read, check and export the replicated log.",
    "snapshot": "Take, list, save, check and restore snapshots.",
    "events": "Show what happened on the nodes.",
    "kv": "Read and write the key-value store.",
    "context": "Save the endpoints of clusters under names.",
    "config": "Show which endpoints commands use, and why.",
}


def load(path: str) -> Command:
    """Return the command `path`, such as "kv get"."""
    module, _, name = COMMANDS[path].partition(":")
    with _typing_extensions_spared():
        # importlib's own import_module() would load warnings for it.
        found = getattr(__import__(f"raftctl.commands.{module}", fromlist=(name,)), name)
    assert isinstance(found, Command), f"{COMMANDS[path]} is a command"
    return found


@contextmanager
def _typing_extensions_spared() -> Iterator[None]:
    """Make msgspec, if it is loaded inside, import from typing instead of typing_extensions.

    msgspec tries typing_extensions first and falls back to typing; since Python 3.11 both offer the same. Loading
    typing_extensions, with inspect and ast under it, is 10 of the 45 ms that `kv get` would take.
    """
    if "typing_extensions" in sys.modules or "msgspec" in sys.modules:
        yield
        return
    hidden = cast(dict[str, ModuleType | None], sys.modules)
    hidden["typing_extensions"] = None
    try:
        yield
    finally:
        del sys.modules["typing_extensions"]


def find(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the command at the start of `words` and the words that follow it."""
    for length in (2, 1):
        path = " ".join(words[:length])
        if len(words) >= length and path in COMMANDS:
            return path, list(words[length:])
    return None
