"""Checkpoints as deltas, by the callbacks of transformers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bitx
from conftest import names

transformers = pytest.importorskip("transformers")

from bitx.transformers import DeltaCallback, restore_checkpoint  # noqa: E402


def train(folder: Path, callback: Any, steps: int, begin: int = 0) -> dict[int, Any]:
    """Saves checkpoints as a trainer does, and returns the weights of each."""
    from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState

    handler = CallbackHandler([callback], None, None, None, None)
    handler.train_dataloader = handler.eval_dataloader = None
    args = SimpleNamespace(output_dir=str(folder), save_total_limit=None)
    state, control = TrainerState(is_world_process_zero=True), TrainerControl()
    handler.on_train_begin(args, state, control)
    chance = np.random.default_rng(begin)
    weights = chance.normal(size=(128, 64)).astype(np.float32)
    saved = {}
    for step in range(begin + 1, begin + steps + 1):
        weights = weights + chance.normal(0, 1e-3, weights.shape).astype(np.float32)
        checkpoint = folder / f"checkpoint-{step * 9}"
        checkpoint.mkdir(parents=True, exist_ok=True)
        save_file({"w": weights}, checkpoint / "model.safetensors")
        (checkpoint / "optimizer.pt").write_bytes(b"state")
        saved[step * 9] = weights
        state.global_step = step * 9
        handler.on_save(args, state, control)
    return saved


def is_whole(folder: Path, number: int) -> bool:
    return (folder / f"checkpoint-{number}" / "model.safetensors").exists()


@pytest.mark.parametrize(("against", "whole"), [("first", [9, 45]), ("next", [45])])
def test_all_checkpoints_but_the_last_become_deltas(
    against: Any, whole: list[int], tmp_path: Path
) -> None:
    saved = train(tmp_path, DeltaCallback(against), 5)
    assert [number for number in saved if is_whole(tmp_path, number)] == whole
    for number, weights in saved.items():
        folder = tmp_path / f"checkpoint-{number}"
        assert restore_checkpoint(folder) == str(folder)
        assert np.array_equal(load_file(folder / "model.safetensors")["w"], weights)
        assert (folder / "optimizer.pt").read_bytes() == b"state"


@pytest.mark.parametrize(("against", "left"), [("first", [9, 63, 72]), ("next", [54, 63, 72])])
def test_the_oldest_checkpoints_are_removed(against: Any, left: list[int], tmp_path: Path) -> None:
    saved = train(tmp_path, DeltaCallback(against, keep=3), 8)
    assert names(tmp_path) == sorted(f"checkpoint-{number}" for number in left)
    for number in left:
        restore_checkpoint(tmp_path / f"checkpoint-{number}")
        found = load_file(tmp_path / f"checkpoint-{number}" / "model.safetensors")["w"]
        assert np.array_equal(found, saved[number])


@pytest.mark.parametrize("against", ["first", "next"])
def test_a_trainer_that_resumes_from_an_earlier_checkpoint(against: Any, tmp_path: Path) -> None:
    saved = train(tmp_path, DeltaCallback(against), 6)
    restore_checkpoint(tmp_path / "checkpoint-27")
    saved.update(train(tmp_path, DeltaCallback(against), 2, begin=3))
    assert is_whole(tmp_path, 45) and not is_whole(tmp_path, 36)
    for number, weights in saved.items():
        folder = tmp_path / f"checkpoint-{number}"
        restore_checkpoint(folder)
        assert np.array_equal(load_file(folder / "model.safetensors")["w"], weights), number
        assert names(folder) == ["model.safetensors", "optimizer.pt"]


def test_wrong_settings() -> None:
    for options in ({"against": "none"}, {"keep": 0}):
        with pytest.raises(bitx.Error):
            DeltaCallback(**options)
    args = SimpleNamespace(save_total_limit=2)
    with pytest.raises(bitx.Error, match="save_total_limit"):
        DeltaCallback().on_train_begin(args, None, None)


@pytest.mark.parametrize(
    "note", ["", "[]", "{}", '{"base": 3}', '{"base": ""}', '{"base": "checkpoint-1"}']
)
def test_wrong_notes(note: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    (folder / "bitx.json").write_text(note)
    with pytest.raises(bitx.Error) as caught:
        restore_checkpoint(folder)
    assert caught.value.code == "corrupt"
