"""/v1/files and /v1/vector_stores on a real socket, as OpenAI's own client and its types take them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import FileObject, VectorStore, VectorStoreSearchResponse
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch

from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import FakeEngine
from tests.mcp_calls import call, sentence
from tests.uploading import build_sources, uploading_gateway


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def url(gateway_at: Gateway, shared_engine: FakeEngine, home: Path) -> Iterator[str]:
    with uploading_gateway(gateway_at, shared_engine.url, home) as address:
        yield address


@pytest.fixture
def client(url: str, openai_at: OpenAIAt) -> Any:
    return openai_at(url)


def markdown(name: str, text: str) -> tuple[str, bytes]:
    return f"{name}.md", f"# {name}\n\n{text}\n".encode()


def index_text(home: Path) -> bytes:
    """All bytes of the index."""
    return b"".join(path.read_bytes() for path in sorted((home / "index").rglob("*")) if path.is_file())


def strict(kind: Any, value: Any) -> Any:
    """The value, validated by OpenAI's own type: its client itself accepts anything."""
    return kind.model_validate(value.to_dict(), strict=True)


def test_what_is_uploaded_is_searched_in_its_store_and_cited(client: Any) -> None:
    store = strict(VectorStore, client.vector_stores.create(name="flow notes", metadata={"team": "cad"}))
    assert (store.name, store.metadata, store.status, store.file_counts.total) == (
        "flow notes",
        {"team": "cad"},
        "completed",
        0,
    )
    attached = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=markdown("jitter", "Our PLL has 3 ps of jitter."), poll_interval_ms=100
    )
    assert (strict(VectorStoreFile, attached).status, attached.last_error) == ("completed", None)
    found = client.vector_stores.search(store.id, query="How much jitter has the PLL?", rewrite_query=True)
    [hit] = [strict(VectorStoreSearchResponse, each) for each in found]
    assert (hit.file_id, hit.filename, hit.content[0].type) == (attached.id, "jitter.md", "text")
    assert "3 ps" in hit.content[0].text
    assert 0.1 < hit.score < 1  # of the only passage, which no other can be compared with
    [other] = client.vector_stores.search(store.id, query="bicycle racing")
    assert 0 <= other.score < hit.score
    [text] = client.vector_stores.files.content(attached.id, vector_store_id=store.id)
    assert "3 ps of jitter" in text.text
    store = client.vector_stores.retrieve(store.id)
    assert (store.file_counts.completed, store.usage_bytes > 0) == (1, True)


def chat(client: Any, question: str, **retrieval: Any) -> Any:
    return client.chat.completions.create(
        model="chipalign-demo",
        messages=[{"role": "user", "content": question}],
        extra_body={"retrieval": {"top_k": 20, **retrieval}},
    )


def test_a_chat_finds_an_upload_where_it_names_the_store_alone(client: Any, url: str) -> None:
    store = client.vector_stores.create(name="private")
    client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=markdown("secret", "The tape-out moved to May."), poll_interval_ms=100
    )

    def hits(**retrieval: Any) -> set[str]:
        return {hit["collection"] for hit in chat(client, "When is the tape-out?", **retrieval).retrieval["hits"]}

    assert hits() == {"router", "timer"}
    assert hits(collections=[store.id]) == {store.id}
    assert hits(collections=[store.id, "timer"]) == {store.id, "timer"}
    answer = chat(client, "When is the tape-out?", collections=[store.id], answer="quote")
    [hit] = answer.retrieval["hits"]
    assert answer.choices[0].message.content.startswith("**secret.md \u203a ")
    assert "vs_" not in answer.choices[0].message.content
    page = httpx.get(f"{url}/sources/{hit['chunk_id']}", trust_env=False).text
    assert "secret.md" in page
    assert "vs_" not in page
    found = client.vector_stores.files.list(store.id).data
    assert (hit["file_id"], hit["filename"]) == (found[0].id, "secret.md")


