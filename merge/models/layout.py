"""The names of the files that a checkpoint and an adapter are made of.

    weights = folder / WEIGHTS

It holds nothing else, so that the names are known before any library is loaded.
"""

from __future__ import annotations

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PART = ".part"  # suffix of an unfinished file
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
