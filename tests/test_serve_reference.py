"""GET /v1/reference on a real socket: cards with addresses, lists, near names in OpenAI's envelope, keys and
collections.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rag.errors import IndexCorrupt
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.reference.cards import Reference
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.conftest import Gateway, free_port
from tests.test_rag_reference_extraction import FLOW, ROUTER
from tests.tiny_embedder import TinyEmbedder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder = tmp_path_factory.mktemp("manuals")
    settings = RagSettings(home=folder)
    documents = [
        parse_document("router", "router.md", "Router", ROUTER, "https://docs.example/router", "ISC"),
        parse_document("flow", "flow.md", "Variables", FLOW, None, "ISC"),
        parse_document(
            "gui",
            "gui.md",
            "GUI",
            "# GUI\n\nShow it with `gui::show`:\n\n```tcl\ngui::show [-script file]\n```\n",
            None,
            "ISC",
        ),
    ]
    build_index(documents, folder, settings, TinyEmbedder())
    return Retriever.open_with(TinyEmbedder(), folder, settings)


@pytest.fixture(scope="module")
def url(gateway_at: Gateway, store: Retriever) -> Iterator[str]:
    with gateway_at(f"http://127.0.0.1:{free_port()}", store) as address:
        yield address


def test_a_card_has_its_fields_and_the_address_of_its_passage(url: str) -> None:
    body = httpx.get(f"{url}/v1/reference/route_clocks").json()
    [card] = body["data"]
    assert (body["object"], card["object"], card["collection"], card["url"]) == (
        "list",
        "command",
        "router",
        "https://docs.example/router",
    )
    assert card["options"][0]["name"] == "-layer"
    assert [one["name"] for one in card["disagreements"]] == ["-mode", "-report", "-modes"]
    [variable] = httpx.get(f"{url}/v1/reference/PLACE_DENSITY").json()["data"]
    assert variable["url"] == f"{url}/sources/{variable['place']['chunk_id']}"
    assert httpx.get(variable["url"]).status_code == 200
    assert variable["name"] == "PLACE_DENSITY"
    [option] = httpx.get(f"{url}/v1/reference/-halo_width").json()["data"]
    assert option["name"] == "route_clocks"
    assert httpx.get(f"{url}/v1/reference/gui::show").json()["data"][0]["name"] == "gui::show"


def test_an_unknown_name_is_404_with_near_names(url: str) -> None:
    answer = httpx.get(f"{url}/v1/reference/route_clock")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "The documents describe no 'route_clock'; near to it are route_clocks.",
        "type": "invalid_request_error",
        "param": "name",
        "code": "name_not_found",
    }
    assert httpx.get(f"{url}/v1/reference/{'x' * 5000}").status_code == 404
    assert httpx.get(f"{url}/v1/reference/").status_code == 404
    assert httpx.post(f"{url}/v1/reference/route_clocks").status_code == 405


def test_names_are_listed_by_how_they_begin(url: str) -> None:
    body = httpx.get(f"{url}/v1/reference", params={"prefix": "r"}).json()
    assert body == {"object": "list", "data": ["reset_router", "route_clocks", "route_debug"], "has_more": False}
    assert "CORE_UTILIZATION" in httpx.get(f"{url}/v1/reference").json()["data"]


def test_collections_narrow_what_is_seen(url: str) -> None:
    assert httpx.get(f"{url}/v1/reference", params={"collection": "gui"}).json()["data"] == ["gui::show"]
    assert httpx.get(f"{url}/v1/reference/route_clocks", params={"collection": "flow"}).status_code == 404
    refused = httpx.get(f"{url}/v1/reference/route_clocks", params={"collection": "nothing"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "collection_not_found")
    many = httpx.get(f"{url}/v1/reference", params={"collection": ["gui"] * 101})
    assert (many.status_code, many.json()["error"]["param"]) == (400, "collection")


def test_the_key_is_asked_for_and_damage_is_503(gateway_at: Gateway, store: Retriever) -> None:
    class Damaged:
        chunk_count, collections = 1, ("notes",)

        @property
        def reference(self) -> Reference:
            raise IndexCorrupt("reference.json is not a reference: build the index again")

    with gateway_at(f"http://127.0.0.1:{free_port()}", store, api_key="secret") as address:
        assert httpx.get(f"{address}/v1/reference/route_clocks").status_code == 401
        assert httpx.get(f"{address}/v1/reference").status_code == 401
        assert httpx.get(f"{address}/v1/reference", headers={"authorization": "Bearer secret"}).status_code == 200
    with gateway_at(f"http://127.0.0.1:{free_port()}", Damaged()) as address:
        answer = httpx.get(f"{address}/v1/reference/route_clocks")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")


def test_a_folder_is_not_a_name(url: str, tmp_path: Path) -> None:
    assert httpx.get(f"{url}/v1/reference/..%2f..%2f{tmp_path.name}").status_code == 404
