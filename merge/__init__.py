"""Geodesic merging of a chip-domain model and a chat model (ChipAlign, arXiv 2412.19819), with no training.

Nothing is imported here, so that `import merge` costs nothing. The arithmetic is merge.arithmetic.geodesic, the whole
job is merge.merging.merger:

    from merge.merging.merger import merge_parents
"""
