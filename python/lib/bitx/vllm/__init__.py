"""A plug-in of vLLM: the load format ``bitx``, and the weight-transfer engine ``bitx``.

vLLM finds ``register`` by the entry point ``bitx`` of the group ``vllm.general_plugins``, and calls
it in each of its processes. Until then, this package does not import vLLM.
"""

from __future__ import annotations

import logging
from functools import cache

#: The name of the load format and of the weight-transfer engine.
NAME = "bitx"


@cache
def register() -> None:
    """Makes the load format and the weight-transfer engine known to vLLM, once in a process.

    A vLLM that lacks a part of the interface starts nevertheless, with a warning in its log.
    """
    try:
        from vllm.distributed.weight_transfer import WeightTransferEngineFactory
        from vllm.model_executor.model_loader import register_model_loader

        from bitx.vllm.loader import DeltaModelLoader
    except ImportError as error:
        logging.getLogger(__name__).warning("the plug-in bitx needs a later vLLM: %s", error)
        return
    register_model_loader(NAME)(DeltaModelLoader)
    WeightTransferEngineFactory.register_engine(NAME, "bitx.vllm.engine", "DeltaTransferEngine")