def test_a_store_with_nothing_in_it_is_an_empty_search_and_an_unknown_one_is_not(client: Any, url: str) -> None:
    store = client.vector_stores.create(name="Later")
    assert client.vector_stores.search(store.id, query="router").data == []
    answer = chat(client, "When is the tape-out?", collections=[store.id])
    assert (answer.retrieval["hits"], answer.retrieval["refused"]) == ([], True)
    assert "(Later)" in answer.choices[0].message.content
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    response = client.responses.create(model="chipalign-demo", input="When is the tape-out?", tools=[tool])
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    assert response.output[0].queries == ["When is the tape-out?"]
    named = client.chat.completions.create(
        model=f"chipalign-demo@{store.id}", messages=[{"role": "user", "content": "When is the tape-out?"}]
    )
    assert named.retrieval["hits"] == []
    found = httpx.get(f"{url}/v1/search", params={"q": "tape-out", "collection": store.id}, trust_env=False).json()
    assert (found["hits"], found["refused"]) == ([], True)
    names = httpx.get(f"{url}/v1/reference", params={"collection": store.id}, trust_env=False).json()
    assert names["data"] == []
    asked = {"name": "route_clocks", "collections": [store.id]}
    assert sentence(call(f"{url}/mcp", "reference", asked)) == (
        "No document that is looked in describes a command, an option, a variable or a message, 'route_clocks' "
        "neither: name other collections, or search for it in words."
    )
    unknown = f"vs_{'0' * 24}"
    with pytest.raises(openai.BadRequestError, match=f"No vector store has the id '{unknown}'") as caught:
        chat(client, "When is the tape-out?", collections=[unknown])
    assert (caught.value.code, caught.value.param) == ("collection_not_found", "retrieval.collections")
    assert unknown in sentence(call(f"{url}/mcp", "reference", {**asked, "collections": [unknown]}))
    tools = [{**tool, "vector_store_ids": [unknown]}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="chipalign-demo", input="When is the tape-out?", tools=tools)
    assert caught.value.param == "tools[0].vector_store_ids"


def test_a_file_search_cites_the_listed_ids_and_filters_by_attributes(client: Any) -> None:
    store = client.vector_stores.create()
    ids = {}
    for year in (2024, 2025):
        name = f"plan{year}"
        file = client.files.create(file=markdown(name, f"The tape-out of {year} is in May."), purpose="assistants")
        ids[year] = file.id
        client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, attributes={"year": year}, poll_interval_ms=100
        )

    def respond(filters: Any) -> Any:
        tool = {"type": "file_search", "vector_store_ids": [store.id, "timer"], "filters": filters}
        return client.responses.create(
            model="chipalign-demo",
            input="When is the tape-out?",
            tools=[tool],
            include=["file_search_call.results"],
            extra_body={"retrieval": {"answer": "quote"}},
        )

    response = respond({"type": "gt", "key": "year", "value": 2024})
    [result] = response.output[0].results
    assert (result.file_id, result.filename, result.attributes) == (ids[2025], "plan2025.md", {"year": 2025})
    assert 0 < result.score < 1
    [cited] = response.output[1].content[0].annotations
    assert (cited.type, cited.file_id, cited.filename) == ("file_citation", ids[2025], "plan2025.md")
    operators = respond({"type": "eq", "key": "version", "value": "2.0"})
    assert [each.filename for each in operators.output[0].results] == ["guide.md"]
    of_timer = {listed.id for listed in client.vector_stores.files.list("timer")}
    assert {each.file_id for each in operators.output[0].results} == of_timer
    assert respond({"type": "eq", "key": "year", "value": 1999}).output[0].results == []
    everywhere = chat(client, "Which edition?", filters={"type": "eq", "key": "collection", "value": "router"})
    assert {hit["collection"] for hit in everywhere.retrieval["hits"]} == {"router"}


