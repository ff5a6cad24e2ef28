"""Model folders, and merging adapters."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bitx
from conftest import names, tensors_of

#: Models that PEFT merged.
ADAPTERS = Path(__file__).parents[2] / "tests" / "vectors" / "adapters"


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Makes the folders of a base and of a fine-tune, which are sharded in different ways."""
    folder = tmp_path_factory.mktemp("folders")
    for name, tensors, cut in zip(("base", "tuned"), tensors_of(), (3, 5), strict=True):
        (folder / name / "sub").mkdir(parents=True)
        keys = sorted(tensors)
        for number, some in enumerate((keys[:cut], keys[cut:])):
            shard = {key: tensors[key] for key in some}
            save_file(shard, folder / name / f"model-{number}.safetensors")
        (folder / name / "config.json").write_text('{"layers": 2}')
        (folder / name / "sub" / "notes.txt").write_text(f"the notes of {name}\n" * 30)
    return folder / "base", folder / "tuned"


def content(folder: Path) -> dict[str, bytes]:
    """Returns the files of a folder by their paths."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_is_compressed_and_restored(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = folders
    seen: list[tuple[int, int]] = []
    made = bitx.compress(
        base, tuned, tmp_path / "a", progress=lambda done, total: seen.append((done, total))
    )
    assert isinstance(made, bitx.FolderReport)
    assert seen[-1][0] == seen[-1][1] == made.restored_bytes
    assert made.stored_bytes < made.restored_bytes / 2
    assert set(made.files) == set(content(tuned))
    assert {file.path for file in made.bases} <= set(content(base))
    assert bitx.inspect(str(tmp_path / "a")) == made
    assert bitx.verify([base], tmp_path / "a") == made
    restored = bitx.restore(base, tmp_path / "a", tmp_path / "out")
    assert restored == made
    assert content(tmp_path / "out") == content(tuned)


def test_one_file_of_a_folder_of_archives(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = folders
    made = bitx.compress(base, tuned, tmp_path / "a")
    assert isinstance(made, bitx.FolderReport)
    archive = tmp_path / "a" / "model-0.safetensors.bitx"
    needed = bitx.inspect(archive).bases
    paths = [
        base / str(file.path) for file in made.bases if file.blake3 in {b.blake3 for b in needed}
    ]
    bitx.restore(paths, archive, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == (tuned / "model-0.safetensors").read_bytes()


def test_the_distance_of_folders(folders: tuple[Path, Path]) -> None:
    compared = bitx.distance(*folders)
    assert compared["verdict"] == "useful" and compared["total"]["tensors"] == 8
    assert bitx.distance(folders[0], folders[0])["verdict"] == "equal"


def test_an_existing_folder_stays(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = folders
    bitx.compress(base, tuned, tmp_path / "a")
    with pytest.raises(bitx.Error, match="force") as error:
        bitx.compress(base, tuned, tmp_path / "a")
    assert error.value.code == "invalid-argument"
    bitx.compress(base, tuned, tmp_path / "a", replace=True, effort="fast", threads=1)
    assert names(tmp_path) == ["a"]


def test_what_does_not_fit_a_folder_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = folders
    bitx.compress(base, tuned, tmp_path / "a")
    calls: list[Callable[[], object]] = [
        lambda: bitx.compress(base, tuned, tmp_path / "b", level=3),
        lambda: bitx.compress(io.BytesIO(b"x"), tuned, tmp_path / "b"),
        lambda: bitx.compress(base, tuned / "config.json", tmp_path / "b"),
        lambda: bitx.restore(base, tmp_path / "a" / "config.json.bitx", tmp_path / "b"),
        lambda: bitx.verify(base, tmp_path / "a" / "config.json.bitx"),
        lambda: bitx.merge(base, tuned, tmp_path / "b", config=b"{}"),
    ]
    for call in calls:
        with pytest.raises(bitx.Error) as error:
            call()
        assert error.value.code == "invalid-argument"
    with pytest.raises(bitx.Error, match="max-output") as error:
        bitx.restore(base, tmp_path / "a", tmp_path / "b", max_output=1000)
    assert error.value.code == "limit"
    with pytest.raises(bitx.Error) as error:
        bitx.inspect(base)
    assert error.value.code == "format" and error.value.file == str(base)
    assert names(tmp_path) == ["a"]


def test_hostile_manifests_write_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = folders
    bitx.compress(base, tuned, tmp_path / "a")
    manifest = tmp_path / "a" / "bitx.json"
    sound = json.loads(manifest.read_text())
    for path in ["../out", "/tmp/out", "a/../../out", "C:\\out", ""]:
        sound["files"][0]["file"]["path"] = path
        manifest.write_text(json.dumps(sound))
        with pytest.raises(bitx.Error) as error:
            bitx.restore(base, tmp_path / "a", tmp_path / "restored")
        assert error.value.code == "corrupt" and error.value.file == str(manifest)
    assert names(tmp_path) == ["a"]


def test_another_base_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = folders
    bitx.compress(base, tuned, tmp_path / "a")
    with pytest.raises(bitx.Error) as error:
        bitx.restore(tuned, tmp_path / "a", tmp_path / "out")
    assert error.value.code == "base-mismatch"
    assert names(tmp_path) == ["a"]


def test_an_interrupt_leaves_no_folder(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    weights = {str(i): random.normal(0, 0.05, (1024, 1024)).astype(np.float32) for i in range(40)}
    for name, change in (("base", 0), ("tuned", 1)):
        (tmp_path / name).mkdir()
        tensors = {key: value + np.float32(1e-4 * change) for key, value in weights.items()}
        save_file(tensors, tmp_path / name / "model.safetensors")
    program = (
        "import bitx, sys\n"
        "def said(done, total):\n    print(done, flush=True)\n"
        f"bitx.compress({str(tmp_path / 'base')!r}, {str(tmp_path / 'tuned')!r}, "
        f"{str(tmp_path / 'a')!r}, effort='max', threads=1, progress=said)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert b"KeyboardInterrupt" in errors, errors
    assert names(tmp_path) == ["base", "tuned"]


@pytest.mark.parametrize("name", ["f32", "bf16", "f32-transposed"])
def test_merging_gives_what_peft_gives(name: str, tmp_path: Path) -> None:
    vector = ADAPTERS / name
    merged = bitx.merge(vector / "base.safetensors", vector, tmp_path / "merged")
    assert (tmp_path / "merged").read_bytes() == (vector / "merged.safetensors").read_bytes()
    assert merged.files == 1 and merged.bytes == (tmp_path / "merged").stat().st_size
    assert len(merged.tensors) >= 3


def test_file_objects_are_merged(tmp_path: Path) -> None:
    vector = ADAPTERS / "f32"
    with open(vector / "base.safetensors", "rb") as base:
        factors = (vector / "adapter_model.safetensors").read_bytes()
        config = (vector / "adapter_config.json").read_bytes()
        bitx.merge(base, io.BytesIO(factors), tmp_path / "merged", config=config)
    assert (tmp_path / "merged").read_bytes() == (vector / "merged.safetensors").read_bytes()
    with pytest.raises(bitx.Error, match="config is missing"):
        bitx.merge(vector / "base.safetensors", factors, tmp_path / "b")
    with pytest.raises(bitx.Error) as error:
        bitx.merge(vector / "base.safetensors", factors, tmp_path / "b", config=b"[]")
    assert error.value.code == "format"
    assert names(tmp_path) == ["merged"]


def test_a_folder_of_shards_is_merged(tmp_path: Path) -> None:
    vector = ADAPTERS / "f32"
    (tmp_path / "base").mkdir()
    tensors = load_file(vector / "base.safetensors")
    for number, name in enumerate(tensors):
        save_file({name: tensors[name]}, tmp_path / "base" / f"{number}.safetensors")
    (tmp_path / "base" / "config.json").write_text("{}")
    merged = bitx.merge(tmp_path / "base", vector, tmp_path / "out")
    assert merged.files == len(tensors) + 1
    expected = load_file(vector / "merged.safetensors")
    for number, name in enumerate(tensors):
        shard = load_file(tmp_path / "out" / f"{number}.safetensors")
        assert np.array_equal(shard[name], expected[name]), name
    assert (tmp_path / "out" / "config.json").read_text() == "{}"
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(bitx.Error):
        bitx.merge(tmp_path / "base", ADAPTERS / "f32-transposed", tmp_path / "out")
    assert names(tmp_path) == ["base"]


def test_an_adapter_in_the_base_predicts_the_merged_model(tmp_path: Path) -> None:
    vector = ADAPTERS / "f32"
    base = [vector / "base.safetensors", vector / "adapter_model.safetensors"]
    target = vector / "merged.safetensors"
    made = bitx.compress(base, target, tmp_path / "a")
    assert made.stored_bytes * 4 < bitx.compress(base[:1], target, tmp_path / "b").stored_bytes
    bitx.restore(base, tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == target.read_bytes()
    bitx.compress(base, target, tmp_path / "v1", level=3)
