"""The mathematics of merging, on arrays alone: numbers in, numbers out."""
