"""Archives that were changed, and interrupts."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import bitx
from conftest import VECTORS, Pair, names


def mutations(archive: bytes, count: int) -> list[bytes]:
    """Returns archives with flipped, removed, repeated and foreign bytes."""
    chance = random.Random(7)
    changed = []
    for _ in range(count):
        bytes_ = bytearray(archive)
        place, length = chance.randrange(len(bytes_)), chance.randrange(1, 40)
        kind = chance.randrange(4)
        if kind == 0:
            bytes_[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del bytes_[place : place + length]
        elif kind == 2:
            bytes_[place:place] = bytes_[place : place + length]
        else:
            bytes_[place : place + length] = chance.randbytes(length)
        changed.append(bytes(bytes_))
    return changed


@pytest.mark.parametrize(
    ("name", "kind"), [("dtypes", "safetensors"), ("blocks", "gguf"), ("places", "onnx")]
)
def test_changed_archives_are_errors(name: str, kind: str, tmp_path: Path) -> None:
    base = VECTORS / f"{name}.base.{kind}"
    archive = (VECTORS / f"{name}.default.bitx").read_bytes()
    calls: list[Callable[[bytes], Any]] = [
        bitx.inspect,
        lambda changed: bitx.verify(base, changed),
        lambda changed: bitx.restore(base, changed, tmp_path / "out", replace=True),
        lambda changed: bitx.apply_({"a": np.zeros(9)}, changed),
        lambda changed: bitx.changes({"a": np.zeros(9)}, changed),
        lambda changed: _read_all(changed, base),
    ]
    for changed in mutations(archive, 150):
        for call in calls:
            try:
                call(changed)
            except bitx.Error:
                continue
    assert names(tmp_path) in ([], ["out"])


def _read_all(archive: bytes, base: Path) -> None:
    with bitx.safe_open(archive, base=base) as model:
        model.metadata()
        for name in model.keys():
            try:
                model.get_tensor(name)
            except bitx.Error:
                continue


@pytest.mark.parametrize(
    "metadata", ['{"a":1' + "0" * 5000 + "}", "[" * 100 + "]" * 100, '{"a":1}', '["a"]', '"a"']
)
def test_metadata_that_are_no_texts(metadata: str, tmp_path: Path) -> None:
    tensor = '"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    header = f'{{"__metadata__":{metadata},{tensor}}}'.encode()
    (tmp_path / "model").write_bytes(len(header).to_bytes(8, "little") + header + b"\x07")
    bitx.compress(None, tmp_path / "model", tmp_path / "a")
    try:
        model = bitx.safe_open(tmp_path / "a")
        assert model.get_tensor("w").tolist() == [7]
        with pytest.raises(bitx.Error) as caught:
            model.metadata()
        assert caught.value.code == "corrupt"
    except bitx.Error as error:
        assert error.code == "format"


def test_files_of_no_kind() -> None:
    for junk in [
        b"",
        b"BITXv002",
        b"BITXv001" + bytes(100),
        b"BITXv002" + b"\xff" * 100,
        bytes(1000),
    ]:
        with pytest.raises(bitx.Error):
            bitx.inspect(junk)
        with pytest.raises(bitx.Error):
            bitx.safe_open(junk)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models that take seconds to compress at the highest effort."""
    folder = tmp_path_factory.mktemp("large")
    chance = np.random.default_rng(0)
    base = {f"t{i}": chance.normal(size=(1024, 1024)).astype(np.float32) for i in range(8)}
    tuned = {
        name: tensor + chance.normal(0, 1e-3, tensor.shape).astype(np.float32)
        for name, tensor in base.items()
    }
    save_file(base, folder / "base")
    save_file(tuned, folder / "tuned")
    return folder / "base", folder / "tuned"


class StopError(Exception):
    """The exception of a signal."""


def _raise(*_: object) -> None:
    raise StopError


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no timer")
def test_a_signal_stops_the_work_and_leaves_nothing(
    large: tuple[Path, Path], tmp_path: Path
) -> None:
    base, tuned = large
    before = signal.signal(signal.SIGALRM, _raise)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(StopError):
            bitx.compress(base, tuned, tmp_path / "out", effort="max")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert names(tmp_path) == []


def test_an_interrupt_from_another_thread(large: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = large
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        bitx.compress(base, tuned, tmp_path / "out", effort="max")
    assert names(tmp_path) == []


def test_an_exception_of_progress_stops_the_work(large: tuple[Path, Path], tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        bitx.compress(*large, tmp_path / "out", effort="fast", progress=stop)
    assert names(tmp_path) == []


def test_other_threads_run_meanwhile(pair: Pair, large: tuple[Path, Path], tmp_path: Path) -> None:
    ran: list[str] = []

    def compress() -> None:
        bitx.compress(*large, tmp_path / "out")
        ran.append("worker")

    worker = threading.Thread(target=compress)
    worker.start()
    while worker.is_alive() and len(ran) < 1000:
        bitx.inspect(pair.archive)
        ran.append("main")
    worker.join()
    assert ran.index("main") < ran.index("worker")
