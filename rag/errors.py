"""All errors of `rag`, by name; each message says what went wrong, with which value, and what to do next.

It does not print or exit: the command line prints `str(error)` in one line and exits with `exit_code`.

    raise IndexNotFound(f"no index in {index_dir}: build one with `chipalign index build --out {index_dir} SOURCE...`")
"""

from __future__ import annotations


class RagError(Exception):
    """Base of all errors of this package; the user's input is wrong, so the command line exits with 2."""

    exit_code = 2


def reason_of(error: Exception) -> str:
    """Why a file cannot be read or written, in the system's words: "No such file or directory"."""
    return getattr(error, "strerror", None) or str(error)


class SettingsError(RagError):
    """A setting has a value that is not allowed; the message names the variable, its value and the allowed range."""


class CorpusUnknown(RagError):
    """A corpus name that sources.toml does not pin; the message lists the known names."""


class CorpusUnavailable(RagError):
    """Neither the mirror nor the public host gave the archive; the message says how to use a mirror."""


class ChecksumMismatch(RagError):
    """The fetched files are not the pinned ones; the message holds both checksums."""


class ArchiveUnsafe(RagError):
    """An archive holds absolute paths or `..`, exceeds the size limits, or is not an archive."""


class SourceUnusable(RagError):
    """A SOURCE of `index build` is not a folder, file, archive or fetched corpus, or holds nothing readable."""


class ParseFailed(RagError):
    """A file is not what its name says, is encrypted or damaged, or takes too long to parse.

    The message is the reason; the reader goes on.
    """


class CuttingFailed(RagError):
    """A document cannot be cut into chunks, or not in the allowed time.

    The message is the reason; the build goes on.
    """


class EmbedderUnavailable(RagError):
    """The embedding model cannot be found or loaded, or its server does not answer or refuses.

    The message says where it was looked for.
    """


class IndexNotFound(RagError):
    """The folder holds no index; the message says how to build one."""


class IndexMismatch(RagError):
    """The index was built with other settings; the message lists each difference with both values."""


class IndexCorrupt(RagError):
    """The index folder is damaged (missing, cut or foreign files); building again repairs it."""


class IndexUnusable(RagError):
    """The index that a running program searched was replaced, and the new one cannot be searched, or not yet.

    The message says why.
    """


class IndexUnwritable(RagError):
    """The index could not be written (disk full, read-only); the index that was there is still whole."""


class MilvusUnavailable(RagError):
    """The Milvus that holds an index's vectors does not answer, or refuses; the message holds its address."""


class IndexBusy(RagError):
    """Another process is building into the same folder."""


class CollectionUnknown(RagError):
    """A collection that the index does not hold; the message lists those it holds."""


class NameUnknown(RagError):
    """A name that no indexed document describes; the message offers near ones."""


class OutputUnwritable(RagError):
    """A file that a command should write cannot be written."""


class EmptyQuery(RagError):
    """A search for nothing: the query has no letter or digit."""


class LexiconUnusable(RagError):
    """A file of the lexicon cannot be read, or has lines that are not groups; the message names file and lines."""


class QuestionsUnusable(RagError):
    """A file of evaluation questions cannot be read, or has lines that are not questions; the message lists them."""


class ChunksUnusable(RagError):
    """A file of ready-made chunks cannot be read, or does not have the expected form; the message says where."""


class ReferenceUnknown(RagError):
    """Questions refer to passages that the corpus or index does not hold; the message lists them all."""
