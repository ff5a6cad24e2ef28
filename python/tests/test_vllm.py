"""The plug-in of vLLM: with vLLM where it is installed, and with stand-ins elsewhere.

Neither needs a GPU. requirements-vllm.txt has vLLM.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import bitx
import standin_vllm
from bitx.vllm import register
from conftest import Tensors, names

REAL = importlib.util.find_spec("vllm") is not None
OURS = ("bitx.vllm.loader", "bitx.vllm.engine")


def real() -> SimpleNamespace:
    """Returns what a test needs of vLLM."""
    import real_vllm

    return real_vllm.world()


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Installs the plug-in in vLLM, or in the stand-ins."""
    register.cache_clear()
    if REAL:
        yield real()
        return
    world = standin_vllm.install(monkeypatch)
    register()
    for module, member, value in [(OURS[0], "_FRAMEWORK", "np"), (OURS[1], "_copied", np.array)]:
        monkeypatch.setattr(importlib.import_module(module), member, value)
    yield world
    for module in OURS:
        sys.modules.pop(module, None)


def version(number: int) -> Tensors:
    """Returns a version of weights. Each differs from the one before it in a few words."""
    chance = np.random.default_rng(7)
    tensors: Tensors = {
        "embed.weight": chance.normal(0, 0.05, (64, 32)).astype(np.float32),
        "layers.0.proj.weight": chance.normal(0, 0.05, (48, 40)).astype(np.float16),
        "layers.0.proj.bias": chance.normal(0, 0.05, 48).astype(np.float32),
    }
    for step in range(number):
        tensors["embed.weight"][step::9] += np.float32(0.001)
        tensors["layers.0.proj.weight"][step] *= np.float16(1.01)
    return tensors


def same(a: dict[str, Any], b: Tensors) -> bool:
    return a.keys() == b.keys() and all(
        np.asarray(a[name]).tobytes() == b[name].tobytes() for name in b
    )


