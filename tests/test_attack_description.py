"""The attack that the API's own description makes: requests drawn from /openapi.json, right ones and wrong ones.

`make fuzz` sends ten thousand. Each gets an answer in time, with a status, a type and a body that the description has,
and never an error that is ours.
"""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve.openapi.operations import OPERATIONS
from tests.attack import Attack

PATIENCE_S = 30.0  # distinguishes an answer from a hang, also on a busy machine
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
DRAWN = [key for key, each in OPERATIONS.items() if each.body or each.parameters]  # of the others there is one request
QUICK, FULL = 5, 10_000 // len(DRAWN) + 1  # requests of each operation
pytestmark = pytest.mark.attack


@pytest.mark.parametrize("key", OPERATIONS, ids=" ".join)
def test_drawn_requests_get_answers_as_described(uploading: str, attack: Attack, key: tuple[str, str]) -> None:
    schema = schemathesis.openapi.from_url(f"{uploading}/openapi.json")
    operation = schema[key[1]][key[0]]
    drawn = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if key in DRAWN:
        drawn |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    failures: list[str] = []
    tried = 0

    @hypothesis.settings(
        max_examples=attack.times(QUICK, full=FULL),
        derandomize=not attack.is_full,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=drawn)
    def ask(case: Any) -> None:
        nonlocal tried
        tried += 1
        try:
            case.call_and_validate(checks=CHECKS, timeout=PATIENCE_S, session=session)
        except (FailureGroup, Failure, requests.RequestException) as error:
            failures.append(f"{case.as_curl_command()}\n{error}")

    with requests.Session() as session:
        ask()
    attack.report("requests drawn from the API's description", tried, failures)
