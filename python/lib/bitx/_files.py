"""Files and folders: compressing, restoring, verifying, listing and comparing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace as replaced
from typing import Literal, cast

from bitx import _native
from bitx._error import invalid
from bitx._folders import folder_path, has_folder, is_folder, paths_of
from bitx._inputs import Source, input_of, inputs_of, path_of
from bitx._progress import Progress, reporting
from bitx._report import Distance, FolderReport, Report

#: The time to spend on a smaller archive.
Effort = Literal["fast", "default", "max"]

#: A path.
Path = str | os.PathLike[str]


def compress(
    base: Source | Sequence[Source] | None,
    target: Source,
    out: Path,
    *,
    effort: Effort = "default",
    level: int | None = None,
    replace: bool = False,
    threads: int | None = None,
    progress: Progress = False,
) -> Report:
    """Compresses ``target`` against its base into the archive ``out``.

    ``base`` is one file or several, or ``None`` for an archive without a base. ``level`` is a zstd
    level and asks for format v1, which the reference command line reads. The output appears when
    it is complete, or not at all; it replaces a file only with ``replace``.

    If ``target`` is the path of a folder, ``out`` becomes a folder with an archive for each file
    and a manifest, and the result is a ``FolderReport``. Folders in ``base`` stand for all their
    files. A LoRA adapter of PEFT with its ``adapter_config.json`` beside it predicts the model
    that it was merged into.
    """
    if is_folder(target):
        return _compress_folder(base, target, out, effort, level, replace, threads, progress)
    if has_folder(base):
        raise invalid(
            "a folder is the base of a folder: name the base's files for a target of one file"
        )
    bases, source = inputs_of(base, watched=True), input_of(target, watched=True)
    with reporting(progress, "compress") as report:
        content = _native.compress(
            bases,
            source,
            path_of(out),
            effort=effort,
            level=level,
            replace=replace,
            threads=threads,
            progress=report,
        )
    return Report._of(content)


def _compress_folder(
    base: Source | Sequence[Source] | None,
    target: Source,
    out: Path,
    effort: Effort,
    level: int | None,
    replace: bool,
    threads: int | None,
    progress: Progress,
) -> FolderReport:
    if level is not None:
        raise invalid("format v1 has no folders; leave out level")
    with reporting(progress, "compress") as report:
        content = _native.compress_folder(
            paths_of(base),
            folder_path(target),
            path_of(out),
            effort=effort,
            replace=replace,
            threads=threads,
            progress=report,
        )
    return FolderReport._of_folder(content)


def restore(
    base: Source | Sequence[Source] | None,
    archive: Source,
    out: Path,
    *,
    replace: bool = False,
    max_output: int | None = None,
    threads: int | None = None,
    progress: Progress = False,
) -> Report:
    """Restores the file that ``archive`` holds, byte for byte, to ``out``.

    Files of the base may come in any order. ``max_output`` is the maximum length of the output in
    bytes. The output appears when it is complete, or not at all.

    If ``archive`` is the path of a folder of archives, ``out`` becomes the model's folder, and the
    result is a ``FolderReport``.
    """
    if is_folder(archive):
        return _restore_folder(base, archive, out, replace, max_output, threads, progress)
    if has_folder(base):
        raise invalid("a folder is the base of a folder of archives: name the base's files")
    bases, source = inputs_of(base), input_of(archive)
    with reporting(progress, "restore") as report:
        content = _native.restore(
            bases,
            source,
            path_of(out),
            replace=replace,
            max_output=max_output,
            threads=threads,
            progress=report,
        )
    return Report._of(content)


def _restore_folder(
    base: Source | Sequence[Source] | None,
    archive: Source,
    out: Path,
    replace: bool,
    max_output: int | None,
    threads: int | None,
    progress: Progress,
) -> FolderReport:
    with reporting(progress, "restore") as report:
        content = _native.restore_folder(
            paths_of(base),
            folder_path(archive),
            path_of(out),
            replace=replace,
            max_output=max_output,
            threads=threads,
            progress=report,
        )
    return FolderReport._of_folder(content)


def verify(
    base: Source | Sequence[Source] | None,
    archive: Source,
    *,
    threads: int | None = None,
    progress: Progress = False,
) -> Report:
    """Decodes ``archive`` without writing it, and checks every checksum.

    The ``blake3`` of the result is the digest of the restored file, for format v1 as well. For a
    folder of archives, the result is a ``FolderReport``.
    """
    if is_folder(archive):
        with reporting(progress, "verify") as report:
            folder = _native.verify_folder(
                paths_of(base), folder_path(archive), threads=threads, progress=report
            )
        return FolderReport._of_folder(folder)
    if has_folder(base):
        raise invalid("a folder is the base of a folder of archives: name the base's files")
    bases, source = inputs_of(base), input_of(archive)
    with reporting(progress, "verify") as report:
        digest, content = _native.verify(bases, source, threads=threads, progress=report)
    return replaced(Report._of(content), blake3=digest)


def inspect(archive: Source) -> Report:
    """Lists the content of ``archive``. The base is not needed.

    For a folder of archives, the result is a ``FolderReport``.
    """
    if is_folder(archive):
        return FolderReport._of_folder(_native.inspect_folder(folder_path(archive)))
    return Report._of(_native.inspect(input_of(archive)))


def distance(a: Path | Sequence[Path], b: Path, *, threads: int | None = None) -> Distance:
    """Compares two models, and estimates the size of ``b`` as a delta against ``a``.

    A folder stands for the files in it that have tensors.
    """
    paths = (
        [path_of(path) for path in a] if isinstance(a, list | tuple) else [path_of(cast(Path, a))]
    )
    compared = json.loads(_native.distance(paths, path_of(b), threads=threads))
    del compared["command"]
    return cast(Distance, compared)
