"""Measures reading all tensors of a fine-tune without a restored file.

``python benches/safe_open.py BASE ARCHIVE`` compares ``bitx.safe_open`` with ``bitx.restore`` and
with ``safetensors`` over the restored file. The best of the rounds counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors

import bitx

ROUNDS = 5


def by_name(model: Any) -> None:
    """Reads all tensors, sorted by name, one after the other."""
    for name in model.keys():
        model.get_tensor(name)


def by_offset(model: Any) -> None:
    """Reads all tensors in the order of the file."""
    for name in model.offset_keys():
        model.get_tensor(name)


def best(call: Callable[[], object]) -> float:
    """Returns the seconds of the fastest round."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("archive")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    base, archive, threads = given.base, given.archive, given.threads

    def opened(read: Callable[[Any], None]) -> Callable[[], object]:
        return lambda: read(bitx.safe_open(archive, base=base, threads=threads))

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "restored"

        def restored() -> object:
            return bitx.restore(base, archive, out, replace=True, threads=threads)

        megabytes = bitx.inspect(archive).restored_bytes / 1e6
        ways: dict[str, Callable[[], object]] = {
            "bitx.restore": restored,
            "bitx.safe_open, by offset": opened(by_offset),
            "bitx.safe_open, by name": opened(by_name),
            "safetensors, restored file": lambda: by_offset(safetensors.safe_open(out, "np")),
        }
        for name, call in ways.items():
            print(f"{name:28} {megabytes / best(call):8.0f} MB/s")


if __name__ == "__main__":
    main()
