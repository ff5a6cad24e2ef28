"""Checkpoints of a ``transformers.Trainer`` as deltas."""

from __future__ import annotations

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from bitx._error import Error, invalid
from bitx._files import Effort, compress, restore

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise Error("bitx.transformers needs the package transformers", "unsupported") from error

#: The file in a checkpoint's folder that names the folder of its base.
_NOTE = "bitx.json"

_WEIGHTS = ".safetensors"


class DeltaCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Keeps the weights of all checkpoints but the last as deltas.

    The last checkpoint is whole, so that the trainer can resume from it. When the next one is
    saved, it becomes a delta: against the first checkpoint, which stays whole, or with
    ``against="next"`` against the new one. ``keep`` is the number of checkpoints to keep; the
    callback removes the oldest ones, so leave the trainer's ``save_total_limit`` unset: the trainer
    would remove bases as well.
    """

    def __init__(
        self,
        against: Literal["first", "next"] = "first",
        *,
        keep: int | None = None,
        effort: Effort = "fast",
        threads: int | None = None,
    ) -> None:
        if against not in ("first", "next"):
            raise invalid(f"against is 'first' or 'next', not {against!r}")
        if keep is not None and keep < 1:
            raise invalid("at least one checkpoint must be kept")
        self._against = against
        self._keep = keep
        self._effort: Effort = effort
        self._threads = threads

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Refuses settings that would remove bases."""
        if args.save_total_limit is not None:
            raise invalid("leave save_total_limit unset: the callback removes checkpoints by keep")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Turns the checkpoint before the new one into a delta, and removes the oldest ones."""
        if not state.is_world_process_zero:
            return
        new = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        _forget(new)
        checkpoints = _checkpoints_until(new)
        if len(checkpoints) > 1:
            base = checkpoints[0] if self._against == "first" else checkpoints[-1]
            last = checkpoints[-2]
            if last != base and not (last / _NOTE).exists():
                self._shrink(last, base)
        if self._keep is not None:
            removable = checkpoints[1:] if self._against == "first" else checkpoints
            kept = self._keep - (len(checkpoints) - len(removable))
            for old in removable[: max(len(removable) - max(kept, 1), 0)]:
                shutil.rmtree(old)

    def _shrink(self, folder: Path, base: Path) -> None:
        """Replaces the weights of a checkpoint by deltas."""
        weights = [
            file for file in sorted(folder.glob(f"*{_WEIGHTS}")) if (base / file.name).exists()
        ]
        for file in weights:
            archive = file.with_name(f"{file.name}.bitx")
            compress(
                base / file.name,
                file,
                archive,
                effort=self._effort,
                replace=True,
                threads=self._threads,
            )
        # The note comes before the weights go, so that the base is known whenever they are missing.
        _write(folder / _NOTE, json.dumps({"base": base.name}))
        for file in weights:
            file.unlink()


def restore_checkpoint(folder: str | os.PathLike[str], *, threads: int | None = None) -> str:
    """Makes a checkpoint whole, and the checkpoints that it needs. Returns its folder.

    Restore a checkpoint before the trainer resumes from it: no checkpoint that the trainer may
    write anew is then the base of another one.
    """
    path = Path(folder)
    chain = [path]
    while (note := chain[-1] / _NOTE).exists():
        base = path.parent / Path(_base_in(note)).name
        if base in chain:
            raise Error(f"{note}: the checkpoints are bases of each other", "corrupt", str(note))
        chain.append(base)
    for tuned, base in reversed(list(pairwise(chain))):
        for archive in _archives(tuned):
            out = archive.with_suffix("")
            if not out.exists():
                restore(base / out.name, archive, out, threads=threads)
        _forget(tuned)
    return str(path)


def _archives(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{_WEIGHTS}.bitx"))


def _forget(folder: Path) -> None:
    """Removes the traces of a delta from a checkpoint that is whole."""
    (folder / _NOTE).unlink(missing_ok=True)
    for archive in _archives(folder):
        archive.unlink()


def _base_in(note: Path) -> str:
    try:
        base = json.loads(note.read_text())["base"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Error(f"{note}: {error}", "corrupt", str(note)) from error
    if not isinstance(base, str) or not Path(base).name:
        raise Error(f"{note}: it names no base", "corrupt", str(note))
    return base


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(text)
    temporary.replace(path)


def _checkpoints_until(new: Path) -> list[Path]:
    """Returns the folders of all checkpoints up to a new one, the oldest first."""
    numbered = []
    for path in new.parent.glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        if number.isdecimal() and path.is_dir():
            numbered.append((int(number), path))
    paths = [path for _, path in sorted(numbered)]
    return paths[: paths.index(new) + 1] if new in paths else []
