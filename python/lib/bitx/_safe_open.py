"""A fine-tune, opened from its base and an archive, with the interface of safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from types import EllipsisType, TracebackType
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from bitx._dtypes import TORCH, numpy_dtype, torch_dtype
from bitx._error import Error, invalid
from bitx._inputs import Source, input_of, inputs_of
from bitx._native import Reader

_NUMPY = ("np", "numpy")
_TORCH = ("pt", "torch", "pytorch")

#: An index of one axis.
Index = SupportsIndex | slice | EllipsisType


@dataclass(frozen=True)
class _Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


class safe_open:
    """Opens the model that ``archive`` restores to, without restoring it.

    ``base`` is the base of the archive: one file or several. A tensor is decoded when it is asked
    for, and only the windows of the archive that hold it. ``framework`` is ``"np"`` or ``"pt"``,
    and ``device`` is a device of torch. Every tensor passes its checksums.
    """

    def __init__(
        self,
        archive: Source,
        framework: str = "np",
        device: Any = "cpu",
        *,
        base: Source | Sequence[Source] | None = None,
        threads: int | None = None,
    ) -> None:
        if framework not in _NUMPY + _TORCH:
            raise invalid(f"framework {framework!r} is none of {', '.join(_NUMPY + _TORCH)}")
        if framework in _NUMPY and str(device) != "cpu":
            raise invalid(f"device {device} is not supported for numpy, which has only cpu")
        self._torch = _import_torch() if framework in _TORCH else None
        self._device = device
        self._reader: Reader | None = Reader(inputs_of(base), input_of(archive), threads=threads)
        self._process = os.getpid()
        kind, self._header_length, regions = self._reader.layout()
        if kind == "bytes":
            raise Error("the archive restores to a file that is no model", "format")
        self._is_safetensors = kind == "safetensors"
        tensors = (
            _Tensor(r["name"], r["dtype"], tuple(r["shape"]), r["offset"], r["length"])
            for r in regions
        )
        self._tensors = {tensor.name: tensor for tensor in tensors}

    def __enter__(self) -> safe_open:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader = None

    def keys(self) -> list[str]:
        """Returns the names of all tensors, sorted."""
        self._open()
        return sorted(self._tensors)

    def offset_keys(self) -> list[str]:
        """Returns the names of all tensors in the order of the file."""
        self._open()
        return list(self._tensors)

    def metadata(self) -> dict[str, str] | None:
        """Returns the texts in the header of a safetensors file, if it has any."""
        if not self._is_safetensors:
            self._open()
            return None
        return _metadata(self._bytes(8, self._header_length - 8).tobytes())

    def get_tensor(self, name: str) -> Any:
        """Returns a tensor: an array of numpy or a tensor of torch."""
        tensor = self._tensor(name)
        return self._shaped(tensor, self._bytes(tensor.offset, tensor.length), tensor.shape)

    def get_tensors(self) -> dict[str, Any]:
        """Returns all tensors by their names."""
        return {name: self.get_tensor(name) for name in self.offset_keys()}

    def get_slice(self, name: str) -> SafeSlice:
        """Returns an object whose parts can be read by indexing it."""
        return SafeSlice(self, self._tensor(name))

    def _open(self) -> Reader:
        if self._reader is None:
            raise invalid("the file is closed")
        if self._process != os.getpid():
            self._reader, self._process = self._reader.reopen(), os.getpid()
        return self._reader

    def _tensor(self, name: str) -> _Tensor:
        self._open()
        try:
            return self._tensors[name]
        except KeyError:
            raise Error(
                f"the file has no tensor {name!r}", "invalid-argument", None, name
            ) from None

    def _bytes(self, offset: int, length: int) -> NDArray[np.uint8]:
        reader = self._open()
        try:
            array = np.empty(length, np.uint8)
        except (MemoryError, ValueError) as error:
            raise Error(f"there is no memory for {length} bytes", "limit") from error
        reader.read(offset, array)
        return array

    def _shaped(self, tensor: _Tensor, array: NDArray[np.uint8], shape: Sequence[int]) -> Any:
        if self._torch is None:
            return array.view(numpy_dtype(tensor.dtype, tensor.name)).reshape(shape)
        dtype = torch_dtype(self._torch, tensor.dtype, tensor.name)
        if tensor.dtype == "F4":
            shape = [*shape[:-1], shape[-1] // 2]
        found = self._torch.from_numpy(array).view(dtype).reshape(tuple(shape))
        return found if str(self._device) == "cpu" else found.to(self._device)


def _metadata(header: bytes) -> dict[str, str] | None:
    """Returns the texts in a header, which the core has parsed but for these."""
    try:
        metadata = json.loads(header).get("__metadata__")
    except (ValueError, RecursionError) as error:
        raise Error(f"the header of the restored file: {error}", "corrupt") from error
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise Error("the metadata of the restored file are no texts", "corrupt")
    return metadata


class SafeSlice:
    """A tensor of which parts are read by indexing. Only the rows between the first and the last
    one that are asked for are decoded.
    """

    def __init__(self, file: safe_open, tensor: _Tensor) -> None:
        self._file = file
        self._tensor = tensor

    def get_shape(self) -> list[int]:
        """Returns the extents, outermost first."""
        return list(self._tensor.shape)

    def get_dtype(self) -> str:
        """Returns the dtype's name in safetensors."""
        return self._tensor.dtype

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Any:
        tensor = self._tensor
        if tensor.length % max(prod(tensor.shape), 1) or tensor.dtype not in TORCH:
            raise Error(f"parts of {tensor.dtype} cannot be read", "unsupported", None, tensor.name)
        axes = _axes(index, tensor)
        row = tensor.length // max(prod(tensor.shape), 1)
        begin, shape, rest = 0, list(tensor.shape), list(axes)
        # Integers in front choose a part of the tensor's bytes, and so does a range behind them.
        while rest and isinstance(number := rest[0], int):
            begin = begin * shape.pop(0) + number
            rest.pop(0)
        begin *= prod(shape)
        if rest and isinstance(chosen := rest[0], range):
            low, high = (chosen[0], chosen[-1] + 1) if chosen else (0, 0)
            begin += low * prod(shape[1:])
            shape[0] = high - low
            rest[0] = range(0, high - low, chosen.step)
        bytes_ = self._file._bytes(tensor.offset + begin * row, prod(shape) * row)
        part = self._file._shaped(tensor, bytes_, shape)
        return part[tuple(axis if isinstance(axis, int) else _slice(axis) for axis in rest)]


