"""The load format ``bitx`` of vLLM: weights from a base and archives, without restored files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

from safetensors import safe_open as open_whole
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.model_loader.weight_utils import filter_duplicate_safetensors_files

from bitx._error import Error
from bitx._hub import Hub, output_of
from bitx._safe_open import safe_open

#: The options in ``model_loader_extra_config`` that are the loader's own.
_OPTIONS = ("base", "base_revision", "threads")

_FRAMEWORK = "pt"
_INDEX = "model.safetensors.index.json"
_WEIGHTS = ".safetensors"


class DeltaModelLoader(DefaultModelLoader):  # type: ignore[misc, unused-ignore]
    """Loads a model whose weights lie as archives ``NAME.safetensors.bitx`` in its folder.

    The tensors are decoded one by one, and no file is restored. A file ``NAME.safetensors`` in the
    folder is read as it is. The base is ``base`` of ``model_loader_extra_config``, or else the
    ``base_model`` of the model card: a model of the hub, a folder or a file. ``base_revision`` is
    the revision of a base of the hub, and ``threads`` limits the threads of the codec.
    """

    def __init__(self, load_config: Any) -> None:
        extra = load_config.model_loader_extra_config
        options = dict(extra) if isinstance(extra, dict) else {}
        self._options = {name: options.pop(name, None) for name in _OPTIONS}
        default = copy(load_config)
        default.load_format = "auto"
        default.model_loader_extra_config = options
        super().__init__(default)

    def download_model(self, model_config: Any) -> None:
        """Downloads the model, and those files of its base that its archives need."""
        self._sources(model_config)

    def get_all_weights(self, model_config: Any, model: Any) -> Iterator[tuple[str, Any]]:
        """Yields the names and tensors of a model, and those of the further sources it names."""
        sources = self._sources(model_config)
        self.counter_before_loading_weights = time.perf_counter()
        for file, (archive, base) in sources.items():
            opened = (
                open_whole(file, framework=_FRAMEWORK)
                if archive is None
                else safe_open(archive, _FRAMEWORK, base=base, threads=self._options["threads"])
            )
            with opened as weights:
                for name in weights.offset_keys():
                    yield name, weights.get_tensor(name)
        for source in getattr(model, "secondary_weights", ()):
            yield from self._get_weights_iterator(source)

    def _sources(self, model_config: Any) -> dict[str, tuple[Path | None, list[Path]]]:
        """Returns for each file of weights its archive and the base of that, if it is not whole."""
        hub = Hub(self.load_config.download_dir)
        opened = hub.open(model_config.model, model_config.revision)
        found: dict[str, tuple[Path | None, list[Path]]] = {
            str(file): (None, []) for file in sorted(opened.folder.glob(f"*{_WEIGHTS}"))
        }
        options = self._options
        for archive, base in hub.bases(opened, options["base"], options["base_revision"]).items():
            file = output_of(archive)
            if file.parent == opened.folder and file.suffix == _WEIGHTS:
                found[str(file)] = (archive, base)
        if not found:
            raise Error(f"{opened.folder}: the model has no weights", "not-found")
        kept = filter_duplicate_safetensors_files(list(found), str(opened.folder), _INDEX)
        return {file: found[file] for file in kept}
