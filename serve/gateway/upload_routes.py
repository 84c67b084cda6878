"""/v1/files and /v1/vector_stores: OpenAI's files, vector stores with their files and batches, and their search.

It reads requests and writes answers; serve/uploads does the work, in threads.

    Endpoint("/v1/vector_stores/{store_id}/search", "POST", search_store)
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from serve.errors import FileNotKept
from serve.gateway.bodies import read_body, unless_client_leaves
from serve.gateway.gateway import gateway_of
from serve.request_body import check_shape, read_object
from serve.uploads import attachments, deleting, files, searching, stores
from serve.uploads.pages import read_page
from serve.uploads.requests import AttachFile, CreateBatch, CreateStore, Search, UpdateFile, UpdateStore
from serve.uploads.shelf import Shelf

Shape = TypeVar("Shape", bound=BaseModel)


async def upload_file(request: Request) -> Response:
    """POST /v1/files: a form with the fields file and purpose."""
    shelf = _shelf(request)
    return JSONResponse(await shelf.uploads.receive(request, shelf.library))


async def list_files(request: Request) -> Response:
    """GET /v1/files: the newest first."""
    page = read_page(request.query_params, files.MOST_LISTED, files.MOST_LISTED)
    return JSONResponse(await _shelf(request).do(files.list_files, page, request.query_params.get("purpose")))


async def show_file(request: Request) -> Response:
    """GET /v1/files/{file_id}."""
    return JSONResponse(await _shelf(request).do(files.show_file, request.path_params["file_id"]))


async def read_file(request: Request) -> Response:
    """GET /v1/files/{file_id}/content: the bytes as they came, to be saved and not shown."""
    file, path = await _shelf(request).do(files.find_content, request.path_params["file_id"])
    if not path.is_file():
        raise FileNotKept(f"The content of the file {file.file_id} is not there any more.")
    headers = {"content-disposition": f"attachment; filename*=utf-8''{quote(file.name)}"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream")


async def delete_file(request: Request) -> Response:
    """DELETE /v1/files/{file_id}: answered when its text is in no vector store any more."""
    shelf = _shelf(request)
    work = deleting.delete_file(shelf.library, shelf.builder, request.path_params["file_id"])
    return JSONResponse(await unless_client_leaves(request, work))


async def list_stores(request: Request) -> Response:
    """GET /v1/vector_stores: also the collections that the operator built."""
    return JSONResponse(await _shelf(request).do(stores.list_stores, read_page(request.query_params)))


async def create_store(request: Request) -> Response:
    """POST /v1/vector_stores."""
    body = await _body(request, CreateStore)
    return JSONResponse(await _shelf(request).do(stores.create_store, body))


async def show_store(request: Request) -> Response:
    """GET /v1/vector_stores/{store_id}."""
    return JSONResponse(await _shelf(request).do(stores.show_store, _id(request)))


async def update_store(request: Request) -> Response:
    """POST /v1/vector_stores/{store_id}."""
    body = await _body(request, UpdateStore)
    return JSONResponse(await _shelf(request).do(stores.update_store, _id(request), body))


async def delete_store(request: Request) -> Response:
    """DELETE /v1/vector_stores/{store_id}: answered when its text is gone from the index."""
    shelf = _shelf(request)
    work = deleting.delete_store(shelf.library, shelf.builder, _id(request))
    return JSONResponse(await unless_client_leaves(request, work))


async def search_store(request: Request) -> Response:
    """POST /v1/vector_stores/{store_id}/search."""
    gateway, body = gateway_of(request), await _body(request, Search)
    search = partial(searching.search_store, gateway.shelf.library, _id(request), body)
    with gateway.metrics.retrieval_s.time():
        return JSONResponse(await unless_client_leaves(request, gateway.slots.run(search, False)))


async def attach_file(request: Request) -> Response:
    """POST /v1/vector_stores/{store_id}/files."""
    body = await _body(request, AttachFile)
    return JSONResponse(await _shelf(request).do(attachments.attach_file, _id(request), body))


async def list_attached(request: Request) -> Response:
    """GET /v1/vector_stores/{store_id}/files: of one status with ?filter=failed."""
    page, status = read_page(request.query_params), request.query_params.get("filter")
    return JSONResponse(await _shelf(request).do(attachments.list_attached, _id(request), page, status))


async def show_attached(request: Request) -> Response:
    """GET /v1/vector_stores/{store_id}/files/{file_id}."""
    file_id = request.path_params["file_id"]
    return JSONResponse(await _shelf(request).do(attachments.show_attached, _id(request), file_id))


async def update_attached(request: Request) -> Response:
    """POST /v1/vector_stores/{store_id}/files/{file_id}: other attributes."""
    file_id, body = request.path_params["file_id"], await _body(request, UpdateFile)
    work = _shelf(request).do(attachments.update_attached, _id(request), file_id, body.attributes)
    return JSONResponse(await work)


async def detach_file(request: Request) -> Response:
    """DELETE /v1/vector_stores/{store_id}/files/{file_id}: answered when its text is gone from the index."""
    shelf = _shelf(request)
    work = deleting.detach_file(shelf.library, shelf.builder, _id(request), request.path_params["file_id"])
    return JSONResponse(await unless_client_leaves(request, work))


async def show_text(request: Request) -> Response:
    """GET /v1/vector_stores/{store_id}/files/{file_id}/content: the passages that a file was cut into."""
    file_id = request.path_params["file_id"]
    return JSONResponse(await _shelf(request).do(attachments.show_text, _id(request), file_id))


async def create_batch(request: Request) -> Response:
    """POST /v1/vector_stores/{store_id}/file_batches."""
    body = await _body(request, CreateBatch)
    return JSONResponse(await _shelf(request).do(attachments.create_batch, _id(request), body))


async def show_batch(request: Request) -> Response:
    """GET /v1/vector_stores/{store_id}/file_batches/{batch_id}."""
    batch_id = request.path_params["batch_id"]
    return JSONResponse(await _shelf(request).do(attachments.show_batch, _id(request), batch_id))


async def list_batch(request: Request) -> Response:
    """GET /v1/vector_stores/{store_id}/file_batches/{batch_id}/files."""
    batch_id = request.path_params["batch_id"]
    page, status = read_page(request.query_params), request.query_params.get("filter")
    return JSONResponse(await _shelf(request).do(attachments.list_batch, _id(request), batch_id, page, status))


async def cancel_batch(request: Request) -> Response:
    """POST /v1/vector_stores/{store_id}/file_batches/{batch_id}/cancel."""
    batch_id = request.path_params["batch_id"]
    return JSONResponse(await _shelf(request).do(attachments.cancel_batch, _id(request), batch_id))


def _shelf(request: Request) -> Shelf:
    return gateway_of(request).shelf


def _id(request: Request) -> str:
    store_id: str = request.path_params["store_id"]
    return store_id


async def _body(request: Request, shape: type[Shape]) -> Shape:
    """The request's body in its shape. Raises RequestError."""
    return check_shape(shape, read_object(await read_body(request)))
