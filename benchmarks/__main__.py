"""Runs the benchmarks that need nothing but the installation and the test media."""

from __future__ import annotations

from benchmarks import cold_search, hostile, images, quality, reindex

for module in (quality, cold_search, reindex, images, hostile):
    print(f"\n== {module.__doc__.splitlines()[0]}")
    module.main()
