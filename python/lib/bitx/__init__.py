"""Fine-tuned models as lossless deltas against their base.

``compress`` and ``restore`` work on files and folders, and ``merge`` on LoRA adapters.
``safe_open`` opens a fine-tune from its base and an archive, tensor by tensor. ``encode_tensors``
and ``apply_`` send a new version of weights in memory as its difference from the last one.
``Store`` keeps models in a folder or a bucket, each as a delta where that is smaller.
"""

from bitx._error import Error
from bitx._files import Effort, compress, distance, inspect, restore, verify
from bitx._hub import snapshot
from bitx._merge import merge
from bitx._native import __version__
from bitx._report import BaseFile, Distance, FolderReport, MergeReport, Report, TensorReport
from bitx._safe_open import SafeSlice, load_file, safe_open
from bitx._store import Added, Planned, Stats, Store, StoredFile, StoredModel, Survey
from bitx._sync import apply_, changes, digest, encode_tensors, versions

__all__ = [
    "Added",
    "BaseFile",
    "Distance",
    "Effort",
    "Error",
    "FolderReport",
    "MergeReport",
    "Planned",
    "Report",
    "SafeSlice",
    "Stats",
    "Store",
    "StoredFile",
    "StoredModel",
    "Survey",
    "TensorReport",
    "__version__",
    "apply_",
    "changes",
    "compress",
    "digest",
    "distance",
    "encode_tensors",
    "inspect",
    "load_file",
    "merge",
    "restore",
    "safe_open",
    "snapshot",
    "verify",
    "versions",
]
