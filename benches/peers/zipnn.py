"""zipnn's coder in memory: `zipnn.py MODEL THREADS [BASE]` prints one JSON line like the other peers.

Calls the compiled part of zipnn 0.5 as its Python part does, since that one imports torch, which is gigabytes.
With BASE, what is coded is the XOR with it: zipnn's own way to code a difference.
"""

import json
import sys
import time

import numpy
import zipnn_core

HEADER = 32  # bytes that zipnn's Python part puts before the coded ones
# What zipnn 0.5 uses for BF16: two groups of bytes, the sign moved to the end, chunks of 256 KiB.
GROUPS, MOVE_SIGN, ORDER, CHUNK = 2, 1, 10, 256 * 1024
THRESHOLD, CHECK_AFTER_PERCENT = 0.95, 10


def tensor_bytes(path):
    with open(path, "rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        return numpy.frombuffer(file.read(), numpy.uint8)


def encode(model, base, threads):
    # The coder changes its input in place, so it always gets a copy.
    data = model.tobytes() if base is None else numpy.bitwise_xor(model, base).tobytes()
    header = bytes(HEADER)
    return zipnn_core.zipnn_core(
        header, data, GROUPS, MOVE_SIGN, ORDER, 0, CHUNK, THRESHOLD, CHECK_AFTER_PERCENT, threads
    )


def decode(archive, base, length, threads):
    coded = memoryview(archive)[HEADER:]
    data = zipnn_core.combine_dtype(coded, GROUPS, MOVE_SIGN, ORDER, CHUNK, length, threads)
    data = numpy.frombuffer(data, numpy.uint8)
    return data if base is None else numpy.bitwise_xor(data, base)


def timed(task, *args):
    """The result and the seconds of the second run, as the first one warms up."""
    task(*args)
    start = time.perf_counter()
    result = task(*args)
    return result, time.perf_counter() - start


def main(path, threads, base_path=None):
    model, threads = tensor_bytes(path), int(threads)
    base = None if base_path is None else tensor_bytes(base_path)
    archive, encode_s = timed(encode, model, base, threads)
    restored, decode_s = timed(decode, archive, base, len(model), threads)
    if not numpy.array_equal(restored, model):
        sys.exit("zipnn: decoded other bytes")
    method = "alone" if base is None else "xor"
    row = {"method": method, "bytes": len(archive), "encode_s": encode_s, "decode_s": decode_s}
    print(json.dumps({"rows": [row]}))


main(*sys.argv[1:])
