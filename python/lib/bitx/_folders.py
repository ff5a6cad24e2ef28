"""Model folders: paths of folders as inputs, and folders of archives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import cast

from bitx._error import invalid
from bitx._inputs import Source, path_of


def is_folder(source: object) -> bool:
    """Tells whether an input is the path of a folder."""
    return isinstance(source, str | os.PathLike) and os.path.isdir(source)


def folder_path(source: Source) -> str:
    """Returns the path of an input that is a folder."""
    return path_of(cast("str | os.PathLike[str]", source))


def has_folder(sources: Source | Sequence[Source] | None) -> bool:
    """Tells whether one of the inputs is the path of a folder."""
    return any(map(is_folder, sources if isinstance(sources, list | tuple) else [sources]))


def paths_of(sources: Source | Sequence[Source] | None) -> list[str]:
    """Returns the paths of inputs, for calls that need paths."""
    if sources is None:
        return []
    all_ = sources if isinstance(sources, list | tuple) else [sources]
    paths = []
    for source in all_:
        if not isinstance(source, str | os.PathLike):
            kind = type(source).__name__
            raise invalid(f"with a folder, all inputs are paths, not {kind}")
        paths.append(path_of(source))
    return paths
