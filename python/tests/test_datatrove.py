"""Ingest by datatrove. Every task is a process of its own, as on a Slurm cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bitx
from hubs import check, make

pytest.importorskip("datatrove")
from datatrove.executor import LocalPipelineExecutor

from bitx.datatrove import WAVES, PlanModels, SurveyModels, WriteModels, steps

#: Runs one task of one step. Its arguments are a folder, the numbers of step and task, and tasks.
TASK = """
import json, sys
from datatrove.executor import LocalPipelineExecutor
from bitx.datatrove import steps

folder, step, rank, tasks, effort = sys.argv[1:]
models = json.load(open(f"{folder}/models.json"))
pipeline = [steps(f"{folder}/store", models, f"{folder}/lists", effort=effort)[int(step)]]
LocalPipelineExecutor(
    pipeline, tasks=int(tasks), workers=1, logging_dir=f"{folder}/logs/{step}", local_tasks=1,
    local_rank_offset=int(rank),
).run()
"""

#: Comes before `TASK`: the task is killed a moment after it began to write its second model, and
#: at the latest when it has written it. Its group has the processes that datatrove starts, too.
KILLED = """
import os, signal, threading
from bitx.datatrove import WriteModels

begun, write = [], WriteModels._write

def write_and_die(step, planned):
    begun.append(planned.model)
    if len(begun) == 2:
        threading.Timer(0.02, os.killpg, (os.getpid(), signal.SIGKILL)).start()
    written = write(step, planned)
    if len(begun) == 2:
        signal.pause()
    return written

WriteModels._write = write_and_die
"""

SURVEY, PLAN, FIRST_WAVE = range(3)


class Cluster:
    """Runs the tasks of the steps of one ingest."""

    def __init__(self, folder: Path, models: dict[str, Path], effort: bitx.Effort) -> None:
        self.folder, self.effort = folder, effort
        paths = {name: str(path) for name, path in models.items()}
        (folder / "models.json").write_text(json.dumps(paths))

    def start(
        self, step: int, rank: int, tasks: int, program: str = TASK
    ) -> subprocess.Popen[bytes]:
        arguments = [str(self.folder), str(step), str(rank), str(tasks), self.effort]
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def run(self, step: int, tasks: int) -> list[int]:
        """Runs all tasks at once, and returns their exit codes."""
        started = [self.start(step, rank, tasks) for rank in range(tasks)]
        return [task.wait() for task in started]

    def completed(self, step: int) -> list[str]:
        folder = self.folder / "logs" / str(step) / "completions"
        return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("hub"))


def run(step: Any, folder: Path, tasks: int = 1) -> Any:
    return LocalPipelineExecutor([step], tasks=tasks, workers=1, logging_dir=str(folder)).run()


def test_a_task_that_is_killed_runs_again(hub: dict[str, Path], tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, hub, "max")
    store = bitx.Store(tmp_path / "store")
    assert cluster.run(SURVEY, 3) == [0, 0, 0] and cluster.run(PLAN, 1) == [0]
    killed = [cluster.start(FIRST_WAVE, 0, 2, KILLED + TASK), cluster.start(FIRST_WAVE, 1, 2)]
    assert [task.wait() for task in killed] == [-signal.SIGKILL, 0]
    assert cluster.completed(FIRST_WAVE) == ["00001"]
    for wave in range(WAVES):
        assert cluster.run(FIRST_WAVE + wave, 2) == [0, 0]
        assert cluster.completed(FIRST_WAVE + wave) == ["00000", "00001"]
    check(store, hub, tmp_path)
    # An ingest whose logs are lost writes nothing again.
    before = sorted(tmp_path.glob("store/**/*"))
    for wave in range(WAVES):
        run(WriteModels(store, tmp_path / "lists", wave), tmp_path / f"again-{wave}", 2)
    assert sorted(tmp_path.glob("store/**/*")) == before


def test_the_plan_has_the_waves_of_the_store(hub: dict[str, Path], tmp_path: Path) -> None:
    store = bitx.Store(tmp_path / "store")
    survey, plan, *waves = steps(store, hub, tmp_path / "lists")
    run(survey, tmp_path / "0", 4)
    run(plan, tmp_path / "1")
    planned = store.plan([store.survey(path, name) for name, path in hub.items()])
    lines = (tmp_path / "lists" / "plan.jsonl").read_text().splitlines()
    assert lines == [model.line for model in planned]
    assert max(model.wave for model in planned) < WAVES == len(waves)


def test_models_that_fail_hold_up_no_others(hub: dict[str, Path], tmp_path: Path) -> None:
    store, lists = bitx.Store(tmp_path / "store"), tmp_path / "lists"
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "model.safetensors").write_bytes((hub["stranger"] / "model.safetensors").read_bytes())
    models = {"missing": tmp_path / "missing", "x/base": hub["x/base"], "gone": gone}
    run(SurveyModels(models, lists), tmp_path / "0", 2)
    run(PlanModels(store, lists), tmp_path / "1")
    (gone / "model.safetensors").unlink()
    run(WriteModels(store, lists, 0), tmp_path / "2")
    assert [model["name"] for model in store.ls()] == ["x/base"]
    failed = [
        json.loads(line)
        for file in sorted((lists / "failed").iterdir())
        for line in file.read_text().splitlines()
    ]
    assert {(model["model"], model["code"]) for model in failed} == {
        ("missing", "io"),
        ("gone", "io"),
    }


def test_documents_pass_through(hub: dict[str, Path], tmp_path: Path) -> None:
    step = SurveyModels({"x/base": hub["x/base"]}, tmp_path)
    assert list(step.run(iter("abc"))) == ["a", "b", "c"]
    assert len(list((tmp_path / "surveys").iterdir())) == 1


def test_plans_need_the_surveys_of_all_tasks(hub: dict[str, Path], tmp_path: Path) -> None:
    store, lists, surveys = tmp_path / "store", tmp_path / "lists", tmp_path / "lists" / "surveys"

    def plan() -> None:
        list(PlanModels(store, lists).run(None))

    def refused() -> bool:
        with pytest.raises(bitx.Error) as caught:
            plan()
        return caught.value.code == "invalid-argument" and not (lists / "plan.jsonl").exists()

    assert refused()
    for rank in (0, 2):
        list(SurveyModels(hub, lists).run(None, rank, 3))
    assert refused()
    list(SurveyModels(hub, lists).run(None, 1, 3))
    (surveys / "00000-of-00002.jsonl").write_text("")
    assert refused()
    (surveys / "00000-of-00002.jsonl").unlink()
    whole = (surveys / "00001-of-00003.jsonl").read_text()
    for damaged in ("{}\n", "\n", whole[: len(whole) // 2]):
        (surveys / "00001-of-00003.jsonl").write_text(damaged + "\n")
        assert refused()
    (surveys / "00001-of-00003.jsonl").write_text(whole)
    plan()
    # A part of a list that a killed task left is no list.
    (surveys / "00000-of-00003.jsonl.1.part").write_text("{")
    plan()
    (lists / "plan.jsonl").unlink()
    with pytest.raises(bitx.Error) as caught:
        list(WriteModels(store, lists, 0).run(None))
    assert caught.value.code == "io"
