"""Weight sync: new versions of weights in memory, as their difference from the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitx import _native
from bitx._dtypes import NUMPY, WITHIN_NUMPY
from bitx._error import Error, invalid
from bitx._files import Effort
from bitx._inputs import Source, input_of
from bitx._native import Reader
from bitx._tensors import Held, State, check_alike


def encode_tensors(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    effort: Effort = "fast",
    version: str | None = None,
    threads: int | None = None,
) -> bytes:
    """Returns the delta from the version ``old`` of a model's tensors to ``new``.

    Both are dictionaries of contiguous arrays of numpy or tensors of torch on the cpu, with the
    same names, dtypes and shapes. bfloat16 is that of ml_dtypes or torch: as ``uint16``, it is
    coded as integers, which takes several times the bytes. The delta is an archive: ``old`` and
    ``new`` count as the files that ``safetensors`` writes of them.

    ``version`` is the digest of ``old``, which an earlier call returned; without it, the digest is
    computed. A delta with a wrong one is refused by the state that it was meant for.
    """
    before, after = State(old, "old tensors"), State(new, "new tensors")
    check_alike(before, after)
    parent = _digest_of(version)
    return _native.encode(before.input, after.input, effort=effort, parent=parent, threads=threads)


def apply_(
    state: Mapping[str, Any],
    delta: Source,
    *,
    version: str | None = None,
    threads: int | None = None,
) -> str:
    """Changes the tensors of ``state`` in place to the version that ``delta`` makes of them.

    Returns the digest of the new version. The digest of ``state`` must be that of the delta's
    parent, and the decoded tensors must have the digest that the delta states: otherwise nothing
    is changed. Memory is taken for the words that change, and not for a copy of the state.

    ``version`` is the digest of ``state``, which an earlier call returned; without it, it is
    computed. The digest of the new version is computed in any case, so that a state of another
    version is refused even if it passes for this one.
    """
    held = State(state, "state", writable=True)
    known = _digest_of(version)
    return _native.apply(held.input, input_of(delta), version=known, threads=threads)


def digest(state: Mapping[str, Any]) -> str:
    """Returns the version of ``state``: the BLAKE3 digest of its safetensors file."""
    return _native.digest(State(state, "state").input)


def versions(delta: Source) -> tuple[str, str]:
    """Returns the digests of the parent of ``delta``, and of the version that it makes."""
    content = _native.inspect(input_of(delta))
    if len(content["bases"]) != 1 or content["blake3"] is None:
        raise invalid("the archive is no delta between two versions of tensors")
    return content["bases"][0]["blake3"], content["blake3"]


def changes(
    state: Mapping[str, Any], delta: Source, *, threads: int | None = None
) -> dict[str, tuple[NDArray[np.int64], NDArray[Any]]]:
    """Returns the elements that ``delta`` changes: for each tensor that changes, the sorted places
    in the flat tensor, and the new values there.

    Values of a dtype that numpy has no name for, such as bfloat16, are unsigned integers of the
    same width. ``state`` stays as it is.
    """
    held, source = State(state, "state"), input_of(delta)
    parent, _ = versions(delta)
    if _native.digest(held.input) != parent:
        raise Error("the state is not the parent of the delta", "base-mismatch")
    reader = Reader([held.input], source, threads=threads)
    offset, found = len(held.header), {}
    for tensor in held.held:
        new = np.empty(tensor.bytes.nbytes, np.uint8)
        reader.read(offset, new)
        offset += new.nbytes
        places, values = _changed(tensor, new)
        if places.size:
            found[tensor.name] = (places, values)
    return found


def _digest_of(version: str | None) -> bytes | None:
    """Returns the bytes of a digest that a caller knows."""
    if version is None:
        return None
    try:
        digest = bytes.fromhex(version) if isinstance(version, str) else b""
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise invalid(f"a version has 64 hexadecimal digits, unlike {version!r}")
    return digest


_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def _changed(tensor: Held, new: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    elements = int(np.prod(tensor.shape, dtype=np.int64))
    word = _UNSIGNED[new.nbytes // elements if elements else 1]
    places = np.flatnonzero(tensor.bytes.view(word) != new.view(word))
    values = new.view(word)[places]
    return places, values.view(NUMPY[tensor.dtype]) if tensor.dtype in WITHIN_NUMPY else values
