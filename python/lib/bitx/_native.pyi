"""The native part of the package: see ``python/src``."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from numpy import uint8
from numpy.typing import NDArray

__version__: str

class _Base(TypedDict):
    length: int
    blake3: str

class _Tensor(TypedDict):
    name: str
    dtype: str
    shape: list[int]
    method: str
    rank: int | None
    stored_bytes: int
    restored_bytes: int

class _Content(TypedDict):
    version: int
    stored_bytes: int
    restored_bytes: int
    blake3: str | None
    bases: list[_Base]
    tensors: list[_Tensor]

class _BaseFile(TypedDict):
    path: str
    length: int
    blake3: str

class _FolderContent(TypedDict):
    stored_bytes: int
    restored_bytes: int
    bases: list[_BaseFile]
    files: list[tuple[str, _Content]]

class _Region(TypedDict):
    name: str
    dtype: str
    shape: list[int]
    offset: int
    length: int

_Progress = Callable[[int, int], object]

class Input:
    @staticmethod
    def path(path: str, watched: bool) -> Input: ...
    @staticmethod
    def memory(array: NDArray[uint8], label: str) -> Input: ...
    @staticmethod
    def callback(
        read: Callable[[int, int], bytes], length: int, label: str, file: str | None
    ) -> Input: ...
    @staticmethod
    def tensors(header: bytes, arrays: Sequence[NDArray[uint8]], label: str) -> Input: ...

class Reader:
    def __new__(cls, base: Sequence[Input], archive: Input, *, threads: int | None) -> Reader: ...
    @property
    def length(self) -> int: ...
    def reopen(self) -> Reader: ...
    def report(self) -> _Content: ...
    def layout(self) -> tuple[str, int, list[_Region]]: ...
    def read(self, offset: int, array: NDArray[Any]) -> None: ...

def command(args: Sequence[str]) -> int: ...
def compress(
    base: Sequence[Input],
    target: Input,
    out: str,
    *,
    effort: str,
    level: int | None,
    replace: bool,
    threads: int | None,
    progress: _Progress | None,
) -> _Content: ...
def restore(
    base: Sequence[Input],
    archive: Input,
    out: str,
    *,
    replace: bool,
    max_output: int | None,
    threads: int | None,
    progress: _Progress | None,
) -> _Content: ...
def verify(
    base: Sequence[Input], archive: Input, *, threads: int | None, progress: _Progress | None
) -> tuple[str, _Content]: ...
def inspect(archive: Input) -> _Content: ...
def distance(a: Sequence[str], b: str, *, threads: int | None) -> str: ...
def merge(
    base: Input,
    adapter: Input,
    config: Input,
    out: str,
    *,
    replace: bool,
    threads: int | None,
    progress: _Progress | None,
) -> _Content: ...
def compress_folder(
    base: Sequence[str],
    target: str,
    out: str,
    *,
    effort: str,
    replace: bool,
    threads: int | None,
    progress: _Progress | None,
) -> _FolderContent: ...
def restore_folder(
    base: Sequence[str],
    archive: str,
    out: str,
    *,
    replace: bool,
    max_output: int | None,
    threads: int | None,
    progress: _Progress | None,
) -> _FolderContent: ...
def verify_folder(
    base: Sequence[str], archive: str, *, threads: int | None, progress: _Progress | None
) -> _FolderContent: ...
def inspect_folder(archive: str) -> _FolderContent: ...
def merge_folder(
    base: str,
    adapter: str,
    out: str,
    *,
    replace: bool,
    threads: int | None,
    progress: _Progress | None,
) -> tuple[int, int, list[str]]: ...
def store_add(
    root: str,
    name: str | None,
    files: Sequence[str],
    *,
    effort: str,
    threads: int | None,
    progress: _Progress | None,
) -> str: ...
def store_get(
    root: str,
    name: str,
    out: str,
    *,
    replace: bool,
    max_output: int | None,
    threads: int | None,
    progress: _Progress | None,
) -> str: ...
def store_survey(
    name: str | None, files: Sequence[str], *, threads: int | None, progress: _Progress | None
) -> str: ...
def store_plan(root: str, surveys: str, *, threads: int | None) -> str: ...
def store_write(
    root: str, plan: str, *, effort: str, threads: int | None, progress: _Progress | None
) -> str: ...
def store_ls(root: str) -> str: ...
def store_files(root: str, name: str) -> str: ...
def store_stats(root: str) -> str: ...
def digest(input: Input) -> str: ...
def encode(
    old: Input, new: Input, *, effort: str, parent: bytes | None, threads: int | None
) -> bytes: ...
def apply(state: Input, delta: Input, *, version: bytes | None, threads: int | None) -> str: ...
