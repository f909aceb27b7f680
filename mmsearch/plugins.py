"""Finds what installed packages offer under the entry points of mmsearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmsearch.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

LOADERS = "mmsearch.loaders"
ENCODERS = "mmsearch.encoders"


def entry_points(group: str) -> dict[str, EntryPoint]:
    """What packages offer in `group`, in the order of the names; nothing of it is imported.

    Of two with one name the first on the path counts. Reads the metadata of every installed
    package, some 20 ms: call it where a plugin is wanted, never to start up.
    """
    from importlib import metadata

    found: dict[str, EntryPoint] = {}
    for entry in metadata.entry_points(group=group):
        found.setdefault(entry.name, entry)
    return dict(sorted(found.items()))


def package(entry: EntryPoint) -> str:
    """Which package an entry point is of, as pip names it."""
    return entry.dist.name if entry.dist is not None else entry.value


def load(group: str, name: str) -> Any:
    """What the entry point `name` of `group` stands for.

    Raises PluginError, naming the package, where it cannot be imported, and where there is none.
    """
    offered = entry_points(group)
    if name not in offered:
        listed = ", ".join(offered) or "none"
        raise PluginError(f"no installed package offers {name!r} in {group}; there are: {listed}")
    return imported(offered[name])


def imported(entry: EntryPoint) -> Any:
    """What `entry` stands for; raises PluginError, naming the package."""
    try:
        return entry.load()
    except Exception as exc:  # whatever a stranger's module raises while it is imported
        raise PluginError(
            f"the plugin {entry.name!r} of the package {package(entry)!r} cannot be imported "
            f"({type(exc).__name__}: {exc}): reinstall, update or uninstall it"
        ) from exc
