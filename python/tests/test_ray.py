"""Ingest over a local Ray cluster of several nodes. Needs requirements-ray.txt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bitx
from hubs import check, make

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster  # noqa: E402

import bitx.ray  # noqa: E402


class Nodes:
    """A cluster of a head that runs no tasks, and of two nodes with one processor each."""

    def __init__(self) -> None:
        self.cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.workers = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        ray.init(address=self.cluster.address, log_to_driver=False)

    def kill(self) -> None:
        self.cluster.remove_node(self.workers.pop(0), allow_graceful=False)

    def add(self) -> None:
        self.workers.append(self.cluster.add_node(num_cpus=1))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    ray.shutdown()
    nodes.cluster.shutdown()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("hub"))


def test_models_are_ingested_and_resumed(
    nodes: Nodes, hub: dict[str, Path], tmp_path: Path
) -> None:
    store = bitx.Store(tmp_path / "store")
    seen: list[tuple[int, int]] = []
    some = {name: path for name, path in hub.items() if name.startswith("x")}
    first = bitx.ray.ingest(store, some, progress=lambda done, total: seen.append((done, total)))
    assert sorted(first.written) == sorted(some) and not first.known and not first.failed
    assert seen == [(done, 5) for done in range(1, 6)] * 2
    whole = [name for name, added in first.written.items() if added["delta_bytes"] == 0]
    assert len(whole) == 1
    rest = bitx.ray.ingest(str(tmp_path / "store"), hub, in_flight=1, progress=True)
    assert sorted(rest.known) == sorted(some) and not rest.failed
    assert sorted(rest.written) == sorted(set(hub) - set(some))
    check(store, hub, tmp_path)


def test_models_that_fail_hold_up_no_others(
    nodes: Nodes, hub: dict[str, Path], tmp_path: Path
) -> None:
    models = {"missing": tmp_path / "missing", "x/base": hub["x/base"], "../wrong": hub["y/base"]}
    done = bitx.ray.ingest(tmp_path / "store", models)
    codes = {name: error.code for name, error in done.failed.items()}
    assert codes == {"missing": "io", "../wrong": "invalid-argument"}
    assert done.failed["missing"].file == str(tmp_path / "missing")
    assert list(done.written) == ["x/base"]
    assert bitx.ray.ingest(tmp_path / "store", {}) == bitx.ray.Ingested()
    with pytest.raises(bitx.Error) as error:
        bitx.ray.ingest(tmp_path / "store", models, in_flight=0)
    assert error.value.code == "invalid-argument"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("no store")
    with pytest.raises(bitx.Error) as error:
        bitx.ray.ingest(tmp_path / "other", {"x/base": hub["x/base"]})
    assert error.value.code == "invalid-argument"


def test_a_node_that_dies_loses_nothing(nodes: Nodes, hub: dict[str, Path], tmp_path: Path) -> None:
    store = bitx.Store(tmp_path / "store")
    published = tmp_path / "store" / "models"

    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        # A node dies while models are written, and another one comes.
        if not killed and list(published.rglob("*.json")):
            killed.append(done)
            nodes.kill()
            nodes.add()

    done = bitx.ray.ingest(store, hub, effort="max", in_flight=4, progress=kill)
    assert killed and killed[0] < len(hub)
    assert not done.failed
    assert sorted([*done.written, *done.known]) == sorted(hub)
    check(store, hub, tmp_path)
    # Two drivers that ingest the same models at once agree.
    other = bitx.Store(tmp_path / "other")
    results: list[bitx.ray.Ingested] = []
    drivers = [
        threading.Thread(target=lambda: results.append(bitx.ray.ingest(other, hub)))
        for _ in range(2)
    ]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert [result.failed for result in results] == [{}, {}]
    check(other, hub, tmp_path)