def test_files_are_listed_shown_read_and_deleted(client: Any, home: Path) -> None:
    content = b"\x00any bytes\xff" * 1000
    file = strict(FileObject, client.files.create(file=("../../etc/a b\u00fc.bin", content), purpose="user_data"))
    assert (file.filename, file.bytes, file.purpose, file.status) == (
        "a b\u00fc.bin",
        len(content),
        "user_data",
        "processed",
    )
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).content == content
    assert file.id in {each.id for each in client.files.list()}
    assert [each.id for each in client.files.list(purpose="vision")] == []
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match="No file has the id"):
        client.files.retrieve(file.id)
    assert not list((home / "files").glob(f"{file.id}*"))


def test_two_uploads_of_one_name_are_two_files(client: Any) -> None:
    store = client.vector_stores.create()
    files = [client.files.create(file=markdown("same", f"Version {n}."), purpose="assistants") for n in (1, 2)]
    batch = client.vector_stores.file_batches.create_and_poll(
        vector_store_id=store.id, file_ids=[file.id for file in files], poll_interval_ms=100
    )
    assert (strict(VectorStoreFileBatch, batch).status, batch.file_counts.completed) == ("completed", 2)
    found = client.vector_stores.search(store.id, query="Version").data
    assert {(hit.file_id, hit.filename) for hit in found} == {(file.id, "same.md") for file in files}


def test_a_batch_of_which_some_fail_says_which_and_why(client: Any) -> None:
    store = client.vector_stores.create()
    names = {
        "good": markdown("good", "Readable."),
        "tape": ("tape.gds", b"\x00\x06\x00\x02"),
        "broken": ("broken.pdf", b"%PDF-1.7 and nothing else"),
        "empty": ("empty.md", b""),
        "packed": ("packed.zip", b"PK and nothing else"),
    }
    ids = {key: client.files.create(file=file, purpose="assistants").id for key, file in names.items()}
    batch = client.vector_stores.file_batches.create_and_poll(
        vector_store_id=store.id, file_ids=list(ids.values()), poll_interval_ms=100
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 4)
    failed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
    errors = {each.id: strict(VectorStoreFile, each).last_error for each in failed}
    assert errors.keys() == {ids["tape"], ids["broken"], ids["empty"], ids["packed"]}
    assert errors[ids["tape"]].code == "unsupported_file"
    assert errors[ids["tape"]].message == (
        "tape.gds is not a document that can be read: not a type of document that is read (.gds)."
    )
    assert errors[ids["packed"]].message == (
        "packed.zip is not a document that can be read: it is not an archive that can be read (File is not a zip "
        "file): get it again."
    )
    assert (errors[ids["broken"]].code, errors[ids["empty"]].code) == ("invalid_file", "invalid_file")
    again = client.vector_stores.files.create_and_poll(ids["tape"], vector_store_id=store.id, poll_interval_ms=100)
    assert again.status == "failed"


def test_an_archive_is_one_file_of_many_documents(client: Any) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        for number in range(3):
            bundle.writestr(f"docs/{number}.md", f"# Note {number}\n\nAbout clocks.\n")
    store = client.vector_stores.create()
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("docs.zip", archive.getvalue()), poll_interval_ms=100
    )
    found = client.vector_stores.search(store.id, query="clocks").data
    assert {hit.file_id for hit in found} == {file.id}
    assert {hit.filename for hit in found} == {"0.md", "1.md", "2.md"}


def test_attributes_filter_a_search_and_can_be_changed(client: Any) -> None:
    store = client.vector_stores.create()
    for tool, year in (("router", 2024), ("timer", 2025), ("placer", 2025)):
        file = client.files.create(file=markdown(tool, f"The {tool} of the flow."), purpose="assistants")
        client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, attributes={"tool": tool, "year": year}, poll_interval_ms=100
        )

    def names(filters: Any) -> list[str]:
        return sorted(hit.filename for hit in client.vector_stores.search(store.id, query="flow", filters=filters))

    new = {"type": "gte", "key": "year", "value": 2025}
    assert names(new) == ["placer.md", "timer.md"]
    assert names({"type": "and", "filters": [new, {"type": "ne", "key": "tool", "value": "timer"}]}) == ["placer.md"]
    assert names({"type": "in", "key": "tool", "value": ["router", "nothing"]}) == ["router.md"]
    assert names({"type": "eq", "key": "nothing", "value": 1}) == []
    changed = client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"year": 1999})
    assert strict(VectorStoreFile, changed).attributes == {"year": 1999}
    assert names(new) == ["timer.md"]
    hits = client.vector_stores.search(store.id, query="flow", max_num_results=2).data
    assert len(hits) == 2
    least = (hits[0].score + hits[1].score) / 2
    kept = client.vector_stores.search(store.id, query="flow", ranking_options={"score_threshold": least}).data
    assert all(hit.score >= least for hit in kept)


