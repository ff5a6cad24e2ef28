"""Snapshots of models on a hub, by huggingface_hub and a local server with the hub's API."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.numpy import save_file

import bitx
from conftest import VECTORS, Pair, names, tensors_of

pytest.importorskip("huggingface_hub")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The part of a hub's API by which models are downloaded. Models are folders."""

    def __init__(self, root: Path, requests: list[str], *args: object) -> None:
        self._root = root
        self._requests = requests
        super().__init__(*args)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        self._requests.append("/".join(parts))
        if parts[:2] == ["api", "models"]:
            folder = self._root / parts[2] / parts[3]
            if not folder.is_dir():
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif "tree" in parts:
                self._send(
                    200, json.dumps([self._entry(folder, p) for p in self._files(folder)]).encode()
                )
            else:
                files = [{"rfilename": path} for path in self._files(folder)]
                info = {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": files, "tags": []}
                self._send(200, json.dumps(info).encode())
        else:
            file = self._root / parts[0] / parts[1] / "/".join(parts[4:])
            if file.is_file():
                etag = hashlib.sha256(file.read_bytes()).hexdigest()
                self._send(200, file.read_bytes(), {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
            else:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _files(self, folder: Path) -> list[str]:
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def _entry(self, folder: Path, path: str) -> dict[str, object]:
        bytes_ = (folder / path).read_bytes()
        oid = hashlib.sha1(bytes_, usedforsecurity=False).hexdigest()
        return {"type": "file", "path": path, "size": len(bytes_), "oid": oid}

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class Served:
    """A local hub, and the requests that it got."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, root, self.requests))
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, name: str, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            file = self.root / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "hub")
    thread = threading.Thread(target=served.server.serve_forever)
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def card(base: str) -> bytes:
    return f"---\nbase_model: {base}\n---\n# A model\n".encode()


def test_a_fine_tune_is_restored_from_the_base_of_its_card(
    pair: Pair, hub: Served, tmp_path: Path
) -> None:
    hub.add("org/base", {"model.safetensors": pair.base.read_bytes(), "large.bin": bytes(100_000)})
    archive = pair.archive.read_bytes()
    hub.add(
        "org/tuned",
        {"model.safetensors.bitx": archive, "README.md": card("org/base"), "config.json": b"{}"},
    )
    cache = tmp_path / "cache"
    folder = Path(bitx.snapshot("org/tuned", cache_dir=cache, endpoint=hub.endpoint))
    assert (folder / "model.safetensors").read_bytes() == pair.target.read_bytes()
    assert folder.is_relative_to(cache) and (folder / "config.json").read_text() == "{}"
    assert not any("large.bin" in request for request in hub.requests)
    # The second time, everything is there.
    requests = len(hub.requests)
    assert bitx.snapshot("org/tuned", cache_dir=cache, local_files_only=True) == str(folder)
    assert len(hub.requests) == requests


def test_archives_without_a_base_ask_for_no_file_of_it(
    pair: Pair, hub: Served, tmp_path: Path
) -> None:
    base = {"model.gguf": pair.base.read_bytes(), "large.safetensors": bytes(100_000)}
    hub.add("org/base", base)
    bitx.compress(None, b"{}", tmp_path / "config")
    tuned = {
        "tuned.bitx/model.gguf.bitx": pair.archive.read_bytes(),
        "tuned.bitx/config.json.bitx": (tmp_path / "config").read_bytes(),
        "README.md": card("org/base"),
    }
    hub.add("org/tuned", tuned)
    cache = tmp_path / "cache"
    folder = Path(bitx.snapshot("org/tuned", cache_dir=cache, endpoint=hub.endpoint))
    assert (folder / "tuned.bitx" / "model.gguf").read_bytes() == pair.target.read_bytes()
    assert (folder / "tuned.bitx" / "config.json").read_bytes() == b"{}"
    assert not any("large" in request for request in hub.requests)


def test_the_card_of_a_downloaded_model_names_no_paths(
    pair: Pair, hub: Served, tmp_path: Path
) -> None:
    from huggingface_hub.errors import HFValidationError

    hub.add("org/tuned", {"m.bitx": pair.archive.read_bytes()})
    cache = tmp_path / "cache"
    for number, path in enumerate((pair.base, pair.base.parent, Path("/"))):
        (hub.root / "org/tuned/README.md").write_bytes(card(str(path)))
        with pytest.raises(HFValidationError):
            bitx.snapshot("org/tuned", cache_dir=cache / str(number), endpoint=hub.endpoint)
    assert not list(cache.rglob("m"))


def test_the_length_of_all_files_is_limited(pair: Pair, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.bitx").write_bytes(pair.archive.read_bytes())
    length = 2 * pair.target.stat().st_size
    with pytest.raises(bitx.Error, match="larger than max_output") as caught:
        bitx.snapshot(tmp_path, base=pair.base, max_output=length - 1)
    assert caught.value.code == "limit" and names(tmp_path) == ["a.bitx", "b.bitx"]
    bitx.snapshot(tmp_path, base=pair.base, max_output=length)
    assert names(tmp_path) == ["a", "a.bitx", "b", "b.bitx"]


def test_a_cached_base_serves_without_a_connection(pair: Pair, hub: Served, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download

    hub.add("org/base", {"model.safetensors": pair.base.read_bytes()})
    hub.add(
        "org/tuned",
        {"model.safetensors.bitx": pair.archive.read_bytes(), "README.md": card("[org/base]")},
    )
    for name in ("org/base", "org/tuned"):
        snapshot_download(name, cache_dir=tmp_path / "cache", endpoint=hub.endpoint)
    folder = bitx.snapshot("org/tuned", cache_dir=tmp_path / "cache", local_files_only=True)
    assert (Path(folder) / "model.safetensors").read_bytes() == pair.target.read_bytes()


def test_folders_and_named_bases(pair: Pair, tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "model.safetensors.bitx").write_bytes(pair.archive.read_bytes())
    with pytest.raises(bitx.Error, match="names no base_model"):
        bitx.snapshot(folder)
    for text in ("---\nbase_model: [\n---\n", "---\nbase_model: {a: 1}\n---\n", "---\n- 1\n---\n"):
        (folder / "README.md").write_text(text)
        with pytest.raises(bitx.Error):
            bitx.snapshot(folder)
    with pytest.raises(bitx.Error) as caught:
        bitx.snapshot(folder, base=VECTORS)
    assert caught.value.code == "base-mismatch" and names(folder / "deep") == [
        "model.safetensors.bitx"
    ]
    assert bitx.snapshot(folder, base=[VECTORS, pair.base]) == str(folder)
    assert (folder / "deep" / "model.safetensors").read_bytes() == pair.target.read_bytes()


def test_archives_without_a_base_and_of_format_v1(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    bitx.compress(None, pair.target, tmp_path / "alone" / "m.safetensors.bitx")
    bitx.snapshot(tmp_path / "alone")
    (tmp_path / "v1").mkdir()
    bitx.compress(pair.base, pair.target, tmp_path / "v1" / "m.safetensors.bitx", level=1)
    bitx.snapshot(tmp_path / "v1", base=pair.base.parent / "base.safetensors")
    for folder in ("alone", "v1"):
        assert (tmp_path / folder / "m.safetensors").read_bytes() == pair.target.read_bytes()


def test_shards_of_one_length(tmp_path: Path) -> None:
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    base.mkdir()
    tuned.mkdir()
    for number in range(3):
        old, new = tensors_of(number, rows=64)
        save_file(old, base / f"{2 - number}.safetensors")
        save_file(new, tmp_path / f"{number}.safetensors")
    shards = sorted(base.iterdir())
    for number in range(3):
        file = f"{number}.safetensors"
        bitx.compress(shards, tmp_path / file, tuned / f"{file}.bitx", effort="fast")
    bitx.snapshot(tuned, base=base)
    for number in range(3):
        file = f"{number}.safetensors"
        assert (tuned / file).read_bytes() == (tmp_path / file).read_bytes()
