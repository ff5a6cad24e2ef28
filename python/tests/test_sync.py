"""Weight sync: deltas between versions of tensors in memory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

import bitx
from conftest import Tensors, tensors_of


def copied(tensors: Tensors) -> Tensors:
    return {name: tensor.copy() for name, tensor in tensors.items()}


def same(a: Tensors, b: Tensors) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def chain(length: int) -> list[Tensors]:
    """Returns versions, each with a few changes to the last one."""
    random = np.random.default_rng(3)
    versions = [tensors_of()[0]]
    for _ in range(length - 1):
        new = copied(versions[-1])
        new["layer.1.bfloat16"][random.random(new["layer.1.bfloat16"].shape) < 0.02] += 1
        new["embed"][random.integers(0, 512, 9)] *= np.float32(1.01)
        versions.append(new)
    return versions


@pytest.mark.parametrize("effort", ["fast", "default"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_state_becomes_the_new_version_in_place(effort: Any, threads: int) -> None:
    old, new = tensors_of()
    state = copied(old)
    arrays = dict(state)
    delta = bitx.encode_tensors(old, new, effort=effort, threads=threads)
    assert bitx.versions(delta) == (bitx.digest(old), bitx.digest(new))
    assert bitx.apply_(state, delta, threads=threads) == bitx.digest(new)
    assert same(state, new) and all(state[name] is arrays[name] for name in state)


def test_versions_follow_each_other_and_no_other() -> None:
    versions = chain(4)
    deltas = [bitx.encode_tensors(old, new) for old, new in pairwise(versions)]
    state = copied(versions[0])
    for number, delta in enumerate(deltas):
        for wrong in [d for d in deltas if d is not delta]:
            with pytest.raises(bitx.Error) as caught:
                bitx.apply_(state, wrong)
            assert caught.value.code == "base-mismatch" and same(state, versions[number])
        bitx.apply_(state, delta)
        assert same(state, versions[number + 1])


def test_known_versions_are_not_computed_and_are_still_checked() -> None:
    first, second, third = chain(3)
    digests = [bitx.digest(version) for version in (first, second, third)]
    delta = bitx.encode_tensors(first, second, version=digests[0])
    assert delta == bitx.encode_tensors(first, second)
    state = copied(first)
    assert bitx.apply_(state, delta, version=digests[0]) == digests[1] and same(state, second)
    following = bitx.encode_tensors(second, third, version=digests[1])
    # A state that passes for another version, and a delta of a parent that is not what it says.
    for wrong, delta, version in [
        (first, following, digests[1]),
        (second, following, digests[0]),
        (second, bitx.encode_tensors(second, third, version=digests[0]), None),
        (first, bitx.encode_tensors(second, third, version=digests[0]), None),
    ]:
        state = copied(wrong)
        with pytest.raises(bitx.Error) as caught:
            bitx.apply_(state, delta, version=version)
        assert caught.value.code == "base-mismatch" and same(state, wrong)


@pytest.mark.parametrize("version", ["", "00", "x" * 64, "é", "00" * 33, 3, b"0" * 64])
def test_wrong_digests(version: Any) -> None:
    old = {"w": np.ones(4)}
    for call in (
        lambda: bitx.encode_tensors(old, old, version=version),
        lambda: bitx.apply_(old, bitx.encode_tensors(old, old), version=version),
    ):
        with pytest.raises(bitx.Error) as caught:
            call()
        assert caught.value.code == "invalid-argument"


def test_a_version_is_the_file_that_safetensors_writes(tmp_path: Path) -> None:
    old, new = tensors_of()
    old['naïve "name"\n\x7f\x01'] = new['naïve "name"\n\x7f\x01'] = np.arange(3, dtype=np.int8)
    save_file(old, tmp_path / "old")
    bitx.restore(tmp_path / "old", bitx.encode_tensors(old, new), tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == save(new)
    bitx.compress(tmp_path / "old", tmp_path / "new", tmp_path / "delta")
    bitx.apply_(old, tmp_path / "delta")
    assert same(old, new)


@pytest.mark.parametrize("threads", [1, 3])
def test_words_that_move_between_tensors(threads: int) -> None:
    # Each tensor becomes what another one was: a base that is overwritten early would be missed.
    random = np.random.default_rng(1)
    old = {f"t{i}": random.normal(size=(900, 700)).astype(np.float32) for i in range(5)}
    new = {f"t{i}": old[f"t{(i + 2) % 5}"][::-1].copy() for i in range(5)}
    state = copied(old)
    bitx.apply_(state, bitx.encode_tensors(old, new), threads=threads)
    assert same(state, new)


@pytest.mark.parametrize("threads", [1, 3])
def test_sizes_that_are_no_whole_number_of_words(threads: int) -> None:
    for length in [0, 1, 3, 127, 128, 129, 100_001]:
        old: Tensors = {
            "a": np.zeros(length, np.uint8),
            "b": np.zeros(5, np.int8),
            "c": np.zeros(0, np.float64),
        }
        new = copied(old)
        new["a"][-1:] = 7
        new["b"][:] = [1, 0, 0, 0, -1]
        state = copied(old)
        bitx.apply_(state, bitx.encode_tensors(old, new), threads=threads)
        assert same(state, new), length


def test_no_tensors_and_no_changes() -> None:
    assert bitx.apply_({}, bitx.encode_tensors({}, {})) == bitx.digest({})
    old, _ = tensors_of()
    delta = bitx.encode_tensors(old, old)
    assert len(delta) < 2000 and bitx.changes(old, delta) == {}


def test_changes_are_sorted_places_and_values() -> None:
    old, new = tensors_of()
    delta = bitx.encode_tensors(old, new)
    kept = copied(old)
    found = bitx.changes(old, delta)
    assert same(old, kept) and "ids" not in found and "empty" not in found
    for name, (places, values) in found.items():
        assert (np.diff(places) > 0).all() and values.dtype == new[name].dtype
        assert (old[name].reshape(-1)[places] != values).all()
        old[name].reshape(-1)[places] = values
    assert same(old, new)
    with pytest.raises(bitx.Error) as caught:
        bitx.changes(old, delta)
    assert caught.value.code == "base-mismatch"


def test_bfloat16_of_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    old = {"w": np.ones((8, 8), ml_dtypes.bfloat16)}
    new = copied(old)
    new["w"][3, 4] = 2
    delta = bitx.encode_tensors(old, new)
    places, values = bitx.changes(old, delta)["w"]
    assert places.tolist() == [28] and values.view(ml_dtypes.bfloat16).tolist() == [2.0]
    bitx.apply_(old, delta)
    assert same(old, new) and bitx.inspect(delta).tensors[0].dtype == "BF16"


def test_damaged_deltas_change_nothing() -> None:
    old, new = tensors_of(rows=64)
    delta = bitx.encode_tensors(old, new)
    state = copied(old)
    for place in range(0, len(delta), len(delta) // 300 + 1):
        damaged = bytearray(delta)
        damaged[place] ^= 0x10
        for bad in (damaged, damaged[:place]):
            with pytest.raises(bitx.Error):
                bitx.apply_(state, bad)
        assert same(state, old), place


def test_deltas_of_other_tensors_are_refused(tmp_path: Path) -> None:
    old, new = tensors_of()
    delta = bitx.encode_tensors(old, new)
    renamed: Tensors = {name.replace("embed", "embod"): tensor for name, tensor in old.items()}
    longer: Tensors = {**old, "more": np.ones(3)}
    states: list[Tensors] = [renamed, longer]
    for state in states:
        kept = copied(state)
        with pytest.raises(bitx.Error) as caught:
            bitx.apply_(state, delta)
        assert caught.value.code == "base-mismatch" and same(state, kept)
    # Two headers of the same length.
    save_file(old, tmp_path / "old")
    save_file(
        {name.replace("embed", "embod"): tensor for name, tensor in new.items()}, tmp_path / "new"
    )
    bitx.compress(tmp_path / "old", tmp_path / "new", tmp_path / "delta")
    with pytest.raises(bitx.Error) as caught:
        bitx.apply_(old, tmp_path / "delta")
    assert caught.value.code == "base-mismatch"
    bitx.compress(None, tmp_path / "new", tmp_path / "alone")
    for call in (
        lambda: bitx.apply_(old, tmp_path / "alone"),
        lambda: bitx.versions(tmp_path / "alone"),
    ):
        with pytest.raises(bitx.Error) as caught:
            call()
        assert caught.value.code == "invalid-argument"


def test_tensors_that_differ_in_kind() -> None:
    old, new = tensors_of()
    for change in [
        {"embed": new["embed"].astype(np.float64)},
        {"embed": new["embed"].reshape(-1)},
        {"more": np.zeros(2)},
    ]:
        with pytest.raises(bitx.Error) as caught:
            bitx.encode_tensors(old, {**new, **change})
        assert (caught.value.code, caught.value.tensor) == ("invalid-argument", next(iter(change)))


@pytest.mark.parametrize(
    "tensor",
    [
        np.ones((4, 6), np.float32).T,
        np.ones(8, np.float32)[::2],
        np.ones(4, ">f4"),
        np.ones(4, np.complex128),
        np.array(["text"]),
        np.array([None]),
        np.zeros(3, [("a", "f4"), ("b", "i2")]),
        np.zeros(3, "datetime64[s]"),
        [1.0, 2.0],
        memoryview(b"abc"),
        None,
    ],
)
def test_wrong_tensors(tensor: Any) -> None:
    good = {"w": np.ones(4, np.float32)}
    for call in (
        lambda: bitx.encode_tensors(good, {"w": tensor}),
        lambda: bitx.apply_({"w": tensor}, b""),
    ):
        with pytest.raises(bitx.Error) as caught:
            call()
        assert (caught.value.code, caught.value.tensor) == ("invalid-argument", "w")


@pytest.mark.parametrize("name", [3, "__metadata__", "\ud800"])
def test_wrong_names(name: Any) -> None:
    with pytest.raises(bitx.Error) as caught:
        bitx.digest({name: np.ones(2)})
    assert caught.value.code == "invalid-argument"


def test_states_that_cannot_be_changed() -> None:
    old, new = tensors_of()
    delta = bitx.encode_tensors(old, new)
    old["embed"].flags.writeable = False
    with pytest.raises(bitx.Error) as caught:
        bitx.apply_(old, delta)
    assert (caught.value.code, caught.value.tensor) == ("invalid-argument", "embed")
    whole = np.zeros(10, np.float32)
    shared = {"a": whole[:6], "b": whole[5:]}
    tied = {"a": whole, "b": whole}
    for state in (shared, tied):
        with pytest.raises(bitx.Error, match="shares memory"):
            bitx.apply_(state, delta)
    assert bitx.digest(tied)


class _Subclass(np.ndarray[Any, Any]):
    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"data": (8, False)}


def test_subclasses_of_arrays_are_read_as_arrays() -> None:
    old = {"w": np.arange(9.0)}
    assert bitx.digest({"w": old["w"].view(_Subclass)}) == bitx.digest(old)


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    old = {"w": torch.ones(8, 8, dtype=torch.bfloat16), "p": torch.nn.Parameter(torch.ones(3))}
    new = {name: tensor.detach().clone() for name, tensor in old.items()}
    new["w"][3, 4] = 2
    delta = bitx.encode_tensors(old, new)
    bitx.apply_(old, delta)
    assert all(torch.equal(old[name], new[name]) for name in old)
    with pytest.raises(bitx.Error):
        bitx.digest({"w": old["w"].T[1:]})
    with pytest.raises(bitx.Error, match="device"):
        bitx.digest({"w": torch.ones(3, device="meta")})
