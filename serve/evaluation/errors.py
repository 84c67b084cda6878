"""What can go wrong in an evaluation, each as a class that says what happened; the command exits 2 with one line.

Questions that cannot be used are `rag.errors.QuestionsUnusable`, since documents and training have questions too.

    raise ModelUnknown("http://127.0.0.1:8001 serves no model 'x': its models are demo; name one of them with --model")
"""

from __future__ import annotations

from serve.errors import ServeError


class EndpointUnreachable(ServeError):
    """No server answers at the URL, or the connection broke."""


class EndpointRefused(ServeError):
    """The server answers, but refuses the request, is of another kind, or does not speak OpenAI's format."""


class ContextExceeded(EndpointRefused):
    """The request does not fit into the model's window."""


class ModelUnknown(ServeError):
    """The server serves no model of that name, or serves several and none was named."""


class AnswersUnusable(ServeError):
    """A file of answers does not match (evaluation, settings, questions), is damaged or in use, or cannot be used."""


class ResultUnusable(ServeError):
    """A former result cannot be read or shares no question with this one, or a result cannot be written."""


class LibraryMissing(ServeError):
    """A library that only an evaluation needs is not installed, or its data cannot be provided."""
