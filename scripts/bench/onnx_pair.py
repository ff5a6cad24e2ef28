"""Converts a safetensors file to ONNX, to compare the sizes of deltas in both formats.

    pip install onnx numpy
    python onnx_pair.py MODEL.safetensors OUT [F16|F32]

Writes OUT-in.onnx with the weights inside, OUT.onnx with external data in OUT.onnx.data, and
OUT.safetensors with the same tensors. BF16 weights are cast if a type is given.
"""
import json
import os
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

TYPES = {
    "BF16": TensorProto.BFLOAT16,
    "F16": TensorProto.FLOAT16,
    "F32": TensorProto.FLOAT,
    "I64": TensorProto.INT64,
}
NUMPY = {"F16": np.float16, "F32": np.float32}


def load(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def cast(tensor, to):
    dtype, shape, data = tensor
    if dtype != "BF16" or to is None:
        return tensor
    floats = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return to, shape, floats.astype(NUMPY[to]).tobytes()


def save_safetensors(tensors, path):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(data for _, _, data in tensors.values())


def save_onnx(tensors, path, external):
    weights = [
        TensorProto(name=name, data_type=TYPES[dtype], dims=shape, raw_data=data)
        for name, (dtype, shape, data) in tensors.items()
    ]
    # A graph needs at least one node. Only the bytes of the weights matter here.
    name, (dtype, shape, _) = next(iter(tensors.items()))
    output = helper.make_tensor_value_info("output", TYPES[dtype], shape)
    graph = helper.make_graph([helper.make_node("Identity", [name], ["output"])], "model", [], [output], weights)
    location = os.path.basename(path) + ".data"
    # Saving would append to existing external data.
    if external and os.path.exists(path + ".data"):
        os.remove(path + ".data")
    onnx.save_model(helper.make_model(graph), path, save_as_external_data=external, location=location)
    onnx.checker.check_model(path)


source, out, *to = sys.argv[1:]
tensors = {name: cast(tensor, *(to or [None])) for name, tensor in load(source).items()}
save_safetensors(tensors, out + ".safetensors")
save_onnx(tensors, out + "-in.onnx", False)
save_onnx(tensors, out + ".onnx", True)
