"""Models for the tests: a base and its fine-tune, made from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

import bitx

Tensors = dict[str, NDArray[Any]]

#: The golden vectors of the core.
VECTORS = Path(__file__).parents[2] / "tests" / "vectors" / "v2"


def tensors_of(seed: int = 0, rows: int = 512) -> tuple[Tensors, Tensors]:
    """Returns a base and a fine-tune with tensors of several dtypes."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> NDArray[Any]:
        return random.normal(0, 0.05, shape).astype(np.float32)

    base: Tensors = {
        "embed": weights(rows, 256),
        "layer.0.weight": weights(256, 300).astype(np.float16),
        "layer.0.bias": weights(300),
        "layer.1.bfloat16": (weights(rows, 128).view(np.uint32) >> 16).astype(np.uint16),
        "ids": np.arange(1000, dtype=np.int64),
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 4), np.float32),
        "mask": random.integers(0, 2, (7, 9)).astype(bool),
    }
    tuned = {name: tensor.copy() for name, tensor in base.items()}
    tuned["embed"] += weights(rows, 256) * np.float32(0.001)
    tuned["layer.0.weight"][::3] += np.float16(0.01)
    tuned["layer.1.bfloat16"][random.random((rows, 128)) < 0.05] += 1
    tuned["mask"][2, 3] ^= True
    tuned["scalar"] += 1
    return base, tuned


@dataclass(frozen=True)
class Pair:
    """The files of a base, of a fine-tune, and of its archive."""

    base: Path
    target: Path
    archive: Path
    tensors: Tensors


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    base, tuned = tensors_of()
    paths = Pair(
        folder / "base.safetensors", folder / "tuned.safetensors", folder / "tuned.bitx", tuned
    )
    save_file(base, paths.base, {"format": "np", "name": "base"})
    save_file(tuned, paths.target, {"format": "np", "name": "tüned"})
    bitx.compress(paths.base, paths.target, paths.archive)
    return paths


#: A program that is the command ``bitx``.
COMMAND = "import sys; from bitx._command import main; sys.exit(main())"


def names(folder: Path) -> list[str]:
    """Returns the names of all files in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())
