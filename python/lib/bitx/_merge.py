"""Merging LoRA adapters: a computation, and no restore."""

from __future__ import annotations

import os
from typing import cast

from bitx import _native
from bitx._error import invalid
from bitx._files import Path
from bitx._folders import is_folder, paths_of
from bitx._inputs import Source, input_of, path_of
from bitx._progress import Progress, reporting
from bitx._report import MergeReport

#: The names of an adapter's files in its folder.
FACTORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def merge(
    base: Source,
    adapter: Source,
    out: Path,
    *,
    config: Source | None = None,
    replace: bool = False,
    threads: int | None = None,
    progress: Progress = False,
) -> MergeReport:
    """Computes the model of ``base`` and a LoRA ``adapter`` of PEFT, in the layout of the base.

    ``base`` is a safetensors file or a folder of shards, whose other files are copied. ``adapter``
    is the folder of PEFT, or the file of factors with its ``config``, which is by default the
    ``adapter_config.json`` beside it.

    This is a computation and not a restore: no archive tells which bytes the model must have.
    Compare it with a published digest if it must be a certain file. The output appears when it is
    complete, or not at all; it replaces a file only with ``replace``.
    """
    if is_folder(base):
        if config is not None:
            raise invalid("with a folder as base, the configuration lies beside the adapter")
        folder, place = paths_of([base, adapter])
        with reporting(progress, "merge") as report:
            files, length, tensors = _native.merge_folder(
                folder, place, path_of(out), replace=replace, threads=threads, progress=report
            )
        return MergeReport(files, length, tuple(tensors))
    adapter, config = _adapter(adapter, config)
    model, factors, settings = (
        input_of(source, watched=True) for source in (base, adapter, config)
    )
    with reporting(progress, "merge") as report:
        content = _native.merge(
            model,
            factors,
            settings,
            path_of(out),
            replace=replace,
            threads=threads,
            progress=report,
        )
    names = tuple(tensor["name"] for tensor in content["tensors"])
    return MergeReport(1, content["restored_bytes"], names)


def _adapter(adapter: Source, config: Source | None) -> tuple[Source, Source]:
    """Returns the factors of an adapter, and its configuration."""
    if is_folder(adapter):
        folder = path_of(cast(Path, adapter))
        adapter = os.path.join(folder, FACTORS)
    if config is not None:
        return adapter, config
    if not isinstance(adapter, str | os.PathLike):
        raise invalid(
            "the adapter's config is missing: an adapter that is no path has none beside it"
        )
    return adapter, os.path.join(os.path.dirname(path_of(adapter)), CONFIG)
