"""The OpenAPI document is valid and true: schemathesis asks by it, in everybody's name, and holds the answers to it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from infrastructure.api.rights import BY_STATEMENT, EVERYBODY, RIGHTS, Route
from tests.api.people import PEOPLE, service, token
from tests.api.provider import Provider, admit, shown
from tests.api.service import Service
from tests.api.test_rights import ROLES
from tests.cli.conftest import BIN, ROOT

__all__ = ["service"]

_AGAIN_S: Final = 100.0
"""Tokens live five minutes."""
_WALLETS: Final = ("alice.json", "bob.json", "sid.json", "rita.json", "resi.json", "node.json", "idle.json")
_CHECKS: Final = "use_after_free,ensure_resource_availability,ignored_auth,object_level_authorization"
"""They guess at what tests.api.asked.nobody_hears_anything and tests.api.test_rights hold exactly."""


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.ask("GET", "/openapi.json").json
    return found


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def operations(document: dict[str, Any]) -> Iterator[tuple[Route, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield (method.upper(), path.replace("tile/{path}", "tile/{path:path}")), operation


def test_every_route_is_documented_with_its_roles_body_and_every_status(document: dict[str, Any]) -> None:
    told = dict(operations(document))
    assert told.keys() == RIGHTS.keys() | EVERYBODY | BY_STATEMENT
    for route, operation in told.items():
        assert operation.get("x-roles", []) == sorted(RIGHTS.get(route, ())), route
        good = [answer for status, answer in operation["responses"].items() if status in {"200", "201"}]
        assert len(good) == 1, route
        assert all(media["schema"] for media in good[0]["content"].values()), f"{route} says nothing of its answer"
        assert ("requestBody" in operation) == (route[0] == "POST"), route
        assert "default" not in operation["responses"]
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert answer["content"].keys() == {"application/problem+json"}, route
        assert ("401" in operation["responses"]) == (route not in EVERYBODY)


def test_a_method_that_a_path_has_not_is_told_which_it_has(service: Service) -> None:
    given = token(service, "rita")
    for path, methods in (("/v1/nodes", "GET, POST"), ("/v1/audit/tile/0/000", "GET"), ("/v1/reports", "POST")):
        answer = service.ask("DELETE", path, token=given)
        assert (answer.status, answer.headers["allow"]) == (405, methods)


def asked_by(service: Service, provider: Provider, before: dict[str, Any]) -> dict[str, Any]:
    """Return what the hooks want to know: tokens by role, wallets, origins, ids that there are."""
    tokens = {who: token(service, who) for who in (*PEOPLE, "node")}
    tokens["olga"] = shown(service, provider.token())
    roles: dict[str, list[str]] = {}
    for who, role in ROLES.items():
        roles.setdefault(role.value, []).append(tokens[who])
    old = [one for group in before.get("roles", {}).values() for one in group] + [tokens["flora"]]
    paths: dict[str, list[str]] = {"name": ["idle"], "index": ["0", "1", "7"], "path": ["0/000", "entries/000"]}
    origins = [service.ask("GET", "/v1/audit", token=tokens[who]).json["origin"] for who in ("rita", "flora", "pia")]
    for who in ("rita", "flora"):
        (row,) = service.ask("GET", "/v1/workloads", token=tokens[who]).json["workloads"]
        for name, one in (("workload", row["workload"]), ("execution", row["executions"][0]), ("cac", row["cacs"][0])):
            paths.setdefault(name, []).append(one)
            paths["name"].append(one)
    return {
        "roles": roles, "before": [*before.get("before", []), *old], "origins": origins, "paths": paths,
        "wallets": [str(service.ledger.folder / name) for name in _WALLETS],
        "ids": [one for name in ("workload", "execution", "cac") for one in paths[name]],
    }  # fmt: skip


@contextmanager
def known_to_hooks(service: Service, path: Path) -> Iterator[None]:
    """Keep the file of the hooks up to date."""
    provider = Provider()
    admit(service, provider, "auditor=groups=ledger-auditors")
    stop, found = threading.Event(), asked_by(service, provider, {})

    def write() -> None:
        path.with_suffix(".new").write_text(json.dumps(found))
        path.with_suffix(".new").replace(path)

    def again() -> None:
        nonlocal found
        while not stop.wait(_AGAIN_S):
            found = asked_by(service, provider, found)
            write()

    write()
    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def command(url: str, config: Path, report: Path) -> list[str]:
    """Return schemathesis's command line, but for how much it asks."""
    return [
        str(BIN / "schemathesis"), "--no-color", "--config-file", str(config), "run", url, "--checks", "all",
        "--exclude-checks", _CHECKS, "--continue-on-failure", "--request-timeout", "30", "--no-shrink",
        "--suppress-health-check", "all", "--warnings", "off", "--report", "json", "--report-json-path", str(report),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("phases", "how", "cases"),
    [
        ("coverage", ["--generation-deterministic"], 1_500),
        pytest.param(
            "coverage,fuzzing",
            ["--max-examples", "900", "--generation-database", "none"],
            50_000,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_whatever_is_asked_the_answer_is_as_documented_and_no_fault(
    service: Service, tmp_path: Path, phases: str, how: list[str], cases: int
) -> None:
    config, report = tmp_path / "schemathesis.toml", tmp_path / "report.json"
    config.write_text("max-stream-events = 3\n")
    with known_to_hooks(service, tmp_path / "asked.json"):
        done = subprocess.run(
            [*command(f"{service.url}/openapi.json", config, report), "--phases", phases, *how],
            cwd=tmp_path, text=True, capture_output=True, check=False,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.api.asked", "LEDGER_ASKED": str(tmp_path / "asked.json"),
                 "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    said = done.stdout[-20_000:]
    sys.stdout.write(said[-800:])
    assert done.returncode == 0, said
    assert service.process is not None
    assert service.process.poll() is None
    counted = json.loads(report.read_text())
    assert counted["complete"]
    every = len(RIGHTS | dict.fromkeys(EVERYBODY | BY_STATEMENT))
    assert counted["operations"]["tested"] == every - 1  # where it has the document from, it leaves out
    assert counted["test_cases"]["generated"] >= cases
