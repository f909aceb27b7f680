"""Finds the plugins that installed packages declare as entry points of mmsearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmsearch.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

LOADERS = "mmsearch.loaders"
ENCODERS = "mmsearch.encoders"


def list_entry_points(group: str) -> dict[str, EntryPoint]:
    """Lists the entry points of a group by name, without importing them.

    Of two with one name the first on the path counts. Reads the metadata of every installed
    package, some 20 ms: call it where a plugin is needed, never at start-up.
    """
    from importlib import metadata

    entries: dict[str, EntryPoint] = {}
    for entry in metadata.entry_points(group=group):
        entries.setdefault(entry.name, entry)
    return dict(sorted(entries.items()))


def package_name(entry: EntryPoint) -> str:
    """Returns the package of an entry point, as pip names it."""
    return entry.dist.name if entry.dist is not None else entry.value


def load_plugin(group: str, name: str) -> Any:
    """Imports the entry point `name` of `group`.

    Raises PluginError, naming the package, where it cannot be imported, and where there is none.
    """
    entries = list_entry_points(group)
    if name not in entries:
        names = ", ".join(entries) or "none"
        raise PluginError(f"no installed package offers {name!r} in {group}; there are: {names}")
    return import_entry(entries[name])


def import_entry(entry: EntryPoint) -> Any:
    """Imports an entry point; raises PluginError, naming the package."""
    try:
        return entry.load()
    except Exception as exc:  # whatever a stranger's module raises while it is imported
        raise PluginError(
            f"the plugin {entry.name!r} of the package {package_name(entry)!r} cannot be imported "
            f"({type(exc).__name__}: {exc}): reinstall, update or uninstall it"
        ) from exc