def test_what_is_detached_or_deleted_is_gone_from_the_index(client: Any, home: Path) -> None:
    store, other = client.vector_stores.create(), client.vector_stores.create()
    files = {
        word: client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=markdown(word, f"It says {word}."), poll_interval_ms=100
        )
        for word in ("aardvark", "buffalo", "cormorant")
    }
    client.vector_stores.files.create_and_poll(files["buffalo"].id, vector_store_id=other.id, poll_interval_ms=100)
    assert all(word.encode() in index_text(home) for word in files)
    assert client.vector_stores.files.delete(files["aardvark"].id, vector_store_id=store.id).deleted
    assert b"aardvark" not in index_text(home)
    assert client.files.retrieve(files["aardvark"].id)
    assert client.files.delete(files["buffalo"].id).deleted
    assert b"buffalo" not in index_text(home)
    assert client.vector_stores.retrieve(other.id).file_counts.total == 0
    assert client.vector_stores.delete(store.id).deleted
    assert b"cormorant" not in index_text(home)
    for ask in (client.vector_stores.retrieve, client.vector_stores.delete):
        with pytest.raises(openai.NotFoundError, match="No vector store has the id"):
            ask(store.id)
    assert client.vector_stores.search(other.id, query="buffalo").data == []


def test_stores_are_listed_in_pages_and_changed(client: Any) -> None:
    made = [client.vector_stores.create(name=f"page {number}").id for number in range(3)]
    listed = [store.id for store in client.vector_stores.list(limit=1, order="asc")]
    assert [each for each in listed if each in made] == made
    newest = client.vector_stores.list(limit=2)
    assert [store.id for store in newest.data] == made[:0:-1]
    assert newest.has_more
    before = client.vector_stores.list(before=made[0], limit=1)
    assert [store.id for store in before.data] == [made[1]]
    changed = client.vector_stores.update(
        made[0], name="renamed", expires_after={"anchor": "last_active_at", "days": 7}
    )
    assert (strict(VectorStore, changed).name, changed.expires_after.days) == ("renamed", 7)
    assert changed.expires_at == changed.last_active_at + 7 * 86_400


def test_the_operators_collections_are_listed_and_searched_and_not_changed(client: Any) -> None:
    [router] = [strict(VectorStore, each) for each in client.vector_stores.list() if each.id == "router"]
    assert (router.name, router.file_counts.completed) == ("router", 1)
    assert router.metadata == {"built_by": "operator", "version": "2.0"}
    [file] = client.vector_stores.files.list("router")
    assert strict(VectorStoreFile, file).attributes == {"path": "guide.md", "version": "2.0", "licence": "ISC"}
    assert client.vector_stores.files.retrieve(file.id, vector_store_id="router") == file
    [hit] = client.vector_stores.search("router", query="Which edition?")
    assert (hit.file_id, hit.filename, hit.attributes) == (file.id, "guide.md", file.attributes)
    wanted = {"type": "eq", "key": "version", "value": "3.0"}
    assert client.vector_stores.search("router", query="Which edition?", filters=wanted).data == []
    uploaded = client.files.create(file=markdown("a", "A."), purpose="assistants")
    stores = client.vector_stores
    for change, named in (
        (stores.delete, {}),
        (stores.update, {"name": "mine"}),
        (stores.files.create, {"file_id": uploaded.id}),
        (stores.files.delete, {"file_id": file.id}),
    ):
        with pytest.raises(openai.PermissionDeniedError, match="operator builds"):
            change(vector_store_id="router", **named)


