"""The model store: a folder or a bucket that any number of processes share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from bitx import _native
from bitx._error import Error, invalid
from bitx._files import Effort, Path
from bitx._inputs import path_of
from bitx._progress import Progress, reporting


class StoredModel(TypedDict):
    """A model of a store: its name, the number of its files and their length."""

    name: str
    files: int
    bytes: int


class StoredFile(TypedDict):
    """A file of a stored model, with its BLAKE3 digest."""

    path: str
    bytes: int
    blake3: str


class Added(TypedDict):
    """The figures of a model that was added.

    ``unchanged`` says that the store had the model already. ``known_bytes`` were stored before,
    ``delta_bytes`` are those of new data with a base, and ``stored_bytes`` were written.
    """

    unchanged: bool
    files: int
    bytes: int
    known_bytes: int
    stored_bytes: int
    delta_bytes: int
    warnings: list[str]


class Stats(TypedDict):
    """The sizes of a store, in bytes, after each step that saves space."""

    models: int
    files: int
    tensors: int
    input_bytes: int
    after_file_dedup: int
    after_tensor_dedup: int
    after_coding: int
    delta_input_bytes: int
    delta_bytes: int
    manifest_bytes: int
    sketch_bytes: int
    stored_bytes: int
    saved: float


@dataclass(frozen=True)
class Survey:
    """The survey of a model, from which a plan is made. ``line`` is its form for files."""

    model: str
    bytes: int
    line: str

    @classmethod
    def parse(cls, line: str) -> Survey:
        """Reads the form for files. ``Store.plan`` checks the rest of it."""
        model, files = _fields(line, "a survey")
        return cls(model, sum(file["bytes"] for file in files), line.strip())


@dataclass(frozen=True)
class Planned:
    """A model of a plan. ``line`` is its form for files.

    The models of a ``wave`` are independent of each other, and come after those of earlier waves.
    """

    model: str
    wave: int
    bytes: int
    line: str

    @classmethod
    def parse(cls, line: str) -> Planned:
        """Reads the form for files. ``Store.write`` checks the rest of it."""
        model, files = _fields(line, "a model of a plan")
        wave = json.loads(line).get("wave")
        if not isinstance(wave, int):
            raise invalid("the line is not a model of a plan")
        return cls(model, wave, sum(file["bytes"] for file in files), line.strip())


def _fields(line: str, kind: str) -> tuple[str, list[Any]]:
    try:
        fields = json.loads(line)
        model, files = fields["model"], fields["files"]
        if isinstance(model, str) and all(isinstance(file["bytes"], int) for file in files):
            return model, files
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise invalid(f"the line is not {kind}")


class Store:
    """A store of models: a folder, or the URL of a folder or bucket (``file:``, ``s3:``, ``gs:``,
    ``az:``), whose credentials come from environment variables.

    ``add`` and ``write`` make the store if there is none. Any number of threads and processes may
    use one store at the same time. An object holds no connection and no thread, so it may be
    pickled, and a process that is forked may go on with it.

    The command ``bitx store`` removes, collects, checks and repairs; ``gc`` and ``verify`` take
    ``--part K/N``, so that processes share their work.
    """

    def __init__(self, root: Path, *, threads: int | None = None) -> None:
        self.root = path_of(root)
        self.threads = threads

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def add(
        self,
        paths: Path | Sequence[Path],
        name: str | None = None,
        *,
        effort: Effort = "default",
        progress: Progress = False,
    ) -> Added:
        """Adds files and folders as the model ``name``, replacing the model of that name.

        Without a name, a single path gives it. All of the model appears, or nothing.
        """
        with reporting(progress, "add") as report:
            added = _native.store_add(
                self.root,
                name,
                _paths(paths),
                effort=effort,
                threads=self.threads,
                progress=report,
            )
        return cast(Added, json.loads(added))

    def get(
        self,
        name: str,
        out: Path,
        *,
        replace: bool = False,
        max_output: int | None = None,
        progress: Progress = False,
    ) -> list[StoredFile]:
        """Restores the files of a model to the folder ``out``, and returns them.

        Each file appears when it is complete and its digest is right. Files that exist are replaced
        only with ``replace``. ``max_output`` is the maximum length of all files together.
        """
        with reporting(progress, "get") as report:
            files = _native.store_get(
                self.root,
                name,
                path_of(out),
                replace=replace,
                max_output=max_output,
                threads=self.threads,
                progress=report,
            )
        return cast("list[StoredFile]", json.loads(files))

    def survey(
        self,
        paths: Path | Sequence[Path],
        name: str | None = None,
        *,
        progress: Progress = False,
    ) -> Survey:
        """Reads a model for a plan. The store is not needed, and not touched."""
        with reporting(progress, "survey") as report:
            line = _native.store_survey(name, _paths(paths), threads=self.threads, progress=report)
        return Survey.parse(line)

    def plan(self, surveys: Iterable[Survey]) -> list[Planned]:
        """Plans the writing of surveyed models: which ones come first, and which ones after them
        and against them.

        The plan depends on the surveys and the store alone, and not on the order of the surveys.
        """
        lines = "\n".join(survey.line for survey in surveys)
        plan = _native.store_plan(self.root, lines, threads=self.threads)
        return [Planned.parse(line) for line in plan.splitlines()]

    def write(
        self,
        planned: Planned,
        *,
        effort: Effort = "default",
        progress: Progress = False,
    ) -> Added | None:
        """Writes a model of a plan. Returns ``None`` if the store has it, which reads no file.

        Several processes may write the same model, or models of the same wave, at the same time.
        """
        if len(planned.line.splitlines()) != 1:
            raise invalid("the line is not one model of a plan")
        with reporting(progress, "write") as report:
            written = _native.store_write(
                self.root,
                planned.line,
                effort=effort,
                threads=self.threads,
                progress=report,
            )
        (added,) = json.loads(written)
        return cast("Added | None", added)

    def ls(self) -> list[StoredModel]:
        """Lists the models, ordered by name."""
        return cast("list[StoredModel]", json.loads(_native.store_ls(self.root)))

    def files(self, name: str) -> list[StoredFile]:
        """Lists the files of a model, ordered by path."""
        return cast("list[StoredFile]", json.loads(_native.store_files(self.root, name)))

    def stats(self) -> Stats:
        """Returns how much space each step saves: equal files, equal tensors, coding."""
        return cast(Stats, json.loads(_native.store_stats(self.root)))


def _paths(paths: Path | Sequence[Path]) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [path_of(paths)]
    try:
        return [path_of(path) for path in paths]
    except TypeError as error:
        raise Error(f"the files of a model are paths: {error}", "invalid-argument") from error
