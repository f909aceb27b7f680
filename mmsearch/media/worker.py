"""The decoder process: reads paths on stdin, writes contents on stdout."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from mmsearch.errors import MediaError
from mmsearch.media import codec

FOLLOW_S = 0.5


def main() -> None:
    """Serves requests until stdin closes."""
    # Ctrl-C reaches the whole process group; the parent handles it and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Output of a decoder must not end up among the messages.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        while (message := codec.read_message(requests.read)) is not None:
            _serve(message[0], replies)


def _exit_with_parent(parent: int) -> None:
    """Exits when the parent does, also in the middle of a file."""
    while os.getppid() == parent:
        time.sleep(FOLLOW_S)
    os._exit(1)


def _serve(request: dict[str, Any], replies: IO[bytes]) -> None:
    from mmsearch.media.registry import load

    options = codec.unpack_options(request["options"])
    _limit_memory(options.limits.memory_bytes)
    path = Path(os.fsdecode(bytes.fromhex(request["path"])))
    try:
        for content in load(path, options):
            header, body = codec.pack(content)
            codec.write_message(replies, header, body)
    except MediaError as exc:
        reply = {"is": "failed", "error": type(exc).__name__, "reason": exc.reason}
        reply["needs"] = exc.needs
    except ImportError as exc:
        reply = {"is": "broken", "reason": str(exc)}
    except MemoryError:
        reason = "decoding it takes more memory than is allowed"
        reply = {"is": "failed", "error": "MediaTooLarge", "reason": reason}
    else:
        reply = {"is": "end"}
    codec.write_message(replies, reply)


def _limit_memory(limit_bytes: int) -> None:
    """Makes allocations fail before the machine is out of memory (Linux; elsewhere a no-op)."""
    try:
        import resource
    except ImportError:
        return
    # The data segment, not the address space: decoders and thread stacks reserve far more than
    # they touch.
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, hard))


if __name__ == "__main__":
    main()
