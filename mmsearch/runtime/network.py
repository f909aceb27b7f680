"""The interface of networks: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tensor = NDArray[np.generic]


class Network(Protocol):
    """One network on one device."""

    batch: int
    """The fastest number of rows to compute at once."""

    def run(self, inputs: Mapping[str, Tensor]) -> list[Any]:
        """Returns the outputs for any number of rows, in the network's order.

        More rows than `batch` are computed in several batches.
        """
        ...
