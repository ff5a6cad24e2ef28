"""Opening a fine-tune from its base and an archive, against safetensors over the restored file."""

from __future__ import annotations

import builtins
import os
import sys
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from safetensors.numpy import save_file

import bitx
from conftest import VECTORS, Pair

INDEXES: list[Any] = [
    0,
    -1,
    np.int64(3),
    (0, 1),
    slice(None),
    slice(2, 200),
    slice(2, 200, 7),
    slice(0, 0),
    (slice(None), 1),
    (slice(None, None, 2),),
    (3, slice(1, 9, 3)),
    (slice(5, 6), slice(7, 8)),
    ...,
    (..., 0),
    (1, ...),
]


def test_the_interface_of_safetensors(pair: Pair) -> None:
    with (
        safetensors.safe_open(pair.target, "np") as theirs,
        bitx.safe_open(pair.archive, "np", base=pair.base) as ours,
    ):
        assert ours.keys() == theirs.keys()
        assert ours.offset_keys() == theirs.offset_keys()
        assert ours.metadata() == theirs.metadata() == {"format": "np", "name": "tüned"}
        for name in theirs.keys():
            mine, other = ours.get_tensor(name), theirs.get_tensor(name)
            assert mine.dtype == other.dtype and mine.shape == other.shape and mine.flags.writeable
            assert mine.tobytes() == other.tobytes(), name
            assert ours.get_slice(name).get_shape() == theirs.get_slice(name).get_shape()
            assert ours.get_slice(name).get_dtype() == theirs.get_slice(name).get_dtype()


def test_parts_are_those_of_safetensors(pair: Pair) -> None:
    with (
        safetensors.safe_open(pair.target, "np") as theirs,
        bitx.safe_open(pair.archive, base=pair.base) as ours,
    ):
        for name, index in product(["embed", "layer.0.weight", "layer.1.bfloat16"], INDEXES):
            mine, other = ours.get_slice(name)[index], theirs.get_slice(name)[index]
            assert np.array_equal(mine, other) and mine.shape == other.shape, (name, index)


def test_parts_that_safetensors_refuses_are_those_of_numpy(pair: Pair) -> None:
    tensor = pair.tensors["embed"]
    part = bitx.safe_open(pair.archive, base=pair.base).get_slice("embed")
    indexes: list[Any] = [
        slice(-5, None),
        slice(500, 10_000),
        (slice(-9, -2, 2), slice(-3, None)),
        (slice(4, 2), 3),
    ]
    for index in indexes:
        assert np.array_equal(part[index], tensor[index])
    empty = bitx.safe_open(pair.archive, base=pair.base).get_slice("empty")
    assert empty[:1].shape == (0, 4) and empty[..., 2].shape == (0,)


@pytest.mark.parametrize(
    "index", [(0, 0, 0), 512, -513, None, [0, 1], True, slice(None, None, -1), (..., ...), "x"]
)
def test_wrong_indexes(pair: Pair, index: Any) -> None:
    with pytest.raises(bitx.Error) as caught:
        bitx.safe_open(pair.archive, base=pair.base).get_slice("embed")[index]
    assert (caught.value.code, caught.value.tensor) == ("invalid-argument", "embed")


def test_load_file(pair: Pair) -> None:
    loaded = bitx.load_file(pair.archive, base=pair.base)
    assert loaded.keys() == pair.tensors.keys()
    assert all(np.array_equal(loaded[name], tensor) for name, tensor in pair.tensors.items())


@pytest.mark.parametrize("options", [{"level": 3}, {"effort": "max"}])
def test_other_formats_of_archives(pair: Pair, tmp_path: Path, options: dict[str, Any]) -> None:
    bitx.compress(pair.base, pair.target, tmp_path / "a", **options)
    loaded = bitx.load_file(tmp_path / "a", base=pair.base)
    assert all(np.array_equal(loaded[name], tensor) for name, tensor in pair.tensors.items())


