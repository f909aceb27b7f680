"""A command's wall time and memory, told by a small process: a child's peak starts at its parent's.

Arguments: how many runs, then the command. Prints JSON.
"""

from __future__ import annotations

import json
import sys

from benchmarks import measure


def main() -> None:
    runs, *arguments = sys.argv[1:]
    found = measure.command(arguments, runs=int(runs))
    print(json.dumps({"seconds": found.seconds, "peak_mb": found.peak_mb}))


if __name__ == "__main__":
    main()
