"""The schemas of what the gateway is asked: data alone.

Fields that only an engine knows pass beside these.

    SCHEMAS["ChatRequest"]
"""

from __future__ import annotations

from serve.openapi.shapes import (
    Schema,
    about,
    anything,
    closed,
    either,
    flag,
    items,
    nullable,
    number,
    record,
    ref,
    text,
    whole,
    word,
)

MODEL = nullable(
    text("Left out: the gateway's own. NAME-plain searches nothing, NAME@COLLECTION one collection.", maxLength=1000)
)
STREAM = nullable(flag("Answer as server-sent events."))
SAMPLING: dict[str, Schema] = {
    "temperature": nullable(number(least=0, most=2)),
    "top_p": nullable(number(least=0, most=1)),
    "presence_penalty": nullable(number(least=-2, most=2)),
    "frequency_penalty": nullable(number(least=-2, most=2)),
    "logit_bias": nullable(anything()),
    "seed": nullable(whole()),
    "stop": either(nullable(text()), items(text(), maxItems=4)),
    "user": nullable(text()),
    "stream_options": nullable(record(include_usage=nullable(flag("End with token counts.")))),
}
PARTS = items(record("type", type=text(), text=text()), "Parts: text, images.")

SCHEMAS: dict[str, Schema] = {
    "RetrievalOptions": about(
        "What is searched, and who words the answer.",
        closed(
            record(
                enabled=flag("False: nothing is searched; true: whatever is asked is; left out: questions are."),
                top_k=nullable(whole("Passages for the model.", least=1, most=50)),
                collections=items(text(), "Only these; NAME means all versions, NAME@VERSION one.", maxItems=100),
                filters=nullable(anything("Comparisons of attributes, joined by and and or.")),
                score_threshold=number("The least cosine of a passage and what is searched for.", least=0, most=1),
                answer=nullable(word("auto", "quote", "model", description="Who words it.")),
                grammar=nullable(flag("False: no grammar of names.")),
            )
        ),
    ),
    "ChatMessage": record(
        "role",
        role=word("system", "developer", "user", "assistant", "tool", "function"),
        content=either(nullable(text()), PARTS),
        tool_calls=nullable(items(anything())),
        tool_call_id=text(),
        name=text(),
    ),
    "ChatRequest": record(
        "messages",
        messages=items(ref("ChatMessage"), minItems=1, maxItems=10_000),
        model=MODEL,
        stream=STREAM,
        max_tokens=nullable(whole(least=1)),
        max_completion_tokens=nullable(whole(least=1)),
        n=nullable(whole(least=1, most=128)),
        retrieval=nullable(ref("RetrievalOptions")),
        **SAMPLING,
        logprobs=nullable(flag()),
        top_logprobs=nullable(whole(least=0, most=20)),
        response_format=nullable(record("type", type=text("text, json_object or json_schema."))),
        parallel_tool_calls=nullable(flag()),
        tools=nullable(
            items(record("type", type=text("function."), function=ref("Function")), minItems=1, maxItems=1000)
        ),
        tool_choice=either(nullable(word("none", "auto", "required")), anything()),
    ),
    "Function": record("name", name=text(minLength=1), description=nullable(text()), parameters=nullable(anything())),
    "CompletionRequest": record(
        "prompt",
        prompt=either(text(), items(text()), items(whole(least=0)), items(items(whole(least=0)))),
        model=MODEL,
        stream=STREAM,
        max_tokens=nullable(whole(least=0)),
        n=whole(least=1),
        echo=nullable(flag()),
        suffix=nullable(text()),
        logprobs=nullable(whole(least=0)),
        **SAMPLING,
    ),
    "MessageRequest": record(
        *("messages", "max_tokens"),
        messages=items(record("role", "content", role=word("user", "assistant"), content=either(text(), PARTS))),
        max_tokens=whole(least=1),
        model=MODEL,
        stream=STREAM,
        system=either(text(), PARTS),
        temperature=nullable(number(least=0, most=1)),
        stop_sequences=items(text()),
        tools=items(anything()),
        tool_choice=anything(),
    ),
    "CountRequest": record(
        "messages",
        messages=items(record("role", "content", role=word("user", "assistant"), content=either(text(), PARTS))),
        model=MODEL,
        system=either(text(), PARTS),
        tools=items(anything()),
    ),
    "ResponsesRequest": record(
        "input",
        input=either(text("A user's message."), items(anything("An item."))),
        model=MODEL,
        instructions=nullable(text("Before the input; not kept for the next response.")),
        stream=STREAM,
        stream_options=nullable(anything()),
        store=nullable(flag("False: the response cannot be fetched or continued later.")),
        previous_response_id=nullable(text("The response that this one continues.", maxLength=1000)),
        conversation=either(
            nullable(text(minLength=1)),
            record("id", id=text(minLength=1)),
            description="The conversation that is gone on with, and gets what is asked and answered.",
        ),
        max_output_tokens=nullable(whole(least=1)),
        temperature=SAMPLING["temperature"],
        top_p=SAMPLING["top_p"],
        top_logprobs=nullable(whole(least=0, most=20)),
        text=nullable(record(format=nullable(anything()), verbosity=nullable(word("low", "medium", "high")))),
        reasoning=nullable(record(effort=nullable(text(maxLength=1000)), summary=nullable(text(maxLength=1000)))),
        truncation=nullable(word("auto", "disabled")),
        tools=nullable(items(anything("A function, or file_search."), maxItems=1000)),
        tool_choice=either(nullable(text()), anything()),
        parallel_tool_calls=nullable(flag()),
        max_tool_calls=nullable(whole(least=1)),
        include=nullable(items(text(maxLength=1000), maxItems=100)),
        metadata=nullable({**anything(), "additionalProperties": text(maxLength=512), "maxProperties": 16}),
        user=nullable(text(maxLength=1000)),
        safety_identifier=nullable(text(maxLength=1000)),
        prompt_cache_key=nullable(text(maxLength=1000)),
        service_tier=nullable(text(maxLength=1000)),
        retrieval=nullable(ref("RetrievalOptions")),
    ),
    "CreateConversation": record(
        items=nullable(items(anything("An item."), maxItems=20)), metadata=nullable(ref("Metadata"))
    ),
    "UpdateConversation": record("metadata", metadata=nullable(ref("Metadata"))),
    "AddItems": record("items", items=items(anything("An item."), minItems=1, maxItems=20)),
    "EmbeddingsRequest": record(
        "input",
        input=either(text(minLength=1), items(text(minLength=1), minItems=1, maxItems=2048)),
        model=nullable(text("The embedder's name, or the gateway's model.")),
        encoding_format=word("float", "base64"),
        dimensions=nullable(whole("The embedder's own, or nothing.")),
        user=text(),
    ),
    "FeedbackRequest": record(
        *("answer_id", "rating"),
        answer_id=text("The id of the answer.", pattern=r"^[a-zA-Z0-9_.:\-]{1,128}$"),
        rating=word("up", "down"),
        reason=nullable(text(maxLength=2_000)),
        correction=nullable(text("What the answer should have been.", maxLength=20_000)),
        question=nullable(text("Where another gateway may have answered.", maxLength=20_000)),
        answer=nullable(text("The same.", maxLength=50_000)),
    ),
    "FileUpload": {
        **record(
            *("file", "purpose"),
            file=text("With its name, whose ending says what it is.", format="binary"),
            purpose=word("assistants", "batch", "fine-tune", "vision", "user_data", "evals"),
        ),
        "additionalProperties": text(maxLength=10_000),
        "maxProperties": 10,
    },
    "Metadata": {**anything("Up to 16 pairs."), "additionalProperties": text(maxLength=512), "maxProperties": 16},
    "Attributes": {
        **anything("Up to 16 pairs, which a search may filter by."),
        "additionalProperties": either(text(maxLength=512), number(), flag()),
        "maxProperties": 16,
    },
    "CreateVectorStore": record(
        name=nullable(text(maxLength=256)),
        description=nullable(text("Not used.")),
        metadata=nullable(ref("Metadata")),
        file_ids=items(text(), "Files to put into it.", maxItems=2000),
        expires_after=nullable(ref("ExpiresAfter")),
        chunking_strategy=nullable(ref("Chunking")),
    ),
    "UpdateVectorStore": record(
        name=nullable(text(maxLength=256)),
        metadata=nullable(ref("Metadata")),
        expires_after=nullable(ref("ExpiresAfter")),
    ),
    "ExpiresAfter": about(
        "It is deleted so many days after its last use.",
        record(*("anchor", "days"), anchor=word("last_active_at"), days=whole(least=1, most=365)),
    ),
    "Chunking": about(
        "Is not used: documents are cut along their structure.", record("type", type=word("auto", "static"))
    ),
    "AttachFile": record(
        "file_id",
        file_id=text(minLength=1, maxLength=100),
        attributes=nullable(ref("Attributes")),
        chunking_strategy=nullable(ref("Chunking")),
    ),
    "UpdateStoreFile": record("attributes", attributes=nullable(ref("Attributes"))),
    "CreateBatch": record(
        file_ids=items(text(minLength=1, maxLength=100), "These files, with the same attributes.", maxItems=2000),
        files=items(ref("AttachFile"), "Or these, each with its own.", maxItems=2000),
        attributes=nullable(ref("Attributes")),
        chunking_strategy=nullable(ref("Chunking")),
    ),
    "VectorStoreSearch": record(
        "query",
        query=either(text(maxLength=100_000), items(text(), minItems=1, maxItems=20)),
        filters=nullable(anything("Comparisons of attributes, joined by and and or.")),
        max_num_results=whole("10 unless it is given.", least=1, most=50),
        ranking_options=nullable(
            record(ranker=nullable(text()), score_threshold=number("The least score.", least=0, most=1))
        ),
        rewrite_query=nullable(flag("Is not used: the query is searched as it is.")),
    ),
    "McpMessage": about(
        "A message of the Model Context Protocol; a request has an id.",
        record(
            *("jsonrpc", "method"),
            jsonrpc=word("2.0"),
            id=either(whole(), text()),
            method=text(),
            params=anything(),
        ),
    ),
}
