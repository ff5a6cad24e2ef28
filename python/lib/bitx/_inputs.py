"""Inputs of any kind: paths, bytes in memory, and file objects that are read by position."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from io import BytesIO
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from bitx._error import Error, invalid
from bitx._native import Input

#: A path, an object with a buffer such as ``bytes`` or ``mmap``, or a binary file object.
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def path_of(path: str | os.PathLike[str]) -> str:
    """Returns a path as text."""
    return os.fsdecode(os.fspath(path))


def input_of(source: Source, *, watched: bool = False) -> Input:
    """Opens an input. A watched file may be read more than once."""
    if isinstance(source, str | os.PathLike):
        return Input.path(path_of(source), watched)
    if isinstance(source, BytesIO):
        return Input.memory(_array(_buffer(source)), "<BytesIO>")
    try:
        view = memoryview(cast(bytes, source))
    except TypeError:
        return _input_of_file(cast(BinaryIO, source))
    except ValueError as error:
        raise Error(f"<{type(source).__name__}>: {error}", "io") from error
    return Input.memory(_array(view), f"<{type(source).__name__}>")


def inputs_of(sources: Source | Sequence[Source] | None, *, watched: bool = False) -> list[Input]:
    """Opens the files of a base: none, one or several."""
    if sources is None:
        return []
    if isinstance(sources, list | tuple):
        return [input_of(source, watched=watched) for source in sources]
    return [input_of(cast(Source, sources), watched=watched)]


def _buffer(source: BytesIO) -> memoryview:
    try:
        return source.getbuffer()
    except ValueError as error:
        raise Error(f"<BytesIO>: {error}", "io") from error


def _array(view: memoryview) -> NDArray[np.uint8]:
    if not view.c_contiguous:
        raise invalid("the bytes of the input are not contiguous")
    if view.nbytes == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer(view.cast("B"), np.uint8)


def _input_of_file(file: BinaryIO) -> Input:
    if not (hasattr(file, "read") and hasattr(file, "seekable")):
        kind = type(file).__name__
        raise invalid(f"an input is a path, bytes or a binary file object, not {kind}")
    name = getattr(file, "name", None)
    path = name if isinstance(name, str) else None
    label = path or f"<{type(file).__name__}>"
    try:
        if not file.seekable():
            raise invalid(
                f"{label}: the file object cannot be read by position; name a path instead"
            )
        read = _reader(file)
        length = file.seek(0, os.SEEK_END)
    except (OSError, ValueError) as error:
        raise Error(f"{label}: {error}", "io", path) from error
    return Input.callback(read, length, label, path)


def _reader(file: BinaryIO) -> _Descriptor | _Seeking:
    if not isinstance(file.read(0), bytes):
        raise invalid("the file object returns text; open it in binary mode")
    if file.writable():
        file.flush()
    try:
        descriptor = file.fileno()
    except (OSError, AttributeError):
        return _Seeking(file)
    regular = hasattr(os, "pread") and stat.S_ISREG(os.fstat(descriptor).st_mode)
    # The file of a compressed stream has other bytes than the stream.
    plain = type(file).__module__ in ("io", "_io", "tempfile")
    return _Descriptor(os.dup(descriptor)) if regular and plain else _Seeking(file)


class _Descriptor:
    """Reads by a descriptor of its own, which the position and the end of the object do not
    touch.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, offset: int, length: int) -> bytes:
        bytes_ = os.pread(self._descriptor, length, offset)
        while 0 < len(bytes_) < length:
            more = os.pread(self._descriptor, length - len(bytes_), offset + len(bytes_))
            if not more:
                break
            bytes_ += more
        return bytes_

    def __del__(self) -> None:
        os.close(self._descriptor)


class _Seeking:
    """Reads by moving the position of the object."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lock = threading.Lock()

    def __call__(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            bytes_ = bytes(self._file.read(length))
            while 0 < len(bytes_) < length:
                more = self._file.read(length - len(bytes_))
                if not more:
                    break
                bytes_ += more
            return bytes_
