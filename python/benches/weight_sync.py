"""Measures weight sync against the ways in which it is usually done.

Run it with the path of a base and of a later version, two safetensors files:
``python benches/weight_sync.py OLD NEW``. Without them, it makes a version of which 99 % of the
weights are unchanged. All ways run in turn, and the medians of the rounds count. Speeds are those
of processor time, of all threads together, so that they are speeds per core, and other programs on
the machine change them little. The last column is the processor time against that of XOR, both ways
together: the median of the ratios within each round, and the least and the largest of them.
``--known`` tells bitx the digest of the old version, as a chain of versions has it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import zstandard
from numpy.typing import NDArray

import bitx

Tensors = dict[str, NDArray[Any]]
BF16 = np.dtype(ml_dtypes.bfloat16)
ROUNDS = 9


def load(path: str) -> Tensors:
    """Returns the tensors of a safetensors file."""
    with open(path, "rb") as file:
        model = file.read()
    length = int.from_bytes(model[:8], "little")
    entries = json.loads(model[8 : 8 + length])
    entries.pop("__metadata__", None)
    words = {"BF16": BF16, "F16": np.float16, "F32": np.float32, "I64": np.int64}
    tensors = {}
    for name, entry in entries.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = (
            np.frombuffer(model[begin:end], words[entry["dtype"]]).reshape(entry["shape"]).copy()
        )
    return tensors


def made() -> tuple[Tensors, Tensors]:
    """Returns bfloat16 weights, and a version of which 99 % of the weights are unchanged."""
    chance = np.random.default_rng(0)
    old = {f"t{i}": chance.normal(0, 0.02, (4096, 1024)).astype(BF16) for i in range(8)}
    new = {name: tensor.copy() for name, tensor in old.items()}
    for tensor in new.values():
        changed = chance.random(tensor.shape) < 0.01
        steps = chance.choice(np.array([1, 0xFFFF], np.uint16), int(changed.sum()))
        tensor.view(np.uint16)[changed] += steps
    return old, new


class Way(Protocol):
    """A way to send a new version."""

    name: str

    def encode(self, old: Tensors, new: Tensors) -> Any:
        """Returns the change from the old version to the new one."""

    def apply(self, state: Tensors, delta: Any) -> None:
        """Changes the old version to the new one."""


class Bitx:
    """The package."""

    def __init__(self, effort: bitx.Effort, version: str | None) -> None:
        self.name = f"bitx, {effort}"
        self._effort = effort
        self._version = version

    def encode(self, old: Tensors, new: Tensors) -> bytes:
        return bitx.encode_tensors(old, new, effort=self._effort, version=self._version, threads=1)

    def apply(self, state: Tensors, delta: Any) -> None:
        bitx.apply_(state, delta, version=self._version, threads=1)


def words(tensor: NDArray[Any]) -> NDArray[Any]:
    """Returns the elements of a tensor as unsigned integers."""
    return tensor.view(f"u{tensor.itemsize}")


class Xor:
    """The XOR of all words, through zstd at level 1."""

    name = "XOR + zstd -1"

    def encode(self, old: Tensors, new: Tensors) -> list[bytes]:
        squeeze = zstandard.ZstdCompressor(level=1).compress
        return [squeeze(np.bitwise_xor(words(old[name]), words(new[name])).data) for name in old]

    def apply(self, state: Tensors, delta: Any) -> None:
        expand = zstandard.ZstdDecompressor().decompress
        for tensor, frame in zip(map(words, state.values()), delta, strict=True):
            tensor ^= np.frombuffer(expand(frame), tensor.dtype).reshape(tensor.shape)


class Lists:
    """The places and the values of changed words, through zstd at level 1."""

    name = "index lists + zstd -1"

    def encode(self, old: Tensors, new: Tensors) -> list[bytes]:
        squeeze, frames = zstandard.ZstdCompressor(level=1).compress, []
        for name in old:
            before, after = words(old[name]), words(new[name]).reshape(-1)
            places = np.flatnonzero(before.reshape(-1) != after).astype(np.uint32)
            frames += [squeeze(places.data), squeeze(after[places].data)]
        return frames

    def apply(self, state: Tensors, delta: Any) -> None:
        expand = zstandard.ZstdDecompressor().decompress
        for number, tensor in enumerate(map(words, state.values())):
            places = np.frombuffer(expand(delta[2 * number]), np.uint32)
            tensor.reshape(-1)[places] = np.frombuffer(expand(delta[2 * number + 1]), tensor.dtype)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    result = call()
    return time.process_time() - begun, result


def measure(old: Tensors, new: Tensors, known: bool) -> None:
    """Prints bytes and speeds of each way, in megabytes of weights per second."""
    total = sum(tensor.nbytes for tensor in old.values())
    version = bitx.digest(old) if known else None
    ways: list[Way] = [Bitx("fast", version), Bitx("default", version), Xor(), Lists()]
    sizes: dict[str, int] = {}
    times: dict[str, list[tuple[float, float]]] = {way.name: [] for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            state = {name: tensor.copy() for name, tensor in old.items()}
            encoding, delta = timed(partial(way.encode, old, new))
            applying, _ = timed(partial(way.apply, state, delta))
            assert all(np.array_equal(words(state[name]), words(new[name])) for name in new), (
                way.name
            )
            sizes[way.name] = len(delta) if isinstance(delta, bytes) else sum(map(len, delta))
            times[way.name].append((encoding, applying))
    unchanged = sum(int((words(old[name]) == words(new[name])).sum()) for name in old) / sum(
        t.size for t in old.values()
    )
    print(f"{total:,} bytes, {unchanged:.2%} of the weights unchanged")
    for name, rounds in times.items():
        apart = (median(column) for column in zip(*rounds, strict=True))
        seconds = (*apart, median(map(sum, rounds)))
        speeds = "".join(f"{total / 1e6 / each:8.0f}" for each in seconds)
        pairs = zip(rounds, times[Xor.name], strict=True)
        ratios = sorted(sum(own) / sum(xor) for own, xor in pairs)
        against = f"{median(ratios):6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        size = f"{name:24} {sizes[name]:12,} bytes"
        print(f"{size}  encode, apply, both:{speeds} MB/s {against}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", nargs="?")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--known", action="store_true")
    arguments = parser.parse_args()
    if arguments.old and arguments.new:
        measure(load(arguments.old), load(arguments.new), arguments.known)
    else:
        measure(*made(), arguments.known)


if __name__ == "__main__":
    main()
