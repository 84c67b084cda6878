"""GET /v1/models: the engine's models in OpenAI's form, each under the names that choose what is searched.

It asks the engine each time and keeps no list.

    Endpoint("GET", models)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.answers.model_names import offered_names, write_name
from serve.errors import EngineUnavailable, RetrievalUnavailable
from serve.gateway.gateway import Gateway, gateway_of, no_such_model


async def models(request: Request) -> Response:
    """GET /v1/models and /v1/models/{id}: the engine's models under OpenAI's fields.

    A model's other names, which turn retrieval off or narrow it, have it as their `parent`, as vLLM's adapters do.
    """
    gateway = gateway_of(request)
    collections = _collections(gateway)
    known = [
        {
            "id": write_name(named),
            "object": "model",
            "created": model.get("created") or 0,
            "owned_by": "chipalign",
            "parent": None if write_name(named) == model["id"] else model["id"],
            "max_model_len": model.get("max_model_len"),
            "guidance": gateway.engine.abilities,
        }
        for model in await served_models(gateway)
        for named in offered_names(model["id"], collections)
    ]

    wanted = request.path_params.get("model_id")
    if wanted is None:
        return JSONResponse({"object": "list", "data": known})
    for model in known:
        if model["id"] == wanted:
            return JSONResponse(model)
    raise no_such_model(wanted, [str(model["id"]) for model in known])


async def served_models(gateway: Gateway) -> list[dict[str, Any]]:
    """The engine's models; if it does not answer and the documents do by themselves, the settings' model."""
    try:
        return await gateway.upstream.models()
    except EngineUnavailable:
        if gateway.settings.answer == "model":
            raise
        return [{"id": gateway.settings.model_id}]


def _collections(gateway: Gateway) -> Iterable[str]:
    """The collections that can be searched now: none if the index cannot."""
    try:
        return gateway.passages().collections
    except RetrievalUnavailable:
        return ()
