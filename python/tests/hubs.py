"""A hub of models for the tests of ingests, and the check of a store that has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import bitx
from conftest import COMMAND


def make(folder: Path) -> dict[str, Path]:
    """Makes two families of models and a stranger."""
    chance = np.random.default_rng(3)

    def weights(scale: float) -> dict[str, Any]:
        shapes = [(512, 512), (256, 1024), (1024, 256)]
        return {
            str(number): chance.normal(0, scale, shape).astype(np.float32)
            for number, shape in enumerate(shapes)
        }

    models: dict[str, dict[str, Any]] = {"stranger": weights(1)}
    for family in ("x", "y"):
        base = weights(0.05)
        for tuned in range(4):
            change = weights(1e-5)
            models[f"{family}/{tuned}-tuned"] = {name: base[name] + change[name] for name in base}
        models[f"{family}/base"] = base
    paths = {}
    for name, tensors in models.items():
        paths[name] = folder / name.replace("/", "-")
        paths[name].mkdir()
        save_file(tensors, paths[name] / "model.safetensors")
    return paths


def check(store: bitx.Store, hub: dict[str, Path], tmp_path: Path) -> None:
    """Asserts that the store has all models, none of them twice, and no damage."""
    assert [model["name"] for model in store.ls()] == sorted(hub)
    for name, folder in hub.items():
        store.get(name, tmp_path / "out", replace=True)
        for file in folder.iterdir():
            assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes(), file
    command = [sys.executable, "-c", COMMAND, "store", "--root", store.root]
    subprocess.run([*command, "verify", "--read-data"], check=True, capture_output=True)
    for kind in ("pieces", "files"):
        objects = [path for path in Path(store.root, kind).rglob("*") if path.is_file()]
        contents = {path.parent for path in objects if "#" not in path.name}
        assert len(contents) == len([path for path in objects if "#" not in path.name])
    for name in hub:
        revisions = list(Path(store.root, "models", name).glob("*.json"))
        assert len(revisions) == 1, revisions
