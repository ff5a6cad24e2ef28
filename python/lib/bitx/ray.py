"""Ingest of many models into a store, over a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from bitx._error import Error, invalid
from bitx._files import Effort, Path
from bitx._progress import Progress, reporting
from bitx._store import Added, Planned, Store, Survey

try:
    import ray
except ImportError as error:
    raise Error("bitx.ray needs the package ray", "unsupported") from error

_T = TypeVar("_T")

#: The codes of errors that another attempt may not meet.
_TRANSIENT = ("storage", "expired")


@dataclass(frozen=True)
class Ingested:
    """The result of an ingest, by the names of the models.

    ``written`` has the figures of the models that were added, ``known`` the names of those that the
    store had already, and ``failed`` the errors of those that are missing. Another ingest of the
    same models writes only what is missing.
    """

    written: dict[str, Added] = field(default_factory=dict)
    known: list[str] = field(default_factory=list)
    failed: dict[str, Error] = field(default_factory=dict)


class _TransientError(Error):
    """An error after which Ray tries a task again."""


@contextmanager
def _retried() -> Iterator[None]:
    try:
        yield
    except Error as error:
        if error.code in _TRANSIENT:
            raise _TransientError(str(error), error.code, error.file, error.tensor) from error
        raise


def _survey(store: Store, name: str, paths: Path | Sequence[Path]) -> Survey:
    with _retried():
        return store.survey(paths, name)


def _plan(store: Store, surveys: list[Survey]) -> list[Planned]:
    with _retried():
        return store.plan(surveys)


def _write(store: Store, planned: Planned, effort: Effort) -> Added | None:
    with _retried():
        return store.write(planned, effort=effort)


class _Tasks:
    """Tasks on the cluster, of which a bounded number is in flight."""

    def __init__(self, in_flight: int | None, retries: int, cpus: int) -> None:
        if in_flight is not None and in_flight < 1:
            raise invalid("at least one task must be in flight")
        self._options = {
            "num_cpus": cpus,
            "max_retries": retries,
            "retry_exceptions": [_TransientError],
        }
        all_ = int(ray.cluster_resources().get("CPU", 1))
        self._in_flight = in_flight or max(2 * all_ // max(cpus, 1), 1)

    def one(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Runs one task, and raises its error."""
        reference = ray.remote(work).options(**self._options).remote(*arguments)
        try:
            result: _T = ray.get(reference)
        except ray.exceptions.RayError as error:
            raise _error_of(error) from error
        except BaseException:
            _cancel([reference])
            raise
        return result

    def each(
        self, work: Callable[..., _T], calls: Iterable[tuple[str, tuple[Any, ...]]]
    ) -> Iterator[tuple[str, _T | Error]]:
        """Runs a task for each call, and yields names with results or errors as tasks end."""
        task = ray.remote(work).options(**self._options)
        names: dict[Any, str] = {}
        rest = iter(calls)
        try:
            while True:
                while len(names) < self._in_flight and (call := next(rest, None)) is not None:
                    name, arguments = call
                    names[task.remote(*arguments)] = name
                if not names:
                    return
                (done,), _ = ray.wait(list(names), num_returns=1)
                yield names.pop(done), _result(done)
        finally:
            _cancel(names)


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        return _error_of(error)


def _error_of(error: Exception) -> Error:
    """Returns the error of a task, or one for a task that Ray has given up."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Error):
        return Error(str(cause), cause.code, cause.file, cause.tensor)
    return Error(str(error).strip().splitlines()[-1], "failed")


def _cancel(references: Iterable[Any]) -> None:
    """Stops tasks that nobody waits for any longer."""
    for reference in references:
        ray.cancel(reference)


def ingest(
    store: Store | Path,
    models: Mapping[str, Path | Sequence[Path]],
    *,
    effort: Effort = "default",
    in_flight: int | None = None,
    retries: int = 3,
    cpus: int = 1,
    progress: Progress = False,
) -> Ingested:
    """Surveys, plans and writes models, given as files and folders by their names.

    The paths and the store must be within the reach of every node. A task works on one model with
    ``cpus`` threads, and at most ``in_flight`` tasks are submitted at a time (two for each that the
    cluster has room for). A task whose node dies, or whose storage fails, is tried again up to
    ``retries`` times. What is in the store already is not written again, so that an ingest that
    broke off is resumed by another call.

    ``progress`` shows a bar of tqdm for each step, or is called with the number of models that are
    done and of all. Models that fail do not hold up the others: see ``Ingested.failed``.
    """
    if not ray.is_initialized():
        ray.init()
    root = store.root if isinstance(store, Store) else store
    target, tasks, result = Store(root, threads=cpus), _Tasks(in_flight, retries, cpus), Ingested()
    surveys = []
    with reporting(progress, "survey", "models") as report:
        calls = ((name, (target, name, paths)) for name, paths in models.items())
        for number, (name, survey) in enumerate(tasks.each(_survey, calls), 1):
            if isinstance(survey, Error):
                result.failed[name] = survey
            else:
                surveys.append(survey)
            if report is not None:
                report(number, len(models))
    plan = tasks.one(_plan, target, surveys) if surveys else []
    with reporting(progress, "write", "models") as report:
        _write_all(tasks, target, plan, effort, result, report)
    return result


def _write_all(
    tasks: _Tasks,
    store: Store,
    plan: list[Planned],
    effort: Effort,
    result: Ingested,
    report: Callable[[int, int], object] | None,
) -> None:
    """Writes the models of a plan, wave by wave."""
    done = 0
    for _, wave in groupby(plan, key=lambda planned: planned.wave):
        calls = ((planned.model, (store, planned, effort)) for planned in wave)
        for name, added in tasks.each(_write, calls):
            done += 1
            if isinstance(added, Error):
                result.failed[name] = added
            elif added is None:
                result.known.append(name)
            else:
                result.written[name] = added
            if report is not None:
                report(done, len(plan))
