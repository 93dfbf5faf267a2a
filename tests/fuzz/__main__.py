"""The long run: python -m tests.fuzz --inputs 1000000 [--seed N] [--target NAME]."""

import argparse
import sys
import time

from tests.fuzz.run import FuzzFailure, feed
from tests.fuzz.targets import targets


def main() -> int:
    """Share the inputs among the targets; exit with 1 where one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many inputs, over all targets")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other inputs; the same, the same")
    parser.add_argument("--target", default="", help="only the targets whose name holds this text")
    options = parser.parse_args()
    failed = False
    with targets() as every:
        chosen = [target for target in every if options.target in target.name]
        if not chosen:
            parser.error(f"no such target; there are: {', '.join(target.name for target in every)}")
        for target in chosen:
            began = time.monotonic()
            try:
                fed = feed(target, -(-options.inputs // len(chosen)), options.seed)
            except FuzzFailure as failure:
                print(f"FAILED  {failure}", flush=True)
                failed = True
            else:
                rate = fed.inputs / (time.monotonic() - began)
                print(f"ok      {target.name}: {fed.inputs} inputs, {rate:.0f}/s, memory "
                      f"{fed.growth_bytes / 1024:+.0f} KiB", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
