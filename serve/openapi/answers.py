"""The schemas of what the gateway answers: data alone.

Answers may have more fields than these.

    SCHEMAS["ChatCompletion"]
"""

from __future__ import annotations

from serve.openapi.shapes import (
    Schema,
    about,
    anything,
    either,
    flag,
    items,
    nullable,
    number,
    record,
    ref,
    text,
    whole,
    whole_record,
    word,
)

ERRORS: dict[str, Schema] = {
    "Error": about(
        "What went wrong, in OpenAI's envelope.",
        whole_record(
            error=whole_record(
                message=text("One sentence: what, which value, what to do."),
                type=text(),
                param=nullable(text("The field at fault.")),
                code=nullable(text("A word for programs.")),
            ),
        ),
    ),
    "AnthropicError": about(
        "What went wrong, in Anthropic's form.",
        whole_record(
            type=word("error"),
            error=whole_record(type=text(), message=text("One sentence: what, which value, what to do.")),
        ),
    ),
    "JsonRpcError": about(
        "What went wrong with a message of MCP.", record("error", error=record("message", message=text()))
    ),
}


def _listed(name: str) -> Schema:
    """A page of objects."""
    ends = {"first_id": nullable(text()), "last_id": nullable(text())}
    return whole_record(object=word("list"), data=items(ref(name)), **ends, has_more=flag())


RETRIEVAL: dict[str, Schema] = {
    "Hit": about(
        "A passage that was found.",
        whole_record(
            number=whole("As the answer cites it.", least=1),
            chunk_id=text("Its id, a hash of its place and its text."),
            collection=text(),
            path=text("Its document's, within the collection."),
            title=text("Its document's."),
            text=text("Its own words."),
            licence=text("An SPDX expression, or 'not stated'."),
            page=nullable(whole("Of a PDF.")),
            version=nullable(text("Of what it documents.")),
            heading_path=items(text(), "The headings above it."),
            file_id=text("Its document as a file of a vector store."),
            filename=text("The file's name."),
            attributes=anything("What the file may be filtered by."),
            url=text("Where a person reads it."),
            score=number("Of the whole ranking; the hits are in this order."),
            dense_score=number("Cosine by meaning."),
            bm25_score=nullable(number("By exact words.")),
            late_score=nullable(number("By tokens.")),
            copies=items(whole_record(collection=text(), path=text()), "Where else the same is said."),
        ),
    ),
    "Quote": about(
        "Words of a passage that answer.",
        whole_record(
            number=whole("Of the hit."),
            text=text(),
            start=whole("The first character, in the hit's text."),
            end=whole("The one after the last."),
            kind=text(),
        ),
    ),
    "Shortened": about(
        "A log in the question was longer than the model's window.",
        whole_record(lines=whole("Of how many lines it was."), kept=whole("How many were kept.")),
    ),
    "Retrieval": about(
        "What was searched and found.",
        whole_record(
            enabled=flag(),
            query=nullable(text("What found the passages; null where nothing was searched.")),
            not_searched=nullable(word("off", "no_question", "task", "own_context", description="Why nothing was.")),
            fallback=flag("It found nothing by itself, and was searched with the turns before it."),
            refused=flag("The documents hold nothing about it, or deny an option."),
            shortened=nullable(ref("Shortened")),
            hits=items(ref("Hit")),
            quotes=items(ref("Quote")),
        ),
    ),
    "SearchResults": whole_record(
        object=word("list"),
        query=text("What was searched for."),
        refused=flag("The documents do not answer."),
        refusal=nullable(text("Why, in words.")),
        hits=items(ref("Hit")),
    ),
    "ReferenceCards": whole_record(
        object=word("list"),
        name=text(),
        data=items(
            record("object", "name", "collection", "place", "url", object=word("command", "variable", "message")),
            "What documents say of the name, the fullest first.",
        ),
    ),
    "ReferenceNames": whole_record(object=word("list"), data=items(text()), has_more=flag()),
}

