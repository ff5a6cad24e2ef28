"""Tensors in memory as the bytes of one safetensors file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitx._dtypes import FROM_NUMPY, FROM_TORCH, ORDER
from bitx._error import Error, invalid
from bitx._native import Input


@dataclass(frozen=True)
class Held:
    """A tensor: its name, its type in safetensors, and its bytes, which are not copied."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: NDArray[np.uint8]


class State:
    """The tensors of one version, in the order of a file that safetensors writes."""

    def __init__(self, tensors: Mapping[str, Any], role: str, *, writable: bool = False) -> None:
        held = [_held(name, tensor) for name, tensor in tensors.items()]
        self.held = sorted(held, key=lambda t: (-ORDER.index(t.dtype), t.name.encode()))
        if writable:
            _check_writable(self.held)
        self.header = _header(self.held)
        self.input = Input.tensors(self.header, [tensor.bytes for tensor in self.held], f"<{role}>")


def check_alike(old: State, new: State) -> None:
    """Refuses two versions whose tensors differ in names, dtypes or shapes."""
    if old.header == new.header:
        return
    kinds = [{t.name: (t.dtype, t.shape) for t in state.held} for state in (old, new)]
    for name in sorted(kinds[0].keys() | kinds[1].keys()):
        of_old, of_new = (kind.get(name) for kind in kinds)
        if of_old != of_new:
            old_text, new_text = (_kind(kind) for kind in (of_old, of_new))
            raise invalid(f"tensor {name!r}: old and new differ: {old_text} and {new_text}", name)


def _kind(kind: tuple[str, tuple[int, ...]] | None) -> str:
    return "no such tensor" if kind is None else f"{kind[0]}{list(kind[1])}"


def _header(held: list[Held]) -> bytes:
    """Returns the header that safetensors would write."""
    entries, offset = {}, 0
    for tensor in held:
        end = offset + tensor.bytes.nbytes
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _held(name: str, tensor: Any) -> Held:
    if not isinstance(name, str) or name == "__metadata__":
        raise invalid(f"{name!r} is no name of a tensor")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise invalid(f"{name!r} is no valid text") from None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        return _held_torch(torch, name, tensor)
    if isinstance(tensor, np.ndarray):
        return _held_numpy(name, tensor)
    raise invalid(f"tensor {name!r}: neither an array of numpy nor a tensor of torch", name)


def _held_numpy(name: str, array: NDArray[Any]) -> Held:
    dtype = FROM_NUMPY.get(array.dtype.name)
    if dtype is None:
        raise invalid(f"tensor {name!r}: dtype {array.dtype} is not supported", name)
    if array.dtype.newbyteorder("<") != array.dtype:
        raise invalid(f"tensor {name!r}: its numbers are big-endian", name)
    if not array.flags.c_contiguous:
        raise invalid(
            f"tensor {name!r}: not contiguous; numpy.ascontiguousarray makes a copy that is", name
        )
    flat = np.asarray(array).view(np.ndarray).reshape(-1).view(np.uint8)
    return Held(name, dtype, array.shape, flat)


def _held_torch(torch: Any, name: str, tensor: Any) -> Held:
    dtype = FROM_TORCH.get(str(tensor.dtype))
    if dtype is None:
        raise invalid(f"tensor {name!r}: dtype {tensor.dtype} is not supported", name)
    if tensor.device.type != "cpu":
        raise invalid(
            f"tensor {name!r}: on device {tensor.device}, not in the memory of the cpu", name
        )
    if tensor.layout != torch.strided or not tensor.is_contiguous():
        raise invalid(f"tensor {name!r}: not contiguous", name)
    shape = tuple(tensor.shape)
    if dtype == "F4":
        shape = (*shape[:-1], shape[-1] * 2)
    return Held(name, dtype, shape, tensor.detach().reshape(-1).view(torch.uint8).numpy())


def _check_writable(held: list[Held]) -> None:
    """Refuses tensors that cannot be changed, or that change with others."""
    end, last = 0, ""
    for tensor in sorted(held, key=_address):
        if not tensor.bytes.flags.writeable:
            raise invalid(f"tensor {tensor.name!r}: read-only", tensor.name)
        if tensor.bytes.nbytes and _address(tensor) < end:
            raise Error(
                f"tensor {tensor.name!r}: shares memory with {last!r}; leave one of them out",
                "invalid-argument",
                None,
                tensor.name,
            )
        if tensor.bytes.nbytes:
            end, last = _address(tensor) + tensor.bytes.nbytes, tensor.name


def _address(tensor: Held) -> int:
    address: int = tensor.bytes.__array_interface__["data"][0]
    return address
