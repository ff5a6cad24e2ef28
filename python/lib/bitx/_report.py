"""The content of archives, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from bitx._native import _Content, _FolderContent


@dataclass(frozen=True)
class BaseFile:
    """A file of the base that an archive needs: its length and its BLAKE3 digest.

    ``path`` is its path in the base's folder, for a folder of archives.
    """

    length: int
    blake3: str
    path: str | None = None


@dataclass(frozen=True)
class TensorReport:
    """A tensor of an archive. ``rank`` is that of its low-rank prediction, if it has one."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    method: str
    rank: int | None
    stored_bytes: int
    restored_bytes: int


@dataclass(frozen=True)
class Report:
    """The content of an archive.

    ``blake3`` is the digest of the restored file; format v1 does not state it.
    """

    version: int
    stored_bytes: int
    restored_bytes: int
    blake3: str | None
    bases: tuple[BaseFile, ...]
    tensors: tuple[TensorReport, ...]

    @classmethod
    def _of(cls, content: _Content) -> Report:
        return cls(
            version=content["version"],
            stored_bytes=content["stored_bytes"],
            restored_bytes=content["restored_bytes"],
            blake3=content["blake3"],
            bases=tuple(BaseFile(**base) for base in content["bases"]),
            tensors=tuple(
                TensorReport(**{**tensor, "shape": tuple(tensor["shape"])})  # type: ignore[arg-type]
                for tensor in content["tensors"]
            ),
        )


@dataclass(frozen=True)
class FolderReport(Report):
    """The content of a folder of archives.

    ``files`` has the content of the archive of each file, by its path in the model's folder. The
    other fields are those of all files together; a folder has no digest.
    """

    files: dict[str, Report]

    @classmethod
    def _of_folder(cls, content: _FolderContent) -> FolderReport:
        files = {path: Report._of(file) for path, file in content["files"]}
        return cls(
            version=2,
            stored_bytes=content["stored_bytes"],
            restored_bytes=content["restored_bytes"],
            blake3=None,
            bases=tuple(BaseFile(**base) for base in content["bases"]),
            tensors=tuple(tensor for file in files.values() for tensor in file.tensors),
            files=files,
        )


@dataclass(frozen=True)
class MergeReport:
    """The result of a merge, which is a computation: no archive tells what the model must be.

    ``tensors`` are the names of those that the adapter changed.
    """

    files: int
    bytes: int
    tensors: tuple[str, ...]


class TensorKind(TypedDict):
    """A tensor of a compared model."""

    name: str
    dtype: str
    shape: list[int]
    bytes: int


class Figures(TypedDict):
    """The distance of two tensors, and the predicted size of one as a share of its bytes."""

    bit_distance: float
    unchanged_share: float
    delta_ratio: float
    alone_ratio: float
    ratio: float


class TensorDistance(TensorKind, Figures):
    """The comparison of a tensor that both models have."""

    delta_pays: bool


class TotalDistance(Figures):
    """The comparison of all tensors together."""

    tensors: int
    bytes: int


class Distance(TypedDict):
    """The comparison of two models. ``verdict`` is ``strangers``, ``equal``, ``useless`` or
    ``useful``: the use of A as a base of B.
    """

    total: TotalDistance
    tensors: list[TensorDistance]
    only_in_a: list[TensorKind]
    only_in_b: list[TensorKind]
    verdict: str
