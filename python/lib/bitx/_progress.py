"""Progress of long calls: a bar of tqdm, or calls of a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: ``True`` shows a bar where tqdm is installed; a function gets the bytes done and the bytes to do.
Progress = bool | Callable[[int, int], object]


@contextmanager
def reporting(
    progress: Progress, name: str, unit: str = "B"
) -> Iterator[Callable[[int, int], object] | None]:
    """Yields the function to call with the bytes, or other units, done and to do, or ``None``."""
    if callable(progress):
        yield progress
        return
    bar = _bar(name, unit) if progress else None
    if bar is None:
        yield None
        return

    def update(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield update


def _bar(name: str, unit: str) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(desc=name, unit=unit, unit_scale=True)
