"""Ask a running gateway through OpenAI's own package, like any OpenAI client.

The answer is printed as it streams. Its last delta carries our fields: the citations, in OpenAI's form, and the
verification, which lists the names in the answer that no passage has.

    .venv/bin/python examples/openai_client.py "Which command fixes antenna violations?" http://127.0.0.1:8000
"""

from __future__ import annotations

import os
import sys
from typing import Any

from openai import OpenAI


def main(question: str, gateway_url: str = "http://127.0.0.1:8000") -> None:
    """Print the answer, then the passages that it cites, then the names that no passage has."""
    client = OpenAI(base_url=f"{gateway_url}/v1", api_key=os.environ.get("CHIPALIGN_API_KEY", "none"))
    stream = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=[{"role": "user", "content": question}],
        stream=True,
        extra_body={"retrieval": {"top_k": 4}},  # our field, optional: how many passages to find
    )

    checked: dict[str, Any] = {}
    for chunk in stream:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
            checked |= choice.delta.model_extra or {}  # fields beyond OpenAI's own

    print()
    for annotation in checked.get("annotations") or ():
        cited = annotation["url_citation"]
        print(f"[{annotation['number']}] {cited['title']}: {cited['url']}")
    verification = checked.get("verification") or {}
    print("unknown names:", ", ".join(verification.get("unknown_names", ())) or "none")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