ANSWERS: dict[str, Schema] = {
    "Usage": about(
        "Token counts.",
        record(
            prompt_tokens=whole(least=0),
            completion_tokens=whole(least=0),
            total_tokens=whole(least=0),
        ),
    ),
    "ChatCompletion": record(
        *("id", "object", "created", "model", "choices", "retrieval"),
        id=text(),
        object=word("chat.completion"),
        created=whole(),
        model=text(),
        choices=items(
            record(
                *("index", "message"),
                index=whole(least=0),
                finish_reason=nullable(text()),
                message=record(
                    "role",
                    role=word("assistant"),
                    content=nullable(text()),
                    annotations=items(anything("url_citation with address, title and place in the answer.")),
                    verification=anything("Which sentences the passages support, unknown names, verdicts on code."),
                ),
            )
        ),
        usage=nullable(ref("Usage")),
        retrieval=ref("Retrieval"),
    ),
    "Completion": record(
        *("choices",),
        choices=items(record("index", index=whole(least=0), text=nullable(text()), finish_reason=nullable(text()))),
        usage=nullable(ref("Usage")),
    ),
    "Message": record("content", role=text(), content=items(anything()), usage=nullable(anything())),
    "TokenCount": whole_record(input_tokens=whole(least=0)),
    "Response": record(
        *("id", "object", "status", "model", "output"),
        id=text(),
        object=word("response"),
        status=word("completed", "incomplete", "failed", "in_progress"),
        model=text(),
        output=items(anything("A message, a call of a function, a file_search_call, reasoning.")),
        usage=nullable(anything()),
        error=nullable(anything()),
        previous_response_id=nullable(text()),
        conversation=nullable(record("id", id=text())),
    ),
    "DeletedResponse": whole_record(id=text(), object=word("response"), deleted=flag()),
    "Item": record(
        *("id", "type"),
        id=text(),
        type=text("message, function_call, function_call_output, file_search_call or reasoning."),
    ),
    "ItemList": _listed("Item"),
    "Conversation": whole_record(id=text(), object=word("conversation"), created_at=whole(), metadata=anything()),
    "Embeddings": whole_record(
        object=word("list"),
        model=text("The embedder's name."),
        data=items(
            whole_record(
                object=word("embedding"),
                index=whole(least=0),
                embedding=either(items(number()), text("Base64 of little-endian float32.")),
            )
        ),
        usage=whole_record(prompt_tokens=whole(least=0), total_tokens=whole(least=0)),
    ),
    "Model": record(
        *("id", "object", "created", "owned_by"),
        id=text("NAME answers from the documents, NAME-plain without them, NAME@COLLECTION from one collection."),
        object=word("model"),
        created=number(),
        owned_by=text(),
        parent=nullable(text("The model that this is another name of.")),
        max_model_len=nullable(whole("Its context window, in tokens.")),
        guidance=nullable(anything("What the engine can do with a grammar.")),
    ),
    "Models": whole_record(object=word("list"), data=items(ref("Model"))),
}

COUNTS = whole_record(
    in_progress=whole(least=0),
    completed=whole(least=0),
    failed=whole(least=0),
    cancelled=whole(least=0),
    total=whole(least=0),
)


UPLOADS: dict[str, Schema] = {
    "Feedback": whole_record(
        id=text(),
        object=word("feedback"),
        created_at=whole(),
        answer_id=text(),
        rating=word("up", "down"),
        kept=word("counts", "words"),
        question_known=flag("The question is kept with it."),
    ),
    "File": record(
        *("id", "object", "bytes", "created_at", "filename", "purpose", "status"),
        id=text(),
        object=word("file"),
        bytes=whole(least=0),
        created_at=whole(),
        filename=text(),
        purpose=text(),
        status=word("processed"),
        expires_at=nullable(whole()),
    ),
    "Files": _listed("File"),
    "Deleted": whole_record(id=text(), object=text(), deleted=flag()),
    "VectorStore": whole_record(
        id=text(),
        object=word("vector_store"),
        created_at=whole(),
        name=text(),
        usage_bytes=whole(least=0),
        file_counts=COUNTS,
        status=word("in_progress", "completed"),
        expires_after=nullable(anything()),
        expires_at=nullable(whole()),
        last_active_at=nullable(whole()),
        metadata=anything(),
    ),
    "VectorStores": _listed("VectorStore"),
    "VectorStoreFile": whole_record(
        id=text(),
        object=word("vector_store.file"),
        created_at=whole(),
        vector_store_id=text(),
        status=word("in_progress", "completed", "failed", "cancelled"),
        last_error=nullable(whole_record(code=text(), message=text("Why it cannot be searched."))),
        usage_bytes=whole(least=0),
        attributes=anything(),
        chunking_strategy=anything(),
    ),
    "VectorStoreFiles": _listed("VectorStoreFile"),
    "VectorStoreBatch": whole_record(
        id=text(),
        object=word("vector_store.files_batch"),
        created_at=whole(),
        vector_store_id=text(),
        status=word("in_progress", "completed", "failed", "cancelled"),
        file_counts=COUNTS,
    ),
    "VectorStoreHits": whole_record(
        object=word("vector_store.search_results.page"),
        search_query=items(text()),
        data=items(
            whole_record(
                file_id=text(),
                filename=text(),
                score=number(least=0, most=1),
                attributes=anything(),
                content=items(whole_record(type=word("text"), text=text())),
            ),
            "Passages, best first.",
        ),
        has_more=flag(),
        next_page=nullable(text()),
    ),
    "VectorStoreText": whole_record(
        object=text(),
        data=items(whole_record(type=word("text"), text=text())),
        has_more=flag(),
        next_page=nullable(text()),
    ),
}

STATE: dict[str, Schema] = {
    "Health": whole_record(status=word("ok")),
    "Ready": whole_record(
        status=word("ready", "starting", "degraded"), engine=text(), index=text(), model=text(), answers=text()
    ),
    "McpAnswer": record("jsonrpc", jsonrpc=word("2.0")),
}

SCHEMAS = {**ERRORS, **RETRIEVAL, **ANSWERS, **UPLOADS, **STATE}
