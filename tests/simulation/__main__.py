"""Simulate whole clusters under faults.

    python -m tests.simulation --seed 7 --trace        one seed, every event a line
    python -m tests.simulation --scale 2000            seeds 0 to 1999 on all cores

A seed replays to the byte: the trace's hash is the same each time. On a violation the last events are printed.
"""

import argparse
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.simulation.history import write_history
from tests.simulation.runs import Summary, run_everywhere
from tests.simulation.trace import Trace
from tests.simulation.world import EVENTS, World

BAR_CHARACTERS = 40


def run_one(seed: int, events: int, *, trace: bool, history: Path | None) -> int:
    """Run one seed and print what it came to; return the exit code."""
    recorded = Trace(print if trace else lambda line: None)
    world = World(seed, events, recorded)
    code = 0
    try:
        world.run()
    except Exception:
        code = 1
        if not trace:
            print("\n".join(recorded.last))
        traceback.print_exc(file=sys.stdout)
    if history is not None:
        history.write_bytes(write_history(world.history))
    print(f"seed {seed}: {world.cluster.events} events, {len(world.history)} operations, trace {recorded.digest}")
    return code


def run_many(first: int, count: int, events: int) -> int:
    """Run `count` seeds on all cores with a progress bar, and print a histogram; return the exit code."""
    console = Console()
    total = Summary()
    columns = (
        TextColumn("seeds"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("seeds", total=count, failed=0)
        for summary in run_everywhere(range(first, first + count), events):
            total.add(summary)
            progress.update(task, completed=total.seeds, failed=len(total.failures))
            for failure in summary.failures:
                console.print(failure, markup=False, highlight=False)
    console.print(histogram(total.faults(), "Faults that fired"))
    others = {kind: count for kind, count in sorted(total.happened.items()) if kind not in total.faults()}
    console.print(histogram(others, "What else happened"))
    console.print(
        f"{total.seeds} seeds, {total.events:,} events, {total.operations:,} operations checked, "
        f"{len(total.failures)} failed"
    )
    return 1 if total.failures else 0


def histogram(counts: Mapping[str, int], title: str) -> Table:
    """Return a table with a bar for each count."""
    table = Table(title=title, box=None)
    table.add_column("kind")
    table.add_column("times", justify="right")
    table.add_column("")
    most = max(counts.values(), default=0) or 1
    for kind, count in counts.items():
        table.add_row(kind, f"{count:,}", "█" * -(-count * BAR_CHARACTERS // most))
    return table


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed, or the first one with --scale (default 0)")
    parser.add_argument("--events", type=int, default=EVENTS, help=f"events before the healing (default {EVENTS})")
    parser.add_argument("--trace", action="store_true", help="print each event")
    parser.add_argument("--history", type=Path, help="write what the clients saw to this file, as JSON lines")
    parser.add_argument("--scale", type=int, metavar="SEEDS", help="run this many seeds on all cores")
    arguments = parser.parse_args()
    if arguments.scale is not None:
        return run_many(arguments.seed, arguments.scale, arguments.events)
    return run_one(arguments.seed, arguments.events, trace=arguments.trace, history=arguments.history)


if __name__ == "__main__":
    sys.exit(main())
