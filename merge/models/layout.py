"""The names of the files that a checkpoint and an adapter are made of.

    weights = folder / WEIGHTS

Nothing else, so that they can be known before any library is loaded.
"""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PART = ".part"  # the end of the name of a file that is not finished
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
