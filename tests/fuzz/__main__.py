"""The long run: python -m tests.fuzz --inputs 1000000 [--seed N] [--jobs N] [--target NAME]."""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.fuzz.part import feed_part, tell
from tests.fuzz.real_node import NAME as REAL_NODE
from tests.fuzz.real_node import feed_real_node
from tests.fuzz.run import GROWTH_BYTES_MAX, WARM_UP, FuzzFailure
from tests.fuzz.targets import targets


def main() -> int:
    """Share the inputs among the targets and a real node; exit with 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many inputs, over all targets")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other inputs; the same, the same")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes share the targets")
    parser.add_argument("--target", default="", help="only the targets whose name holds this text")
    options = parser.parse_args()
    began = time.monotonic()
    with targets() as every:
        known = [target.name for target in every]
    chosen = [name for name in known if options.target in name]
    real = options.target in REAL_NODE
    shares = len(chosen) + real
    if not shares:
        parser.error(f"no such target; there are: {', '.join([*known, REAL_NODE])}")
    each = -(-options.inputs // shares)
    print(f"{shares} targets, {each} inputs each, of which the first {WARM_UP:.0%} warm all of them up", flush=True)
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(feed_part, chosen[n :: options.jobs], each, options.seed) for n in range(options.jobs)]
        failures = feed_node(each, options.seed) if real else 0
        growths, failed = zip(*(part.result() for part in parts), strict=True)
    failures += sum(failed)
    print(
        f"{each * shares} inputs, seed {options.seed}, {time.monotonic() - began:.0f} s; all targets of a process "
        f"together: memory {', '.join(f'{growth / 1024:+.0f} KiB' for growth in growths)} after the warm-up (at most "
        f"{GROWTH_BYTES_MAX // 1024:+d}); {failures} failures",
        flush=True,
    )
    return int(failures > 0)


def feed_node(inputs: int, seed: int) -> int:
    """Feed a real node; return how many failures that were."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            tell(feed_real_node(Path(directory), inputs, seed))
        except FuzzFailure as failure:
            tell(failure)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
