"""The long run: python -m tests.fuzz --inputs 1000000 [--seed N] [--target NAME]."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.real_node import NAME as REAL_NODE
from tests.fuzz.real_node import feed_real_node
from tests.fuzz.run import GROWTH_BYTES_MAX, WARM_UP, Fed, FuzzFailure, feed_all
from tests.fuzz.targets import targets


def main() -> int:
    """Share the inputs among the targets and a real node; exit with 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many inputs, over all targets")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other inputs; the same, the same")
    parser.add_argument("--target", default="", help="only the targets whose name holds this text")
    options = parser.parse_args()
    began = time.monotonic()
    with targets() as every:
        chosen = [target for target in every if options.target in target.name]
        real = options.target in REAL_NODE
        shares = len(chosen) + real
        if not shares:
            parser.error(f"no such target; there are: {', '.join([*(t.name for t in every), REAL_NODE])}")
        each = -(-options.inputs // shares)
        print(f"{shares} targets, {each} inputs each, of which the first {WARM_UP:.0%} warm all of them up", flush=True)
        growth, failures = feed_all(chosen, each, options.seed, tell)
    if real:
        with tempfile.TemporaryDirectory() as directory:
            try:
                tell(feed_real_node(Path(directory), each, options.seed))
            except FuzzFailure as failure:
                tell(failure)
                failures.append(failure)
    print(f"{each * shares} inputs, seed {options.seed}, {time.monotonic() - began:.0f} s; all targets together: "
          f"memory {growth / 1024:+.0f} KiB after the warm-up (at most {GROWTH_BYTES_MAX // 1024:+d}); "
          f"{len(failures)} failures", flush=True)
    return int(bool(failures))


def tell(outcome: Fed | FuzzFailure) -> None:
    """Print one line about a target."""
    if isinstance(outcome, FuzzFailure):
        print(f"FAILED  {outcome}", flush=True)
    else:
        print(f"ok      {outcome.name}: {outcome.inputs} inputs, {outcome.inputs / outcome.seconds:.0f}/s, memory "
              f"{outcome.growth_bytes / 1024:+.0f} KiB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