def test_an_operators_build_keeps_uploads_and_is_searched_beside_them(client: Any, home: Path) -> None:
    store = client.vector_stores.create()
    client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=markdown("stays", "It stays."), poll_interval_ms=100
    )
    build_sources(home / "index", "router", "timer", edition=2)
    assert [hit.filename for hit in client.vector_stores.search(store.id, query="stays")] == ["stays.md"]


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/v1/vector_stores", {"name": 5}, "name"),
        ("POST", "/v1/vector_stores", {"metadata": {"a": "x" * 513}}, "metadata.a"),
        ("POST", "/v1/vector_stores", {"file_ids": "file-1"}, "file_ids"),
        ("POST", "/v1/vector_stores", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("POST", "/v1/vector_stores", {"name": "a\u0000b"}, "name"),
        ("POST", "/v1/vector_stores/router/search", {}, "query"),
        ("POST", "/v1/vector_stores/router/search", {"query": ""}, "query"),
        ("POST", "/v1/vector_stores/router/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("GET", "/v1/vector_stores?limit=0", None, "limit"),
        ("GET", "/v1/vector_stores?order=up", None, "order"),
        ("GET", "/v1/vector_stores?after=vs_nothing", None, "after"),
        ("GET", "/v1/vector_stores/router/files?filter=lost", None, "filter"),
        ("POST", "/v1/vector_stores/{store}/file_batches", {}, "file_ids"),
        (
            "POST",
            "/v1/vector_stores/{store}/file_batches",
            {"file_ids": ["a"], "files": [{"file_id": "a"}]},
            "file_ids",
        ),
        ("POST", "/v1/vector_stores/{store}/files", {"file_id": "x", "attributes": {"a": [1]}}, "attributes.a"),
        ("POST", "/v1/vector_stores/router/search", {"query": "x", "filters": {"type": "is"}}, "filters.type"),
    ],
)
def test_a_wrong_request_is_refused_with_the_field(
    client: Any, url: str, method: str, path: str, body: Any, param: str
) -> None:
    store = client.vector_stores.create()
    answer = httpx.request(method, url + path.format(store=store.id), json=body, trust_env=False)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert client.vector_stores.retrieve(store.id).file_counts.total == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files/file-nothing"),
        ("GET", "/v1/files/file-nothing/content"),
        ("DELETE", "/v1/files/file-nothing"),
        ("GET", "/v1/vector_stores/vs_nothing"),
        ("DELETE", "/v1/vector_stores/vs_nothing"),
        ("GET", "/v1/vector_stores/vs_nothing/files"),
        ("GET", "/v1/vector_stores/router/files/file-nothing"),
        ("DELETE", "/v1/vector_stores/{store}/files/file-nothing"),
        ("GET", "/v1/vector_stores/{store}/files/file-nothing/content"),
        ("GET", "/v1/vector_stores/{store}/file_batches/vsfb_nothing"),
        ("POST", "/v1/vector_stores/{store}/file_batches/vsfb_nothing/cancel"),
    ],
)
def test_an_unknown_id_is_not_found(client: Any, url: str, method: str, path: str) -> None:
    store = client.vector_stores.create()
    answer = httpx.request(method, url + path.format(store=store.id), trust_env=False)
    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"] in ("file_not_found", "vector_store_not_found")


def test_a_batch_with_one_unknown_file_attaches_none(client: Any) -> None:
    store = client.vector_stores.create()
    file = client.files.create(file=markdown("a", "A."), purpose="assistants")
    with pytest.raises(openai.NotFoundError, match="file-nothing"):
        client.vector_stores.file_batches.create(store.id, file_ids=[file.id, "file-nothing"])
    assert client.vector_stores.files.list(store.id).data == []
    count = len(client.vector_stores.list(limit=100).data)
    with pytest.raises(openai.NotFoundError, match="file-nothing"):
        client.vector_stores.create(file_ids=[file.id, "file-nothing"])
    assert len(client.vector_stores.list(limit=100).data) == count
