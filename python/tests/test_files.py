"""Whole files, by path, in memory, and as file objects."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

import bitx
from conftest import VECTORS, Pair, names


def test_a_restored_file_is_the_target(pair: Pair, tmp_path: Path) -> None:
    report = bitx.restore(pair.base, pair.archive, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == pair.target.read_bytes()
    assert report == bitx.inspect(pair.archive)
    assert report.version == 2 and report.restored_bytes == pair.target.stat().st_size
    assert {tensor.name for tensor in report.tensors} >= {"embed", "mask"}


@pytest.mark.parametrize(
    ("options", "version"), [({"effort": "fast"}, 2), ({"effort": "max"}, 2), ({"level": 1}, 1)]
)
def test_formats_and_efforts(
    pair: Pair, tmp_path: Path, options: dict[str, Any], version: int
) -> None:
    report = bitx.compress(pair.base, pair.target, tmp_path / "a", threads=1, **options)
    assert report.version == version
    bitx.restore(pair.base, tmp_path / "a", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == pair.target.read_bytes()


def test_verify_returns_the_digest_of_the_restored_file(pair: Pair, tmp_path: Path) -> None:
    stated = bitx.inspect(pair.archive).blake3
    assert bitx.verify(pair.base, pair.archive).blake3 == stated
    assert bitx.compress(pair.base, pair.target, tmp_path / "v1", level=1).blake3 is None
    assert bitx.verify(pair.base, tmp_path / "v1").blake3 == stated


def test_a_base_may_have_several_files_in_any_order(pair: Pair, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    shutil.copy(pair.base, other)
    with open(other, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    bitx.compress([other, pair.base], pair.target, tmp_path / "a")
    bitx.restore((pair.base, other), tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == pair.target.read_bytes()


def test_an_archive_without_a_base(pair: Pair, tmp_path: Path) -> None:
    bitx.compress(None, pair.target, tmp_path / "a")
    bitx.restore([], tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == pair.target.read_bytes()


def test_inputs_of_every_kind(pair: Pair, tmp_path: Path) -> None:
    base, target = pair.base.read_bytes(), pair.target.read_bytes()
    (tmp_path / "base.gz").write_bytes(gzip.compress(base, 1))
    with (
        open(pair.base, "rb") as file,
        gzip.open(tmp_path / "base.gz") as unzipped,
        open(pair.base, "rb") as kept,
    ):
        file.seek(100)
        with mmap.mmap(kept.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            sources: list[Any] = [
                base,
                bytearray(base),
                memoryview(base),
                io.BytesIO(base),
                file,
                unzipped,
                mapped,
            ]
            for number, source in enumerate(sources):
                archive, out = tmp_path / f"{number}.bitx", tmp_path / f"{number}.out"
                bitx.compress(source, io.BytesIO(target), archive)
                bitx.restore(source, archive.read_bytes(), out)
                assert out.read_bytes() == target, number
        assert file.tell() >= 0


class _Stream(io.RawIOBase):
    """A stream without positions."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def test_inputs_that_cannot_be_read_by_position_are_refused(pair: Pair) -> None:
    closed, closed_memory, text = (
        open(pair.archive, "rb"),
        io.BytesIO(b"abc"),
        open(pair.archive, encoding="latin-1"),
    )
    closed.close()
    closed_memory.close()
    with text:
        for source, code in [
            (closed, "io"),
            (closed_memory, "io"),
            (_Stream(), "invalid-argument"),
            (text, "invalid-argument"),
            (17, "invalid-argument"),
            (memoryview(b"abcdef")[::2], "invalid-argument"),
        ]:
            with pytest.raises(bitx.Error) as caught:
                bitx.inspect(cast(BinaryIO, source))
            assert caught.value.code == code, source


class _Broken:
    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        return 1000

    def read(self, length: int = -1) -> bytes:
        if length == 0:
            return b""
        raise RuntimeError("broken")


def test_the_exception_of_a_file_object_is_the_cause() -> None:
    with pytest.raises(bitx.Error) as caught:
        bitx.inspect(cast(BinaryIO, _Broken()))
    assert caught.value.code == "io" and "broken" in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_closed_file_object_stays_readable_by_its_descriptor(pair: Pair) -> None:
    file = open(pair.archive, "rb")
    model = bitx.safe_open(file, base=pair.base)
    file.close()
    assert (model.get_tensor("embed") == pair.tensors["embed"]).all()


