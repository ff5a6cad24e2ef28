"""The weight-transfer engine ``bitx`` of vLLM: new versions of weights as deltas.

A worker keeps the weights of the checkpoint in the memory of the cpu. A delta changes them, and the
model then takes them by its own ``load_weights``, which divides and fuses them as when it started.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader import get_model_loader
from vllm.model_executor.model_loader.reload import (
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)

from bitx._error import Error, invalid
from bitx._inputs import Source
from bitx._sync import apply_, digest


@dataclass
class DeltaInitInfo(WeightTransferInitInfo):  # type: ignore[misc, unused-ignore]
    """The start of a transfer. ``version`` is the digest of the weights that the trainer has."""

    version: str | None = None


@dataclass
class DeltaUpdateInfo(WeightTransferUpdateInfo):  # type: ignore[misc, unused-ignore]
    """A delta: its bytes, as text in base64 where they travel as JSON, or the path of its file."""

    delta: bytes | str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if (self.delta is None) == (self.path is None):
            raise ValueError("an update has either a delta or a path")

    def source(self) -> Source:
        """Returns the bytes of the delta, or the path of its file."""
        if self.path is not None:
            return self.path
        if not isinstance(self.delta, str):
            return bytes(self.delta or b"")
        try:
            return base64.b64decode(self.delta, validate=True)
        except binascii.Error as error:
            raise invalid(f"the delta is not text in base64: {error}") from error


class DeltaTransferEngine(WeightTransferEngine):  # type: ignore[misc, unused-ignore]
    """Applies deltas that ``bitx.encode_tensors`` made of the tensors of a checkpoint.

    Each delta names the version that it changes and the version that it makes. A delta for another
    version is refused, and so is a damaged one, before anything is changed.
    """

    init_info_cls = DeltaInitInfo
    update_info_cls = DeltaUpdateInfo
    supports_draft_weight_update = False

    def __init__(self, config: Any, vllm_config: Any, device: Any, model: Any) -> None:
        super().__init__(config, vllm_config, device, model)
        self._state: dict[str, Any] | None = None
        self._version: str | None = None
        self._loaded: str | None = None

    @property
    def version(self) -> str | None:
        """The digest of the weights that the last update gave to the model."""
        return self._loaded

    def init_transfer_engine(self, init_info: DeltaInitInfo) -> None:
        """Reads the weights of the checkpoint from which the model was loaded."""
        state = self._checkpoint()
        version = digest(state)
        if init_info.version not in (None, version):
            message = (
                "the checkpoint is not the version of the trainer: expected version "
                f"{init_info.version}, found {version}"
            )
            raise Error(message, "base-mismatch")
        self._state, self._version, self._loaded = state, version, None

    def start_weight_update(self) -> None:
        """Checks that the transfer has begun."""
        self._weights()

    def receive_weights(self, update_info: DeltaUpdateInfo) -> None:
        """Applies a delta to the weights in the memory of the cpu."""
        self._version = apply_(self._weights(), update_info.source())

    def finish_weight_update(self) -> None:
        """Loads the new version into the model, if there is one.

        If that fails, the next update loads all weights again.
        """
        state = self._weights()
        if self._loaded == self._version:
            return
        self._loaded = None
        initialize_layerwise_reload(self.model)
        try:
            self.model.load_weights(state.items())
        finally:
            finalize_layerwise_reload(self.model, self.model_config)
        self._loaded = self._version

    def shutdown(self) -> None:
        """Frees the weights in the memory of the cpu."""
        self._state = None

    def _weights(self) -> dict[str, Any]:
        if self._state is None:
            raise invalid("the transfer has not begun: call init_weight_transfer_engine first")
        return self._state

    def _checkpoint(self) -> dict[str, Any]:
        config = self.vllm_config.load_config
        loader = get_model_loader(config)
        if not hasattr(loader, "get_all_weights"):
            raise invalid(
                f"the load format {config.load_format!r} reads no tensors of a checkpoint"
            )
        weights = loader.get_all_weights(self.model_config, self.model)
        return {name: _copied(tensor) for name, tensor in weights}


def _copied(tensor: Any) -> Any:
    """Returns a tensor of its own in the memory of the cpu."""
    return tensor.cpu().clone()
