"""Writes tests/vectors/adapters: small models that PEFT itself merged with LoRA adapters.

It needs PyPI's `torch`, `peft` and `safetensors`, which are too large for `npm test`:

    python scripts/peft-vectors.py tests/vectors/adapters
"""

import json
import shutil
import sys
from pathlib import Path

import peft
import torch
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D


class Model(nn.Module):
    """A model with a layer of each kind that an adapter of vectors changes."""

    def __init__(self, transposed):
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.first = nn.ModuleDict({"q": Conv1D(40, 32) if transposed else nn.Linear(32, 40), "v": nn.Linear(32, 32)})
        self.second = nn.ModuleDict({"q": Conv1D(40, 32) if transposed else nn.Linear(32, 40)})
        self.head = nn.Linear(32, 6)

    def forward(self, tokens):
        return self.head(self.embed(tokens))


def state(model):
    return {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}


def vector(folder, dtype, transposed=False, autocast=True, safe=False, **config):
    torch.manual_seed(7)
    model = Model(transposed).to(dtype)
    folder.mkdir(parents=True)
    save_file(state(model), folder / "base.safetensors")
    targets = ["q", "embed"] if transposed else ["q", "v", "embed"]
    config = peft.LoraConfig(target_modules=targets, fan_in_fan_out=transposed, **config)
    tuned = peft.get_peft_model(model, config, autocast_adapter_dtype=autocast)
    with torch.no_grad():
        for name, tensor in tuned.named_parameters():
            if "lora_" in name:
                tensor.copy_(torch.randn(tensor.shape) * 0.05)
            if "modules_to_save" in name:
                tensor.add_(0.25)
    tuned.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    # The configuration without the fields that say nothing, which differ from version to version.
    path = folder / "adapter_config.json"
    fields = {k: v for k, v in json.loads(path.read_text()).items() if v not in (None, [], {}, "")}
    path.write_text(json.dumps(fields, indent=1, sort_keys=True) + "\n")
    merged = tuned.merge_and_unload(safe_merge=safe)
    save_file(state(merged), folder / "merged.safetensors")


def main():
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    vector(folder / "f32", torch.float32, r=4, lora_alpha=6, rank_pattern={"second.q": 3})
    vector(folder / "bf16", torch.bfloat16, r=4, lora_alpha=8, alpha_pattern={"first.q": 5}, modules_to_save=["head"])
    vector(folder / "f16-narrow", torch.float16, r=5, use_rslora=True, lora_alpha=16, autocast=False)
    vector(folder / "bf16-safe", torch.bfloat16, r=8, lora_alpha=16, safe=True)
    vector(folder / "f32-transposed", torch.float32, transposed=True, r=4, lora_alpha=4)


main()
