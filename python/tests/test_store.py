"""The model store."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import bitx
from conftest import COMMAND, names, tensors_of


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a folder of models: a base, two fine-tunes that come before it, and a stranger."""
    folder = tmp_path_factory.mktemp("hub")
    base, tuned = tensors_of()
    other = {name: tensor.copy() for name, tensor in base.items()}
    other["embed"] += np.float32(1e-5)
    for name, tensors in {
        "a-tuned": tuned,
        "b-tuned": other,
        "m-base": base,
        "z-stranger": tensors_of(7)[0],
    }.items():
        (folder / name).mkdir()
        save_file(tensors, folder / name / "model.safetensors")
        (folder / name / "config.json").write_text(json.dumps({"name": name}))
    return folder


def models_of(hub: Path) -> list[Path]:
    return sorted(hub.iterdir())


def check(store: bitx.Store, hub: Path, tmp_path: Path) -> None:
    """Asserts that the store has every model of the hub, and restores it."""
    assert [model["name"] for model in store.ls()] == names(hub)
    for model in models_of(hub):
        store.get(model.name, tmp_path / "out", replace=True)
        for file in model.iterdir():
            assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes(), file


def test_models_are_added_listed_and_restored(hub: Path, tmp_path: Path) -> None:
    store = bitx.Store(tmp_path / "store", threads=2)
    seen: list[tuple[int, int]] = []
    first = store.add(hub / "m-base", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == first["bytes"]
    second = store.add([hub / "a-tuned"], "org/tuned", effort="fast", progress=True)
    assert second["stored_bytes"] < first["stored_bytes"] / 2 and second["delta_bytes"] > 0
    assert store.add(hub / "m-base")["unchanged"]
    assert store.ls() == [
        {"name": "m-base", "files": 2, "bytes": first["bytes"]},
        {"name": "org/tuned", "files": 2, "bytes": second["bytes"]},
    ]
    assert [file["path"] for file in store.files("org/tuned")] == [
        "config.json",
        "model.safetensors",
    ]
    assert store.get("org/tuned", tmp_path / "out") == store.files("org/tuned")
    for file in (hub / "a-tuned").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
    stats = store.stats()
    assert stats["models"] == 2 and stats["stored_bytes"] < stats["input_bytes"]
    assert 0 < stats["saved"] < 1


def test_a_family_is_planned_and_written(hub: Path, tmp_path: Path) -> None:
    store = bitx.Store(os.fspath(tmp_path / "store"))
    surveys = [store.survey(model) for model in models_of(hub)]
    assert [survey.model for survey in surveys] == names(hub)
    plan = store.plan(surveys)
    assert not (tmp_path / "store").exists()
    waves = {planned.model: planned.wave for planned in plan}
    # The light fine-tune and the base serve each other equally well, and the other one worse.
    assert waves["a-tuned"] == 1 and {waves["m-base"], waves["b-tuned"]} == {0, 1}
    assert store.plan(reversed(surveys)) == plan == store.plan([*surveys, surveys[0]])
    assert [bitx.Planned.parse(planned.line) for planned in plan] == plan
    assert [bitx.Survey.parse(survey.line + "\n") for survey in surveys] == surveys
    added = {planned.model: store.write(planned) for planned in plan}
    tuned = added["a-tuned"]
    assert tuned is not None and tuned["delta_bytes"] > 0
    check(store, hub, tmp_path)
    seen: list[tuple[int, int]] = []
    for planned in plan:
        again = store.write(planned, progress=lambda done, total: seen.append((done, total)))
        assert again is None and seen[-1] == (planned.bytes, planned.bytes)
    # The command reads the same lines.
    (tmp_path / "plan").write_text("".join(f"{planned.line}\n" for planned in plan))
    command = [
        sys.executable,
        "-c",
        COMMAND,
        "store",
        "--root",
        "other",
        "add",
        "--plan",
        "plan",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    check(bitx.Store(tmp_path / "other"), hub, tmp_path)


def test_errors_have_codes_and_files(hub: Path, tmp_path: Path) -> None:
    store, file = bitx.Store(tmp_path / "store"), hub / "m-base" / "model.safetensors"
    reads: list[Callable[[], object]] = [store.ls, store.stats, lambda: store.get("m", tmp_path)]
    for read in reads:
        with pytest.raises(bitx.Error) as error:
            read()
        assert error.value.code == "not-found"
    assert names(tmp_path) == []
    with pytest.raises(bitx.Error) as error:
        store.add(tmp_path / "missing", "m")
    assert error.value.code == "io" and error.value.file == str(tmp_path / "missing")
    store.add(file, "m")
    calls: list[tuple[str, Callable[[], object]]] = [
        ("not-found", lambda: store.get("other", tmp_path / "out")),
        ("not-found", lambda: store.files("other")),
        ("invalid-argument", lambda: store.add(file, "../m")),
        ("invalid-argument", lambda: store.add(file, "m", effort="most")),  # type: ignore[arg-type]
        ("invalid-argument", lambda: store.add([3], "m")),  # type: ignore[list-item]
        ("invalid-argument", lambda: store.add(3, "m")),  # type: ignore[arg-type]
        ("invalid-argument", lambda: store.survey(file, "")),
        ("limit", lambda: store.get("m", tmp_path / "out", max_output=10)),
        ("not-found", lambda: bitx.Store(hub).ls()),
        ("invalid-argument", lambda: bitx.Store(hub).add(file, "m")),
        ("storage", lambda: bitx.Store("s4://bucket").ls()),
        ("failed", lambda: store.add([file, file])),
    ]
    for code, call in calls:
        with pytest.raises(bitx.Error) as error:
            call()
        assert error.value.code == code, error.value
    store.get("m", tmp_path / "out")
    with pytest.raises(bitx.Error, match="exists"):
        store.get("m", tmp_path / "out")
    assert names(tmp_path) == ["out", "store"]


def test_hostile_lines_are_refused(hub: Path, tmp_path: Path) -> None:
    store = bitx.Store(tmp_path / "store")
    survey = store.survey(hub / "m-base")
    (planned,) = store.plan([survey])
    for line in ["", "{}", "[" * 10_000, "null", survey.line[:-9], '{"model":"m","files":[{}]}']:
        for kind in (bitx.Survey, bitx.Planned):
            with pytest.raises(bitx.Error) as error:
                kind.parse(line)
            assert error.value.code == "invalid-argument"
    with pytest.raises(bitx.Error):
        bitx.Planned.parse(survey.line)
    for line in ["", f"{planned.line}\n{planned.line}"]:
        with pytest.raises(bitx.Error, match="one model"):
            store.write(bitx.Planned("m-base", 0, 0, line))
    for line in [planned.line.replace("model.safe", "../x.safe"), survey.line.replace("0", "1", 1)]:
        with pytest.raises(bitx.Error) as error:
            store.write(bitx.Planned("m-base", 0, 0, line))
        assert error.value.code == "invalid-argument"
        with pytest.raises(bitx.Error) as error:
            store.plan([bitx.Survey("m-base", 0, line)])
        assert error.value.code == "invalid-argument"
    assert not (tmp_path / "store").exists()
    copied = tmp_path / "m-base"
    shutil.copytree(hub / "m-base", copied)
    (planned,) = store.plan([store.survey(copied)])
    (copied / "config.json").write_text("changed")
    with pytest.raises(bitx.Error) as error:
        store.write(planned)
    assert error.value.code == "io" and error.value.file == str(copied / "config.json")
    assert store.ls() == []


def _work(store: bitx.Store, model: str, results: multiprocessing.SimpleQueue[object]) -> None:
    results.put((store.add(model)["bytes"], len(store.ls())))


def test_a_forked_process_goes_on(hub: Path, tmp_path: Path) -> None:
    store = bitx.Store(tmp_path / "store")
    added = store.add(hub / "m-base")
    context = multiprocessing.get_context("fork")
    results: multiprocessing.SimpleQueue[object] = context.SimpleQueue()
    # The parent is at work in another thread while the process is forked.
    busy = threading.Thread(target=store.add, args=(hub / "z-stranger",))
    busy.start()
    process = context.Process(target=_work, args=(store, str(hub / "a-tuned"), results))
    process.start()
    process.join()
    busy.join()
    assert process.exitcode == 0 and results.get() in [
        (added["bytes"] + 1, 2),
        (added["bytes"] + 1, 3),
    ]
    again = pickle.loads(pickle.dumps(store))
    assert [model["name"] for model in again.ls()] == ["a-tuned", "m-base", "z-stranger"]


def test_threads_and_processes_share_a_store(hub: Path, tmp_path: Path) -> None:
    store = bitx.Store(tmp_path / "store", threads=1)
    plan = store.plan(store.survey(model) for model in models_of(hub))
    failures: list[BaseException] = []

    def run(order: int) -> None:
        try:
            for planned in sorted(plan, key=lambda planned: (planned.wave, order * hash(planned))):
                store.write(planned)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=run, args=(order,)) for order in (1, -1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    check(store, hub, tmp_path)
    pieces = [path.parent for path in (tmp_path / "store" / "pieces").rglob("*") if path.is_file()]
    assert len(pieces) == len(set(pieces))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a model that takes seconds to store at the highest effort."""
    chance = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("large") / "model.safetensors"
    tensors = {str(i): chance.normal(size=(1024, 1024)).astype(np.float32) for i in range(24)}
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("work", ["add", "write", "survey", "get"])
def test_an_interrupt_stops_and_leaves_nothing(
    work: str, hub: Path, large: Path, tmp_path: Path
) -> None:
    store = bitx.Store(tmp_path / "store", threads=1)
    store.add(hub / "m-base" / "config.json", "first")
    if work == "get":
        store.add(large, "m", effort="fast")
    plan = store.plan([store.survey(large, "m")]) if work == "write" else []
    calls: dict[str, Callable[[Callable[[int, int], object]], object]] = {
        "add": lambda report: store.add(large, "m", effort="max", progress=report),
        "write": lambda report: store.write(plan[0], effort="max", progress=report),
        "survey": lambda report: store.survey(large, "m", progress=report),
        "get": lambda report: store.get("m", tmp_path / "out", progress=report),
    }

    def interrupt(done: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        calls[work](interrupt)
    if work == "get":
        assert not list((tmp_path / "out").rglob("*.*"))
        return
    # A request that was on its way ends by itself.
    while list(tmp_path.rglob("*#*")):
        time.sleep(0.01)
    assert not list(tmp_path.rglob("runs/*")) and not list(tmp_path.rglob("models/m/*"))
    if work in ("add", "write"):
        assert [model["name"] for model in store.ls()] == ["first"]
        assert store.add(large, "m", effort="fast")["bytes"] == large.stat().st_size


def test_other_threads_run_meanwhile(hub: Path, large: Path, tmp_path: Path) -> None:
    store = bitx.Store(tmp_path / "store")
    ran: list[str] = []

    def add() -> None:
        store.add(large, "large")
        ran.append("worker")

    worker = threading.Thread(target=add)
    worker.start()
    while worker.is_alive() and len(ran) < 10_000:
        ran.append("main")
    worker.join()
    assert ran.index("main") < ran.index("worker")
