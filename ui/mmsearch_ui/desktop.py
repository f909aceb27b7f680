"""Opens a folder on the desktop of the machine that the server runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from mmsearch.errors import QueryError


def can_reveal() -> bool:
    """Tests if there is a desktop, and a command that opens folders on it."""
    return _find_command() is not None


def reveal_file(path: str) -> None:
    """Opens the folder of a file; raises QueryError where that cannot be done."""
    command = _find_command()
    folder = Path(path).parent
    if command is None:
        raise QueryError("there is no desktop to open a folder on: copy the path instead")
    if not folder.is_dir():
        raise QueryError(f"the folder {folder} is gone")
    # A list, no shell; the folder is absolute, and so never an option.
    process = subprocess.Popen(  # noqa: S603
        [command, os.fspath(folder.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # It may stay for as long as the folder is open; somebody has to see it end.
    threading.Thread(target=process.wait, daemon=True, name="reveal").start()


def _find_command() -> str | None:
    if sys.platform == "darwin":
        return shutil.which("open")
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return shutil.which("xdg-open")
    return None