def test_outputs_are_not_replaced_unasked(pair: Pair, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"old")
    with pytest.raises(bitx.Error) as caught:
        bitx.restore(pair.base, pair.archive, out)
    assert (caught.value.code, caught.value.file, out.read_bytes()) == ("io", str(out), b"old")
    assert isinstance(caught.value.__cause__, FileExistsError)
    bitx.restore(pair.base, pair.archive, out, replace=True)
    assert out.read_bytes() == pair.target.read_bytes()


def test_an_output_is_not_an_input(pair: Pair, tmp_path: Path) -> None:
    copy = tmp_path / "base"
    shutil.copy(pair.base, copy)
    with pytest.raises(bitx.Error, match="one of the inputs"):
        bitx.restore(copy, pair.archive, tmp_path / "." / "base", replace=True)
    assert copy.read_bytes() == pair.base.read_bytes()


def test_failures_leave_no_output(pair: Pair, tmp_path: Path) -> None:
    archive = bytearray(pair.archive.read_bytes())
    archive[len(archive) // 2] ^= 1
    cases: list[tuple[Any, Any, str]] = [
        (pair.base, archive, "corrupt"),
        (pair.target, pair.archive, "base-mismatch"),
        (pair.base, pair.target, "format"),
        (pair.base, archive[:-10], "corrupt"),
        ([], pair.archive, "base-mismatch"),
    ]
    for base, source, code in cases:
        with pytest.raises(bitx.Error) as caught:
            bitx.restore(base, source, tmp_path / "out")
        assert (caught.value.code, names(tmp_path)) == (code, []), str(caught.value)
    with pytest.raises(bitx.Error) as caught:
        bitx.restore(pair.base, pair.archive, tmp_path / "out", max_output=1000)
    assert (caught.value.code, names(tmp_path)) == ("limit", [])


def test_errors_name_the_file_and_the_tensor(pair: Pair, tmp_path: Path) -> None:
    wrong = bytearray(pair.base.read_bytes())
    wrong[len(wrong) // 3] ^= 1
    (tmp_path / "wrong").write_bytes(wrong)
    with pytest.raises(bitx.Error) as caught:
        bitx.verify(tmp_path / "wrong", pair.archive)
    error = caught.value
    assert (error.code, error.file, error.tensor) == (
        "base-mismatch",
        str(tmp_path / "wrong"),
        "embed",
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.code, copy.file, copy.tensor) == (
        str(error),
        error.code,
        error.file,
        error.tensor,
    )
    for path, code in ((tmp_path / "none", "io"), (tmp_path, "format")):
        with pytest.raises(bitx.Error) as caught:
            bitx.inspect(path)
        assert (caught.value.code, caught.value.file) == (code, str(path))


def test_wrong_options(pair: Pair, tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"effort": "none"}, {"level": 99}]
    for options in wrong:
        with pytest.raises(bitx.Error) as caught:
            bitx.compress(pair.base, pair.target, tmp_path / "out", **options)
        assert (caught.value.code, names(tmp_path)) == ("invalid-argument", [])


def test_progress_ends_with_the_whole_model(pair: Pair, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    bitx.compress(
        pair.base,
        pair.target,
        tmp_path / "a",
        progress=lambda done, total: seen.append((done, total)),
    )
    bitx.verify(pair.base, tmp_path / "a", progress=True)
    length = pair.target.stat().st_size
    assert seen[-1] == (length, length)


def test_distance_judges_a_base(pair: Pair) -> None:
    compared = bitx.distance(pair.base, pair.target)
    assert compared["verdict"] == "useful" and compared["total"]["tensors"] == 8
    assert bitx.distance([pair.base], pair.base)["verdict"] == "equal"
    with pytest.raises(bitx.Error) as caught:
        bitx.distance(pair.base, "/no/such/file")
    assert (caught.value.code, caught.value.file) == ("io", "/no/such/file")


@pytest.mark.parametrize("name", ["dtypes", "blocks", "places"])
def test_golden_vectors(name: str, tmp_path: Path) -> None:
    [base] = VECTORS.glob(f"{name}.base.*")
    [target] = VECTORS.glob(f"{name}.target.*")
    bitx.restore(base, VECTORS / f"{name}.default.bitx", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == target.read_bytes()


def test_the_command(pair: Pair, tmp_path: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[bytes]:
        program = "from bitx._command import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *args], capture_output=True, check=False
        )

    out = tmp_path / "out"
    done = run("decompress", str(pair.base), str(pair.archive), "-o", str(out))
    assert done.returncode == 0 and out.read_bytes() == pair.target.read_bytes(), done.stderr
    assert run("--version").stdout.decode() == f"bitx {bitx.__version__}\n"
    assert (run("inspect", "/none").returncode, run("nonsense", "--json").returncode) == (1, 2)
