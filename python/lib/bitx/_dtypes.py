"""Element types: their names in safetensors, in numpy and in torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitx._error import Error

#: The names in numpy. Those behind the first thirteen come from the package ml_dtypes.
NUMPY = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
    "BF16": "bfloat16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}

#: The dtypes that numpy has without another package.
WITHIN_NUMPY = frozenset(list(NUMPY)[:13])

#: The names in torch that differ from those in numpy. Two elements of F4 are one of torch's.
TORCH = {**NUMPY, "F4": "float4_e2m1fn_x2"}

#: The order of dtypes in a file that safetensors writes: the last one comes first.
ORDER = (
    *("BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"),
    *("F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64"),
    *("F64", "I64", "U64"),
)

FROM_NUMPY = {name: dtype for dtype, name in NUMPY.items()}
FROM_TORCH = {f"torch.{name}": dtype for dtype, name in TORCH.items()}


def numpy_dtype(dtype: str, tensor: str) -> np.dtype[Any]:
    """Returns the dtype of numpy. bfloat16 and floats below 16 bits need ml_dtypes."""
    name = NUMPY.get(dtype)
    if name is None:
        raise Error(
            f"tensor {tensor!r}: numpy has no dtype for {dtype}", "unsupported", None, tensor
        )
    if dtype in WITHIN_NUMPY:
        return np.dtype(name)
    try:
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
    except (ImportError, AttributeError):
        message = f"numpy alone has no dtype for {dtype}: install ml_dtypes, or use framework='pt'"
        raise Error(f"tensor {tensor!r}: {message}", "unsupported", None, tensor) from None


def torch_dtype(torch: Any, dtype: str, tensor: str) -> Any:
    """Returns the dtype of torch."""
    found = getattr(torch, TORCH.get(dtype, ""), None)
    if found is None:
        raise Error(
            f"tensor {tensor!r}: torch has no dtype for {dtype}", "unsupported", None, tensor
        )
    return found
