"""GET /v1/models: the engine's models in OpenAI's form.

It asks the engine each time and keeps no list.

    Endpoint("GET", models)
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.errors import EngineUnavailable
from serve.gateway.gateway import Gateway, gateway_of, no_such_model


async def models(request: Request) -> Response:
    """GET /v1/models and /v1/models/{id}: the engine's models under OpenAI's fields."""
    gateway = gateway_of(request)
    known = [
        {
            "id": model["id"],
            "object": "model",
            "created": model.get("created") or 0,
            "owned_by": "chipalign",
            "max_model_len": model.get("max_model_len"),
            "guidance": gateway.engine.abilities,
        }
        for model in await served_models(gateway)
    ]

    wanted = request.path_params.get("model_id")
    if wanted is None:
        return JSONResponse({"object": "list", "data": known})
    for model in known:
        if model["id"] == wanted:
            return JSONResponse(model)
    raise no_such_model(wanted, [model["id"] for model in known])


async def served_models(gateway: Gateway) -> list[dict[str, Any]]:
    """The engine's models; if it does not answer and the documents do by themselves, the settings' model."""
    try:
        return await gateway.upstream.models()
    except EngineUnavailable:
        if gateway.settings.answer == "model":
            raise
        return [{"id": gateway.settings.model_id}]
