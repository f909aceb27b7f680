"""Exports torch modules to ONNX files."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsearch.errors import ModelError

if TYPE_CHECKING:
    import torch

MAX_INLINE_BYTES = 500_000_000
"""Larger networks keep their weights in a file beside them, which is mapped into memory; a protobuf
message is read as a whole, and is limited to 2 GiB."""


def export_onnx(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    output: str,
    path: Path,
    *,
    dynamic: Sequence[str] = (),
) -> None:
    """Writes `module`, called with `inputs`, as the network `path` with one output.

    `inputs` are examples by the names of the parameters of `forward`, in its order, with at least
    two rows: torch takes a one for a constant. Their first dimension is free, and the second of the
    inputs named in `dynamic`. A module of more than 500 MB keeps its weights in `<path>.data`.
    Raises ModelError if torch cannot export the module.
    """
    import torch

    short = [name for name, value in inputs.items() if value.shape[0] < 2]
    if short:
        raise ValueError(f"the example for {short[0]!r} needs two rows or more")
    free: Any = torch.export.Dim.DYNAMIC
    shapes = {name: {0: free, 1: free} if name in dynamic else {0: free} for name in inputs}
    module = module.eval()
    size = sum(p.numel() * p.element_size() for p in [*module.parameters(), *module.buffers()])
    try:
        with silence_logs(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            program = torch.onnx.export(
                module,
                (),
                kwargs=dict(inputs),
                input_names=list(inputs),
                output_names=[output],
                dynamic_shapes=shapes,
                dynamo=True,
                optimize=True,
                verbose=False,
            )
            program.save(str(path), external_data=size > MAX_INLINE_BYTES)
    except Exception as exc:  # the exporter raises classes of its own, of many modules
        raise ModelError(
            f"torch {torch.__version__} cannot export {type(module).__name__} to ONNX "
            f"({type(exc).__name__}: {str(exc).strip()[:300]}): try another torch version"
        ) from exc


@contextlib.contextmanager
def silence_logs() -> Iterator[None]:
    """Hides warnings and log lines of torch and its like about their own internals."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
