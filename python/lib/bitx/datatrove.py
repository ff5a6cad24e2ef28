"""Ingest of many models into a store, by datatrove: on one machine or on a Slurm cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from bitx._error import Error, invalid
from bitx._files import Effort
from bitx._files import Path as AnyPath
from bitx._store import Planned, Store, Survey

try:
    from datatrove.pipeline.base import PipelineStep
except ImportError as error:
    raise Error("bitx.datatrove needs the package datatrove", "unsupported") from error

_T = TypeVar("_T")

#: The waves that a plan has at most.
WAVES = 8

#: The codes of errors that another run of a task may not meet.
_TRANSIENT = ("storage", "expired")

_PLAN = "plan.jsonl"


class _Step(PipelineStep):  # type: ignore[misc, unused-ignore]
    """A step whose tasks share a store and a folder of lists. Documents pass through it."""

    type = "bitx"

    def __init__(self, store: Store | AnyPath, folder: AnyPath, threads: int) -> None:
        super().__init__()
        root = store.root if isinstance(store, Store) else store
        self.store = Store(root, threads=threads)
        self.folder = Path(folder)

    def run(self, data: Iterable[Any] | None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Does the share of one task."""
        yield from data or ()
        with self.track_time("task"):
            self._work(rank, world_size)

    def _work(self, rank: int, world_size: int) -> None:
        raise NotImplementedError

    def _tried(self, name: str, failed: list[str], work: Callable[[], _T]) -> _T | None:
        """Returns the result of the work on a model. A failure is listed, unless it may pass."""
        try:
            return work()
        except Error as error:
            if error.code in _TRANSIENT:
                raise
            self.stat_update("failed", unit="task")
            failed.append(json.dumps({"model": name, "code": error.code, "error": str(error)}))
            return None


class SurveyModels(_Step):
    """Surveys models, given as files and folders by their names, each task a share of them.

    The folder is one that all tasks reach. It gets the surveys, and the list ``failed`` of models
    that cannot be read. The store is not needed.
    """

    name = "survey"

    def __init__(
        self,
        models: Mapping[str, AnyPath | Sequence[AnyPath]],
        folder: AnyPath,
        *,
        threads: int = 1,
    ) -> None:
        super().__init__("", folder, threads)
        self.models = dict(models)

    def _work(self, rank: int, world_size: int) -> None:
        lines: list[str] = []
        failed: list[str] = []
        for name, paths in islice(self.models.items(), rank, None, world_size):
            survey = self._tried(name, failed, partial(self.store.survey, paths, name))
            if survey is not None:
                lines.append(survey.line)
                self.stat_update("surveyed", unit="task")
        _write(self.folder / "surveys" / _share(rank, world_size), lines)
        _write(self.folder / "failed" / f"survey-{_share(rank, world_size)}", failed)


class PlanModels(_Step):
    """Plans the writing of the surveyed models. Run it as one task."""

    name = "plan"

    def __init__(self, store: Store | AnyPath, folder: AnyPath, *, threads: int = 1) -> None:
        super().__init__(store, folder, threads)

    def _work(self, rank: int, world_size: int) -> None:
        if rank == 0:
            surveys = [Survey.parse(line) for line in self._surveys()]
            _write(self.folder / _PLAN, [planned.line for planned in self.store.plan(surveys)])
            self.stat_update("planned", value=len(surveys), unit="task")

    def _surveys(self) -> list[str]:
        folder = self.folder / "surveys"
        files = sorted(path.name for path in folder.glob("*.jsonl"))
        world_size = int(files[0][-11:-6]) if files and files[0][-11:-6].isdecimal() else 0
        if files != [_share(rank, world_size) for rank in range(world_size)] or not files:
            raise invalid(f"{folder}: not the surveys of all tasks of one run: {', '.join(files)}")
        return [line for file in files for line in _read(folder / file)]


class WriteModels(_Step):
    """Writes one wave of the plan, each task a share of its models.

    The tasks of a wave come after all tasks of the wave before it. A model that the store has is
    skipped, so that a task that broke off may run again. The list ``failed`` names the models that
    cannot be written.
    """

    name = "write"

    def __init__(
        self,
        store: Store | AnyPath,
        folder: AnyPath,
        wave: int,
        *,
        effort: Effort = "default",
        threads: int = 1,
    ) -> None:
        super().__init__(store, folder, threads)
        self.wave = wave
        self.effort: Effort = effort

    def _work(self, rank: int, world_size: int) -> None:
        plan = map(Planned.parse, _read(self.folder / _PLAN))
        wave = (planned for planned in plan if planned.wave == self.wave)
        failed: list[str] = []
        for planned in islice(wave, rank, None, world_size):
            written = self._tried(planned.model, failed, partial(self._write, planned))
            if written is not None:
                self.stat_update("written" if written else "known", unit="task")
        name = f"wave-{self.wave}-{_share(rank, world_size)}"
        _write(self.folder / "failed" / name, failed)

    def _write(self, planned: Planned) -> bool:
        return self.store.write(planned, effort=self.effort) is not None


def steps(
    store: Store | AnyPath,
    models: Mapping[str, AnyPath | Sequence[AnyPath]],
    folder: AnyPath,
    *,
    effort: Effort = "default",
    threads: int = 1,
) -> list[_Step]:
    """Returns the steps of an ingest, each for an executor that depends on the one before it: the
    survey, the plan, and the waves.

    A wave that a plan does not have ends at once. The plan takes one task.
    """
    waves = (
        WriteModels(store, folder, wave, effort=effort, threads=threads) for wave in range(WAVES)
    )
    return [
        SurveyModels(models, folder, threads=threads),
        PlanModels(store, folder, threads=threads),
        *waves,
    ]


def _share(rank: int, world_size: int) -> str:
    return f"{rank:05}-of-{world_size:05}.jsonl"


def _read(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").split("\n")[:-1]
    except OSError as error:
        raise Error(f"{path}: {error}", "io", str(path)) from error


def _write(path: Path, lines: list[str]) -> None:
    """Writes a list, which appears as a whole and replaces that of an earlier run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    part.replace(path)