def _slice(chosen: range) -> slice:
    return slice(chosen.start, chosen.stop, chosen.step)


def _axes(index: Index | tuple[Index, ...], tensor: _Tensor) -> list[int | range]:
    """Returns what an index chooses of each axis of a tensor."""
    given = list(index) if isinstance(index, tuple) else [index]
    if given.count(Ellipsis) > 1 or len(given) - given.count(Ellipsis) > len(tensor.shape):
        raise _refused(tensor, f"{len(given)} indexes for {len(tensor.shape)} axes")
    place = given.index(Ellipsis) if Ellipsis in given else len(given)
    behind = given[place + 1 :]
    missing = len(tensor.shape) - place - len(behind)
    full = [*given[:place], *[slice(None)] * missing, *behind]
    return [_axis(axis, extent, tensor) for axis, extent in zip(full, tensor.shape, strict=True)]


def _axis(axis: Index, extent: int, tensor: _Tensor) -> int | range:
    if isinstance(axis, slice):
        if axis.step is not None and axis.step <= 0:
            raise _refused(tensor, f"the step of a slice must be positive, not {axis.step}")
        return range(*axis.indices(extent))
    if isinstance(axis, bool) or not isinstance(axis, SupportsIndex):
        raise _refused(tensor, f"an index is an integer, a slice or an ellipsis, not {axis!r}")
    number = axis.__index__()
    if not -extent <= number < extent:
        raise _refused(tensor, f"index {number} is out of bounds for an axis of {extent}")
    return number % extent


def _refused(tensor: _Tensor, message: str) -> Error:
    return invalid(f"tensor {tensor.name!r}: {message}", tensor.name)


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise Error("framework 'pt' needs the package torch", "unsupported") from error
    return torch


def load_file(
    archive: Source,
    *,
    base: Source | Sequence[Source] | None = None,
    framework: str = "np",
    device: Any = "cpu",
    threads: int | None = None,
) -> dict[str, Any]:
    """Returns all tensors of the model that ``archive`` restores to, by their names."""
    with safe_open(archive, framework, device, base=base, threads=threads) as file:
        return file.get_tensors()
