"""Models of a Hugging Face hub whose weights lie there as archives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

from bitx._error import Error, invalid
from bitx._files import inspect, restore
from bitx._progress import Progress
from bitx._report import Report

_SUFFIX = ".bitx"

#: A folder or a file, or the name of a model on a hub.
Model = str | os.PathLike[str]


def snapshot(
    repo_or_path: Model,
    *,
    base: Model | Sequence[Model] | None = None,
    revision: str | None = None,
    base_revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    endpoint: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    max_output: int | None = None,
    threads: int | None = None,
    progress: Progress = False,
) -> str:
    """Returns the folder of a model, in which every archive is restored.

    The model is a folder, or is downloaded to the cache of ``huggingface_hub``. Each archive
    ``NAME.bitx`` in it is restored to ``NAME`` beside it, unless that file is there. ``base`` is a
    folder, a file, or the name of a model, or several of them; by default, it is the ``base_model``
    of the model card; the card of a downloaded model names models of the hub, and no paths of this
    machine. Of a base that is not in the cache, only the files that the archives need are
    downloaded. ``max_output`` is the maximum length of all restored files together in bytes.
    Failures to download are exceptions of ``huggingface_hub``.
    """
    hub = Hub(cache_dir, endpoint, token, local_files_only)
    model = hub.open(repo_or_path, revision)
    _check_length(model.folder, model.archives.values(), max_output)
    for path, files in hub.bases(model, base, base_revision).items():
        restore(files, path, output_of(path), replace=True, threads=threads, progress=progress)
    return str(model.folder)


@dataclass(frozen=True)
class Archived:
    """The folder of a model, and the archives in it that are not restored yet."""

    folder: Path
    is_local: bool
    archives: dict[Path, Report]


@dataclass(frozen=True)
class Hub:
    """The hub and the cache of its files."""

    cache_dir: str | os.PathLike[str] | None = None
    endpoint: str | None = None
    token: str | bool | None = None
    local_files_only: bool = False

    def open(self, repo_or_path: Model, revision: str | None) -> Archived:
        """Opens a folder, or downloads a model and opens its folder."""
        is_local = os.path.isdir(repo_or_path)
        folder = Path(repo_or_path) if is_local else self._model(repo_or_path, revision)
        return Archived(folder, is_local, {path: inspect(path) for path in _missing(folder)})

    def bases(
        self, model: Archived, base: Model | Sequence[Model] | None, revision: str | None
    ) -> dict[Path, list[Path]]:
        """Returns the base files of each archive, and downloads those not in the cache."""
        needing = [report for report in model.archives.values() if _needs_base(report)]
        files: list[Path] = []
        if needing:
            named = _listed(base) if base is not None else _bases_of_card(model.folder)
            paths = model.is_local or base is not None
            files = [file for name in named for file in self._base(name, revision, needing, paths)]
        return {path: _chosen(path, report, files) for path, report in model.archives.items()}

    def _model(self, name: Model, revision: str | None, patterns: list[str] | None = None) -> Path:
        """Downloads a model, or the files that match the patterns, and returns its folder."""
        folder = _library().snapshot_download(
            os.fspath(name),
            revision=revision,
            cache_dir=self.cache_dir,
            endpoint=self.endpoint,
            token=self.token,
            local_files_only=self.local_files_only,
            allow_patterns=patterns,
        )
        return Path(folder)

    def _base(
        self, model: Model, revision: str | None, reports: list[Report], paths: bool
    ) -> list[Path]:
        """Returns the files of a base that may be those that the archives need. The base is a path
        only if ``paths`` are allowed.
        """
        path = Path(model)
        if paths and path.is_file():
            return [path]
        lengths = {base.length for report in reports for base in report.bases}
        any_length = any(report.version == 1 for report in reports)
        if not (paths and path.is_dir()):
            patterns = None if any_length else self._files(model, revision, lengths)
            path = self._model(model, revision, patterns)
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        if any_length:
            return [file for file in files if file.suffix == ".safetensors"]
        return [file for file in files if file.stat().st_size in lengths]

    def _files(self, model: Model, revision: str | None, lengths: set[int]) -> list[str] | None:
        """Returns the names of a model's files of these lengths; ``None`` without a connection."""
        if self.local_files_only:
            return None
        api = _library().HfApi(endpoint=self.endpoint, token=self.token)
        tree = api.list_repo_tree(os.fspath(model), recursive=True, revision=revision)
        return [_escaped(entry.path) for entry in tree if getattr(entry, "size", None) in lengths]


def _escaped(name: str) -> str:
    """Returns a pattern that matches a name and no other."""
    pattern = "".join(f"[{c}]" if c in "*?[" else c for c in name)
    assert fnmatch(name, pattern)
    return pattern


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        message = "models of a hub need the package huggingface_hub"
        raise Error(message, "unsupported") from error
    return huggingface_hub


def _missing(folder: Path) -> list[Path]:
    """Returns the archives in a folder that are not restored yet."""
    archives = [path for path in sorted(folder.rglob(f"?*{_SUFFIX}")) if path.is_file()]
    return [path for path in archives if not output_of(path).exists()]


def _check_length(folder: Path, reports: Iterable[Report], most: int | None) -> None:
    length = sum(report.restored_bytes for report in reports)
    if most is not None and length > most:
        message = (
            f"the output is larger than max_output allows: at most {most} bytes, found {length}"
        )
        raise Error(f"{folder}: {message} bytes", "limit", str(folder))


def output_of(archive: Path) -> Path:
    """Returns the path of the file that an archive restores to."""
    return archive.with_suffix("")


def _needs_base(report: Report) -> bool:
    return report.version == 1 or bool(report.bases)


def _listed(base: Model | Sequence[Model]) -> list[Model]:
    return list(base) if isinstance(base, list | tuple) else [cast(Model, base)]


def _bases_of_card(folder: Path) -> list[Model]:
    card = folder / "README.md"
    try:
        metadata = _library().metadata_load(card) if card.exists() else None
    except Exception as error:
        raise Error(f"{card}: {error}", "format", str(card)) from error
    named = (metadata or {}).get("base_model")
    found = [named] if isinstance(named, str) else named
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise invalid(f"{folder}: its model card names no base_model; name the base by base=")
    return found


def _chosen(archive: Path, report: Report, files: list[Path]) -> list[Path]:
    """Returns the files among ``files`` that may be the base of an archive."""
    if report.version == 1:
        same = [file for file in files if file.name == output_of(archive).name]
        return (same or files)[:1]
    lengths = {base.length for base in report.bases}
    chosen = [file for file in files if file.stat().st_size in lengths]
    if lengths - {file.stat().st_size for file in chosen}:
        needed = ", ".join(
            f"{base.length} bytes with BLAKE3 {base.blake3}" for base in report.bases
        )
        message = f"{archive}: no file of the base is the one that the archive needs: {needed}"
        raise Error(message, "base-mismatch", str(archive))
    return chosen
