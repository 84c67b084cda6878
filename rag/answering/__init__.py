"""From passages to an answer: what may be quoted, and how it is said.

units = cut_units(hit.chunk.text)
"""
