"""A torch module as an ONNX file."""

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

INSIDE_BYTES = 500_000_000
"""What is larger keeps its weights in a file beside it, which is mapped into memory and read where
it is needed; a protobuf message is read as a whole, and ends at 2 GiB."""


def to_onnx(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    output: str,
    path: Path,
    *,
    dynamic: Sequence[str] = (),
) -> None:
    """Write `module`, called with `inputs`, as the network `path` with one output.

    `inputs` are examples by the names of the parameters of `forward`, in its order, with at least
    two rows: torch takes a one for a constant. The first dimension of all of them is free (and the
    same); for the inputs named in `dynamic` the second is too. A module of more than 500 MB keeps
    its weights in `<path>.data`. Raises ModelError when torch cannot export the module.
    """
    import torch

    short = [name for name, value in inputs.items() if value.shape[0] < 2]
    if short:
        raise ValueError(f"the example for {short[0]!r} needs two rows or more")
    free: Any = torch.export.Dim.DYNAMIC
    shapes = {name: {0: free, 1: free} if name in dynamic else {0: free} for name in inputs}
    module = module.eval()
    size = sum(p.numel() * p.element_size() for p in [*module.parameters(), *module.buffers()])
    noise = io.StringIO()
    try:
        with quiet(), contextlib.redirect_stdout(noise), torch.no_grad():
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
            program.save(str(path), external_data=size > INSIDE_BYTES)
    except Exception as exc:  # the exporter raises classes of its own, of many modules
        raise ModelError(
            f"torch {torch.__version__} cannot export {type(module).__name__} to ONNX "
            f"({type(exc).__name__}: {str(exc).strip()[:300]}): try another torch version"
        ) from exc


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines of torch and its like: both are about their own inside."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
