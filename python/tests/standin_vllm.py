"""Stand-ins for the classes of vLLM 0.33 that the plug-in uses, with their signatures.

They hold numpy arrays instead of tensors. The tests use them where vLLM is not installed.
"""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

LOADERS: dict[str, type[BaseModelLoader]] = {}
ENGINES: dict[str, Callable[[], type[WeightTransferEngine]]] = {}


class BaseModelLoader(ABC):
    def __init__(self, load_config: Any) -> None:
        self.load_config = load_config

    @abstractmethod
    def download_model(self, model_config: Any) -> None: ...

    @abstractmethod
    def load_weights(self, model: Any, model_config: Any) -> None: ...


class DefaultModelLoader(BaseModelLoader):
    counter_before_loading_weights: float = 0.0

    def __init__(self, load_config: Any) -> None:
        super().__init__(load_config)
        unexpected = set(load_config.model_loader_extra_config) - {"enable_multithread_load"}
        if unexpected:
            raise ValueError(f"Unexpected extra config keys: {unexpected}")

    def download_model(self, model_config: Any) -> None: ...

    def get_all_weights(self, model_config: Any, model: Any) -> Iterator[tuple[str, Any]]:
        for file in sorted(Path(model_config.model).glob("*.safetensors")):
            yield from load_file(file).items()

    def load_weights(self, model: Any, model_config: Any) -> None:
        model.load_weights(self.get_all_weights(model_config, model))


@dataclass
class WeightTransferInitInfo(ABC):  # noqa: B024
    pass


@dataclass
class WeightTransferUpdateInfo(ABC):  # noqa: B024
    pass


class WeightTransferEngine(ABC):
    init_info_cls: type[WeightTransferInitInfo]
    update_info_cls: type[WeightTransferUpdateInfo]
    supports_draft_weight_update = True

    def __init__(self, config: Any, vllm_config: Any, device: Any, model: Any) -> None:
        self.config, self.vllm_config, self.device, self.model = config, vllm_config, device, model
        self.parallel_config = vllm_config.parallel_config
        self.model_config = vllm_config.model_config

    def parse_init_info(self, init_dict: dict[str, Any]) -> Any:
        return self.init_info_cls(**init_dict)

    def parse_update_info(self, update_dict: dict[str, Any]) -> Any:
        return self.update_info_cls(**update_dict)

    @abstractmethod
    def init_transfer_engine(self, init_info: Any) -> None: ...

    @abstractmethod
    def start_weight_update(self) -> None: ...

    @abstractmethod
    def finish_weight_update(self) -> None: ...

    @abstractmethod
    def receive_weights(self, update_info: Any) -> None: ...

    @abstractmethod
    def shutdown(self) -> None: ...


class WeightTransferEngineFactory:
    @staticmethod
    def register_engine(name: str, module_path: str, class_name: str) -> None:
        if name in ENGINES:
            raise ValueError(f"Weight transfer engine '{name}' is already registered.")
        ENGINES[name] = lambda: getattr(importlib.import_module(module_path), class_name)

    @staticmethod
    def create_engine(config: Any, vllm_config: Any, device: Any, model: Any) -> Any:
        return ENGINES[config.backend]()(config, vllm_config, device, model)


def register_model_loader(load_format: str) -> Callable[[Any], Any]:
    def register(loader: type[BaseModelLoader]) -> type[BaseModelLoader]:
        assert issubclass(loader, BaseModelLoader)
        LOADERS[load_format] = loader
        return loader

    return register


def get_model_loader(load_config: Any) -> BaseModelLoader:
    return LOADERS[load_config.load_format](load_config)


def filter_duplicate_safetensors_files(files: list[str], folder: str, index: str) -> list[str]:
    return files


def initialize_layerwise_reload(model: Any) -> None:
    model.reload = "begun"


def finalize_layerwise_reload(model: Any, model_config: Any) -> None:
    assert model.reload == "begun"
    model.reload = "ended"


class Model:
    """A model that takes tensors by their names in the checkpoint."""

    reload = "never"

    def __init__(self, names: Iterable[str]) -> None:
        self.weights: dict[str, Any] = dict.fromkeys(names)

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> set[str]:
        loaded = {name: np.array(tensor) for name, tensor in weights}
        assert loaded.keys() <= self.weights.keys()
        self.weights.update(loaded)
        return set(loaded)

    def found(self) -> dict[str, Any]:
        return self.weights


_MODULES: dict[str, list[Any]] = {
    "vllm.distributed.weight_transfer": [WeightTransferEngineFactory],
    "vllm.distributed.weight_transfer.base": [
        WeightTransferEngine,
        WeightTransferInitInfo,
        WeightTransferUpdateInfo,
    ],
    "vllm.model_executor.model_loader": [register_model_loader, get_model_loader],
    "vllm.model_executor.model_loader.default_loader": [DefaultModelLoader],
    "vllm.model_executor.model_loader.reload": [
        finalize_layerwise_reload,
        initialize_layerwise_reload,
    ],
    "vllm.model_executor.model_loader.weight_utils": [filter_duplicate_safetensors_files],
}


def install(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Puts the stand-ins where vLLM has its classes, and returns what a test needs of them."""
    for path in _MODULES:
        parts = path.split(".")
        for end in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(parts[end - 1]))
    for path, members in _MODULES.items():
        module = ModuleType(path)
        for member in members:
            setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, path, module)
    LOADERS.clear()
    LOADERS["auto"] = DefaultModelLoader
    ENGINES.clear()
    return SimpleNamespace(
        load_config=lambda format_, extra: SimpleNamespace(
            load_format=format_, model_loader_extra_config=extra, download_dir=None
        ),
        transfer_config=lambda backend: SimpleNamespace(backend=backend),
        loader=get_model_loader,
        engine=WeightTransferEngineFactory.create_engine,
        model=Model,
        device="cpu",
    )
