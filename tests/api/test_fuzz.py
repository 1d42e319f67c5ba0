"""Nonsense for every route, from callers of every kind, at every version: never a 500, and
afterwards the books are right.

A few hundred requests here, drawn from the seed of the run; `make fuzz` sends tens of thousands.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
import sqlalchemy as sa
from oslo_config import cfg
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import SchemathesisError
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.api.microversions import EXPERIMENTAL_HEADER, HEADER, MAX_VERSION, text
from abaca.db.session import begin, read
from abaca.db.tables import metadata
from tests.api.conftest import ADMIN, ALICE, BOB, FAULTS, NOBODY, READER, Api, BackEnd
from tests.api.test_openapi import populate
from tests.operations import invariants
from tests.properties import drawn, given, st
from tests.sample import FACTOR

pytestmark = pytest.mark.slow("every operation is asked for nonsense, by everybody")

PER_OPERATION = int(os.environ.get("ABACA_FUZZ", 2 * FACTOR))
IS_LONG = PER_OPERATION > 10
CALLERS = (ADMIN, ADMIN, ADMIN, "control:control:member", ALICE, BOB, READER, NOBODY, None)
OTHERS = (("/network", "NeutronError"), ("/v3", "error"))  # faults of other APIs
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
BOOKS = (
    invariants.quotas_are_kept,
    invariants.claims_are_right,
    invariants.no_server_is_there_twice,
)

Populate = Callable[[], dict[str, str]]


@pytest.fixture
def populated(api: Api, conf: cfg.ConfigOpts, engine: Engine) -> Populate:
    """Makes everything anew: what the requests about one route destroy is there again for the
    next."""

    def make() -> dict[str, str]:
        with begin(engine) as conn:
            for table in reversed(metadata.sorted_tables):
                conn.execute(sa.delete(table))
        back_end = BackEnd(engine)
        back_end.arrive()
        return populate(api, back_end, conf, engine)

    return make


@pytest.mark.timeout(200 + 60 * PER_OPERATION)
def test_nothing_breaks_it(
    conf: cfg.ConfigOpts, engine: Engine, populated: Populate, caplog: pytest.LogCaptureFixture
) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(conf, engine))
    answers: Counter[int] = Counter()
    wrong: list[str] = []
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) == len(list(schema.get_all_operations()))
    limits: dict[str, int] = defaultdict(lambda: sys.maxsize)  # administrators set them, too
    known: dict[str, str] = {}
    for number, operation in enumerate(operations):
        if IS_LONG or number % 25 == 0:
            known = populated()

        def ask(case: Any, is_there: bool, who: str | None, version: int) -> None:
            for name in (case.path_parameters or {}) if is_there else ():
                case.path_parameters[name] = known.get(name, case.path_parameters[name])  # noqa: B023
            case.headers = {
                **({"X-Auth-Token": who} if who else {}),
                HEADER: text(version),
                EXPERIMENTAL_HEADER: "True",
            }
            answer = case.call()
            answers[answer.status_code] += 1
            if version == MAX_VERSION:
                case.validate_response(answer, checks=CHECKS)
            elif answer.status_code >= 400:
                fault = next(
                    (name for base, name in OTHERS if case.path.startswith(base)),
                    FAULTS[answer.status_code],
                )
                assert (answer.status_code, list(answer.json())) == (answer.status_code, [fault])

        try:
            _varied(operation)(ask)()
        except (
            SchemathesisError,
            AssertionError,
            KeyError,
            ValueError,
            BaseExceptionGroup,
        ) as error:
            wrong.append(f"{operation.label}: {error}")
        with read(engine) as conn:
            wrong += [
                f"after {operation.label}: {find}" for book in BOOKS for find in book(conn, limits)
            ]
    print(f"{sum(answers.values())} requests: {dict(sorted(answers.items()))}")
    assert not wrong, "\n".join(wrong)
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ] == []
    assert (
        sum(answers.values()) >= PER_OPERATION * len(operations)
        and {200, 400, 401, 403, 404} <= answers.keys()
    )


def _varied(operation: Any) -> Callable[[Callable[..., None]], Callable[[], None]]:
    cases = operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    versions = st.just(MAX_VERSION) | st.integers(0, MAX_VERSION)
    cases_from_callers = given(
        case=cases,
        is_there=st.sampled_from([True, True, True, False]),
        who=st.sampled_from(CALLERS),
        version=versions,
    )
    return lambda ask: drawn(PER_OPERATION, f"fuzz {operation.label}")(cases_from_callers(ask))