def delta(old: int, new: int) -> bytes:
    return bitx.encode_tensors(version(old), version(new))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Makes a base of two files, and a model with an archive of one and a copy of the other."""
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    base.mkdir()
    tuned.mkdir()
    shards = [["embed.weight"], ["layers.0.proj.weight", "layers.0.proj.bias"]]
    for number, shard in enumerate(shards):
        for folder, weights in ((base, version(0)), (tuned, version(3))):
            tensors = {name: weights[name] for name in shard}
            save_file(tensors, folder / f"model-{number}.safetensors")
    whole = tuned / "model-0.safetensors"
    bitx.compress(base / whole.name, whole, f"{whole}.bitx")
    whole.unlink()
    (tuned / "README.md").write_text(f"---\nbase_model: {base}\n---\n")
    return base, tuned


def config_of(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(model=str(folder), revision=None, quantization=None, dtype=None)


class Transfer:
    """A weight transfer to a model that was loaded from a folder, as a worker of vLLM runs it."""

    def __init__(self, vllm: SimpleNamespace, folder: Path, format_: str = "auto") -> None:
        load_config = vllm.load_config(format_, {})
        self.model = vllm.model(version(0))
        vllm_config = SimpleNamespace(
            load_config=load_config, parallel_config=None, model_config=config_of(folder)
        )
        vllm.loader(load_config).load_weights(self.model, config_of(folder))
        self.engine = vllm.engine(
            vllm.transfer_config("bitx"), vllm_config, vllm.device, self.model
        )

    def begin(self, **init_info: Any) -> None:
        self.engine.init_transfer_engine(self.engine.parse_init_info(init_info))

    def update(self, **update_info: Any) -> None:
        self.engine.start_weight_update()
        self.engine.receive_weights(self.engine.parse_update_info(update_info))
        self.engine.finish_weight_update()


@pytest.fixture
def transfer(vllm: SimpleNamespace, tmp_path: Path) -> Transfer:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_file(version(0), folder / "model.safetensors")
    transfer = Transfer(vllm, folder)
    transfer.begin(version=bitx.digest(version(0)))
    return transfer


def test_the_entry_point_is_declared() -> None:
    (point,) = (p for p in entry_points(group="vllm.general_plugins") if p.name == "bitx")
    assert point.load() is register


def test_a_vllm_without_the_interface_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "vllm.distributed.weight_transfer", None)
    register.cache_clear()
    with caplog.at_level(logging.WARNING):
        register()
    register.cache_clear()
    assert "needs a later vLLM" in caplog.text


def test_the_plug_in_is_registered_once(vllm: SimpleNamespace) -> None:
    register()
    loader = vllm.loader(vllm.load_config("bitx", {}))
    assert type(loader).__name__ == "DeltaModelLoader"


def test_a_model_is_loaded_from_archives(vllm: SimpleNamespace, folders: tuple[Path, Path]) -> None:
    _, tuned = folders
    before = names(tuned)
    model = vllm.model(version(0))
    loader = vllm.loader(vllm.load_config("bitx", {"threads": 1}))
    loader.download_model(config_of(tuned))
    loader.load_weights(model, config_of(tuned))
    assert same(model.found(), version(3)) and names(tuned) == before


def test_the_base_may_be_an_option(vllm: SimpleNamespace, folders: tuple[Path, Path]) -> None:
    base, tuned = folders
    (tuned / "README.md").unlink()
    model = vllm.model(version(0))
    with pytest.raises(bitx.Error, match="base_model"):
        vllm.loader(vllm.load_config("bitx", {})).load_weights(model, config_of(tuned))
    loader = vllm.loader(vllm.load_config("bitx", {"base": str(base)}))
    loader.load_weights(model, config_of(tuned))
    assert same(model.found(), version(3))


def test_models_that_cannot_be_loaded(
    vllm: SimpleNamespace, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    base, tuned = folders
    with pytest.raises(ValueError, match="Unexpected extra config keys"):
        vllm.loader(vllm.load_config("bitx", {"bases": "x"}))
    loader, model = vllm.loader(vllm.load_config("bitx", {})), vllm.model(version(0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(bitx.Error) as caught:
        loader.load_weights(model, config_of(tmp_path / "empty"))
    assert caught.value.code == "not-found"
    shutil.copy(tuned / "model-1.safetensors", base / "model-0.safetensors")
    with pytest.raises(bitx.Error) as caught:
        loader.load_weights(model, config_of(tuned))
    assert caught.value.code == "base-mismatch"


def test_deltas_follow_each_other(transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "delta").write_bytes(delta(2, 3))
    updates: list[dict[str, Any]] = [
        {"delta": delta(0, 1)},
        json.loads(json.dumps({"delta": base64.b64encode(delta(1, 2)).decode()})),
        {"path": str(tmp_path / "delta")},
    ]
    for number, update in enumerate(updates, 1):
        transfer.update(**update)
        assert same(transfer.model.found(), version(number))
        assert transfer.engine.version == bitx.digest(version(number))
    transfer.engine.shutdown()
    with pytest.raises(bitx.Error):
        transfer.engine.start_weight_update()


def test_refused_deltas_change_nothing(transfer: Transfer) -> None:
    transfer.update(delta=delta(0, 1))
    damaged = bytearray(delta(1, 2))
    damaged[len(damaged) * 3 // 4] ^= 1
    for bad in (delta(0, 1), delta(2, 3), bytes(damaged), delta(1, 2)[:-1], b"", "no base64!"):
        with pytest.raises(bitx.Error):
            transfer.update(delta=bad)
        assert same(transfer.model.found(), version(1))
        assert transfer.engine.version == bitx.digest(version(1))
    transfer.update(delta=delta(1, 2))
    assert same(transfer.model.found(), version(2))


def test_several_deltas_in_one_update_are_loaded_at_its_end(transfer: Transfer) -> None:
    engine = transfer.engine
    engine.start_weight_update()
    for old in range(2):
        engine.receive_weights(engine.parse_update_info({"delta": delta(old, old + 1)}))
        assert same(transfer.model.found(), version(0))
    engine.finish_weight_update()
    assert same(transfer.model.found(), version(2))


def test_a_load_that_fails_is_repeated(transfer: Transfer) -> None:
    load, engine = transfer.model.load_weights, transfer.engine

    def fail(weights: Any) -> None:
        load(list(weights)[:1])
        raise RuntimeError("the device is full")

    transfer.model.load_weights = fail
    with pytest.raises(RuntimeError):
        transfer.update(delta=delta(0, 1))
    assert engine.version is None
    transfer.model.load_weights = load
    transfer.update(delta=delta(1, 2))
    assert same(transfer.model.found(), version(2))


def test_a_transfer_begins_with_the_weights_of_the_trainer(
    vllm: SimpleNamespace, folders: tuple[Path, Path]
) -> None:
    _, tuned = folders
    transfer = Transfer(vllm, tuned, "bitx")
    for call in (transfer.engine.start_weight_update, transfer.engine.finish_weight_update):
        with pytest.raises(bitx.Error) as caught:
            call()
        assert caught.value.code == "invalid-argument"
    with pytest.raises(bitx.Error) as caught:
        transfer.begin(version=bitx.digest(version(0)))
    assert caught.value.code == "base-mismatch"
    with pytest.raises(bitx.Error):
        transfer.update(delta=delta(3, 4))
    transfer.begin()
    transfer.update(delta=delta(3, 4))
    assert same(transfer.model.found(), version(4))


@pytest.mark.parametrize("update", [{}, {"delta": b"", "path": "x"}])
def test_updates_with_no_delta_or_two(transfer: Transfer, update: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        transfer.engine.parse_update_info(update)
