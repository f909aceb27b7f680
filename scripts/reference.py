"""Writes the reference of the Python API as HTML, from the docstrings.

Run from the repository: `make reference`, or `.venv/bin/python scripts/reference.py FOLDER`.
A module that cannot be imported or a name that does not resolve is an error.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

import mmsearch

MODULES = (
    "mmsearch",
    "mmsearch.types",
    "mmsearch.errors",
    "mmsearch.config",
    "mmsearch.query.algebra",
    "mmsearch.query.ranking",
    "mmsearch.library.library",
    "mmsearch.client",
    "mmsearch.evaluation",
    "mmsearch.testing",
    "mmsearch.plugins",
    "mmsearch.encoders.base",
    "mmsearch.media.base",
    "mmsearch.index.base",
    "mmsearch_indexers.events",
)


def main() -> None:
    """Write the pages into the folder that the first argument names."""
    for name in mmsearch.__all__:  # they are imported when they are first used
        vars(mmsearch)[name] = getattr(mmsearch, name)
    warnings.simplefilter("error")
    pdoc.render.configure(show_source=False)
    pdoc.pdoc(*MODULES, output_directory=Path(sys.argv[1]))


if __name__ == "__main__":
    main()
