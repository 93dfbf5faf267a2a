"""What one process of the long run does."""

from tests.fuzz.run import Fed, FuzzFailure, feed_all
from tests.fuzz.targets import targets


def feed_part(names: list[str], inputs_each: int, seed: int) -> tuple[int, int]:
    """Feed the targets of these names; return by how many bytes this process grew, and how many failed."""
    with targets() as every:
        growth, failures = feed_all([t for t in every if t.name in names], inputs_each, seed, tell)
    return growth, len(failures)


def tell(outcome: Fed | FuzzFailure) -> None:
    """Print one line about a target."""
    if isinstance(outcome, FuzzFailure):
        print(f"FAILED  {outcome}", flush=True)
    else:
        print(
            f"ok      {outcome.name}: {outcome.inputs} inputs, {outcome.inputs / outcome.seconds:.0f}/s, memory "
            f"{outcome.growth_bytes / 1024:+.0f} KiB",
            flush=True,
        )