def test_a_tensor_reads_only_its_part_of_the_archive(tmp_path: Path) -> None:
    base = {
        f"t{i}": np.random.default_rng(i).normal(size=(1024, 1024)).astype(np.float32)
        for i in range(6)
    }
    tuned = {name: tensor * np.float32(1.001) for name, tensor in base.items()}
    save_file(base, tmp_path / "base")
    save_file(tuned, tmp_path / "tuned")
    bitx.compress(tmp_path / "base", tmp_path / "tuned", tmp_path / "a", effort="fast")
    damaged = bytearray((tmp_path / "a").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    model = bitx.safe_open(damaged, base=tmp_path / "base")
    good = [name for name in tuned if _is_readable(model, name, tuned[name])]
    assert {"t0", "t5"} <= set(good) and len(good) < len(tuned)


def _is_readable(model: bitx.safe_open, name: str, tensor: Any) -> bool:
    try:
        assert np.array_equal(model.get_tensor(name), tensor)
    except bitx.Error as error:
        assert error.code == "corrupt"
        return False
    return True


def test_golden_vectors() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    archive, base = VECTORS / "dtypes.default.bitx", VECTORS / "dtypes.base.safetensors"
    with bitx.safe_open(archive, base=base) as model:
        assert model.get_tensor("bf16").dtype == ml_dtypes.bfloat16
        assert model.get_tensor("f8_e4m3").dtype == ml_dtypes.float8_e4m3fn
        assert model.get_slice("bf16")[3:5, 1].shape == (2,)
        for name in ["f4", "f6_e2m3"]:
            with pytest.raises(bitx.Error) as caught:
                model.get_tensor(name)
            assert (caught.value.code, caught.value.tensor) == ("unsupported", name)


def test_without_ml_dtypes_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name == "ml_dtypes":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    model = bitx.safe_open(
        VECTORS / "dtypes.default.bitx", base=VECTORS / "dtypes.base.safetensors"
    )
    with pytest.raises(bitx.Error, match="install ml_dtypes"):
        model.get_tensor("bf16")


def test_other_formats() -> None:
    with bitx.safe_open(
        VECTORS / "blocks.default.bitx", base=VECTORS / "blocks.base.gguf"
    ) as model:
        assert model.metadata() is None
        dtypes = {name: model.get_slice(name).get_dtype() for name in model.offset_keys()}
        name = next(name for name, dtype in dtypes.items() if dtype == "Q8_0")
        for read in (model.get_tensor, lambda name: model.get_slice(name)[0]):
            with pytest.raises(bitx.Error) as caught:
                read(name)
            assert caught.value.code == "unsupported"


def test_wrong_arguments(pair: Pair, tmp_path: Path) -> None:
    for framework, device in [("tf", "cpu"), ("np", "cuda")]:
        with pytest.raises(bitx.Error) as caught:
            bitx.safe_open(pair.archive, framework, device, base=pair.base)
        assert caught.value.code == "invalid-argument"
    with pytest.raises(bitx.Error) as caught:
        bitx.safe_open(pair.archive)
    assert caught.value.code == "base-mismatch"
    (tmp_path / "text").write_bytes(b"some text")
    bitx.compress(None, tmp_path / "text", tmp_path / "a")
    with pytest.raises(bitx.Error) as caught:
        bitx.safe_open(tmp_path / "a")
    assert caught.value.code == "format"


def test_a_closed_model(pair: Pair) -> None:
    with bitx.safe_open(pair.archive, base=pair.base) as model:
        part = model.get_slice("embed")
        with pytest.raises(bitx.Error) as caught:
            model.get_tensor("none")
        assert (caught.value.code, caught.value.tensor) == ("invalid-argument", "none")
    calls: list[Callable[[], Any]] = [
        model.keys,
        model.offset_keys,
        model.metadata,
        model.get_tensors,
    ]
    calls += [lambda: model.get_tensor("embed"), lambda: part[0]]
    for call in calls:
        with pytest.raises(bitx.Error, match="closed"):
            call()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_in_the_middle_of_reads(pair: Pair) -> None:
    model = bitx.safe_open(pair.archive, base=pair.base)
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            model.get_tensors()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                same = all(np.array_equal(model.get_tensor(n), t) for n, t in pair.tensors.items())
                delta = bitx.encode_tensors(
                    {"a": pair.tensors["embed"]}, {"a": pair.tensors["embed"]}
                )
                os._exit(0 if same and delta else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_torch(pair: Pair) -> None:
    torch = pytest.importorskip("torch")
    archive, base = VECTORS / "dtypes.default.bitx", VECTORS / "dtypes.base.safetensors"
    with bitx.safe_open(archive, "pt", base=base) as model:
        assert model.get_tensor("bf16").dtype == torch.bfloat16
        assert model.get_slice("bf16")[2:4].shape == (2, 36)
    with (
        safetensors.safe_open(pair.target, "pt") as theirs,
        bitx.safe_open(pair.archive, "pt", base=pair.base) as ours,
    ):
        assert all(
            torch.equal(ours.get_tensor(name), theirs.get_tensor(name)) for name in ours.keys()
        )


@pytest.mark.skipif("torch" in sys.modules, reason="torch is here")
def test_torch_that_is_not_installed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(bitx.Error, match="needs the package torch"):
        bitx.safe_open(pair.archive, "pt", base=pair.base)
