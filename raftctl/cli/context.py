"""One run of one command: its settings, its deadline and its output, each made when it is first needed."""

import gc
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from raftctl.cli.command import Command
from raftctl.local.contexts import EndpointSource, endpoint_sources
from raftctl.output.output import Output, note, progress_reporter

if TYPE_CHECKING:
    from raftctl.cluster import Cluster

PROGRESS_S = 5.0


class CommandContext:
    """What a command's function gets besides its own parameters."""

    def __init__(self, command: Command, values: dict[str, Any]) -> None:
        self.command = command
        self.common = {p.name: values[p.name] for p in command.common_params}
        self.output = Output(self.common.get("output"), self.common["color"])

    @property
    def timeout(self) -> float:
        """The seconds that the command may take."""
        given = self.common.get("timeout")
        return self.command.timeout if given is None else float(given)

    @cached_property
    def source(self) -> EndpointSource:
        """The addresses to ask first, and the cluster that they must belong to. Raises CommandError."""
        found = endpoint_sources(self.common["endpoint"], self.common["context"])[0]
        given = self.common["cluster_id"]
        return found._replace(cluster_id=given) if given else found

    def cluster(self) -> "Cluster":
        """Return the cluster at the endpoints, under a deadline that starts now. The caller closes it."""
        from raftctl.cluster import Cluster
        from raftnode.client.transport import Deadline

        return Cluster(self.source.endpoints, Deadline(self.timeout), self.source.cluster_id)

    def note(self, text: str) -> None:
        """Print a message on standard error, unless the output is for programs."""
        if not self.output.structured:
            note(text)

    def progress(self) -> Callable[[str], None]:
        """Return a function that reports how far it is, at most every five seconds."""
        return progress_reporter(PROGRESS_S, time.monotonic)


def run_command(command: Command, values: dict[str, Any]) -> None:
    """Run a command with its bound parameters. Raises CommandError."""
    if not gc.isenabled():
        # __main__ disabled it while modules were loaded: their objects stay, and need no collecting.
        gc.freeze()
        gc.enable()
    own = {p.name: values[p.name] for p in command.own_params}
    command.function(CommandContext(command, values), **own)
