"""Measures an ingest over Ray with two workers against one, each of which has one processor.

Run it as ``python benches/ray_workers.py --gigabytes 2``. It makes families of a base and light
fine-tunes of bfloat16 weights, and ingests them into new stores, in turn with one worker and with
two. It prints the best time of each, and by how much two are faster.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import ray
from safetensors.numpy import save_file

import bitx.ray

FAMILIES = 4
TENSORS = 8
SHAPE = (2048, 1024)
BYTES = TENSORS * SHAPE[0] * SHAPE[1] * 2


def make(folder: Path, models: int) -> dict[str, Path]:
    """Makes the models, in families of equal size."""
    chance, paths = np.random.default_rng(0), {}
    bases = [
        [chance.normal(0, 0.02, SHAPE).astype(np.float32) for _ in range(TENSORS)]
        for _ in range(FAMILIES)
    ]
    for number in range(models):
        family, tuned = number % FAMILIES, number // FAMILIES
        tensors = {}
        for i, base in enumerate(bases[family]):
            change = chance.normal(0, 1e-4, SHAPE).astype(np.float32) if tuned else np.float32(0)
            tensors[f"t{i}"] = (base + change).astype(ml_dtypes.bfloat16)
        path = folder / f"{family}-{tuned}"
        path.mkdir()
        save_file(tensors, path / "model.safetensors")
        paths[f"family-{family}/{tuned}"] = path
    return paths


def started() -> str:
    """Takes long enough that each worker starts one of several such tasks."""
    time.sleep(1)
    return bitx.__version__


def ingest(store: Path, models: dict[str, Path], workers: int) -> float:
    """Returns the seconds of an ingest into a new store."""
    ray.init(num_cpus=workers, log_to_driver=False)
    # The processes of the workers start, and import the package, before the clock does.
    start = ray.remote(started)
    ray.get([start.remote() for _ in range(workers)])
    begun = time.perf_counter()
    done = bitx.ray.ingest(store, models)
    seconds = time.perf_counter() - begun
    ray.shutdown()
    assert not done.failed, done.failed
    assert len(done.written) == len(models)
    shutil.rmtree(store)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    models = max(int(arguments.gigabytes * 1e9 / BYTES), FAMILIES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make(folder, models)
        best = {1: float("inf"), 2: float("inf")}
        for _ in range(arguments.rounds):
            for workers in best:
                best[workers] = min(best[workers], ingest(folder / "store", paths, workers))
    total = models * BYTES
    print(f"{models} models, {total:,} bytes")
    for workers, seconds in best.items():
        print(f"{workers} workers: {seconds:.1f} s, {total / 1e6 / seconds:.0f} MB/s")
    print(f"two workers are {best[1] / best[2]:.2f} times as fast as one")


if __name__ == "__main__":
    main()
