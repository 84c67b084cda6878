"""The commands, options, variables and messages that the documents themselves describe, each with its place.

It embeds and searches nothing.

    reference = read_reference(chunks)
"""
