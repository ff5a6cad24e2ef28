"""What the tests of the plug-in need of vLLM itself, which then runs on the cpu."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from vllm.config.load import LoadConfig
from vllm.config.weight_transfer import WeightTransferConfig
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.model_executor.model_loader import get_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.model_loader.reload import record_metadata_for_reloading
from vllm.model_executor.model_loader.weight_utils import default_weight_loader
from vllm.plugins import load_general_plugins


class Model(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """A model with a parameter for each tensor."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            module: torch.nn.Module = self
            *parents, last = name.split(".")
            for parent in parents:
                if not hasattr(module, parent):
                    module.add_module(parent, torch.nn.Module())
                module = getattr(module, parent)
            empty = torch.zeros_like(torch.from_numpy(tensor))
            module.register_parameter(last, torch.nn.Parameter(empty, requires_grad=False))
        record_metadata_for_reloading(self)

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> set[str]:
        parameters, loaded = dict(self.named_parameters()), set()
        for name, tensor in weights:
            parameter = parameters[name]
            getattr(parameter, "weight_loader", default_weight_loader)(parameter, tensor)
            loaded.add(name)
        return loaded

    def found(self) -> dict[str, Any]:
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}


def world() -> SimpleNamespace:
    """Returns the parts of vLLM, with the plug-in."""
    load_general_plugins()
    # These two ask for a whole configuration of vLLM, to leave out experts and language models.
    for skipped in ("_init_ep_weight_filter", "_init_mm_encoder_only_weight_filter"):
        setattr(DefaultModelLoader, skipped, lambda *_: None)
    return SimpleNamespace(
        load_config=lambda format_, extra: LoadConfig(
            load_format=format_, model_loader_extra_config=extra
        ),
        transfer_config=lambda backend: WeightTransferConfig(backend=backend),
        loader=get_model_loader,
        engine=WeightTransferEngineFactory.create_engine,
        model=Model,
        device=torch.device("cpu"),
    )
