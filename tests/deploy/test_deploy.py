"""Files of deployment: they parse, and every command line in them is one that this program takes."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import typer
import yaml

from infrastructure.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.yaml"
MANIFESTS = ROOT / "infrastructure/deploy/kubernetes/ledger.yaml"
BOARD = ROOT / "infrastructure/deploy/grafana/ledger.json"


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def shell_lines(command: list[str]) -> Iterator[list[str]]:
    """Yield the calls of this program in `sh -c TEXT`."""
    assert command[:2] == ["sh", "-c"]
    for part in re.split(r"\|\||&&|;", command[2]):
        words = shlex.split(part)
        if words[:1] == ["enclave-ledger"]:
            yield words[1:]


def compose_lines() -> Iterator[list[str]]:
    for name, service in documents(COMPOSE)[0]["services"].items():
        if name != "postgres":
            assert service["image"] == "enclave-ledger"
            yield from shell_lines(service["entrypoint"]) if "entrypoint" in service else [service["command"]]


def containers() -> Iterator[dict[str, Any]]:
    for document in documents(MANIFESTS):
        spec = document.get("spec", {}).get("template", {}).get("spec", {})
        yield from [*spec.get("initContainers", ()), *spec.get("containers", ())]


def manifest_lines() -> Iterator[list[str]]:
    for container in containers():
        yield from shell_lines(container["command"]) if "command" in container else [container["args"]]


def dockerfile_line() -> list[str]:
    text = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["enclave-ledger"]' in text
    found = re.search(r"^CMD (\[.*\])$", text, re.MULTILINE)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


LINES = [dockerfile_line(), *compose_lines(), *manifest_lines()]


def parses(line: list[str]) -> bool:
    """Tell whether the command line takes a line, and call nothing."""
    command = typer.main.get_command(app)
    called: list[object] = []
    with mock.patch("typer.core.TyperCommand.invoke", lambda _self, context: called.append(context)):
        try:
            command.main(args=line, prog_name="enclave-ledger", standalone_mode=False)
        except Exception:  # noqa: BLE001 - a usage error, of whatever class
            return False
    return len(called) == 1


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_command_line_is_one_that_the_program_takes(line: list[str]) -> None:
    assert parses(line)


def test_a_wrong_command_line_would_be_noticed() -> None:
    assert not parses(["serve", "--rolle", "api"])
    assert not parses(["serve", "--role", "king"])
    assert not parses(["swerve"])
    assert not parses(["node", "run"])


def test_compose_has_the_whole_cell() -> None:
    services = documents(COMPOSE)[0]["services"]
    assert set(services) == {
        "postgres", "setup", "operator", "api-1", "api-2", "decider", "publisher", "projector", "node-1", "node-2",
        "witness",
    }  # fmt: skip
    volumes = set(documents(COMPOSE)[0]["volumes"])
    for service in services.values():
        named = {one.split(":")[0] for one in service["volumes"] if not one.startswith(".")}
        assert named <= volumes
        assert set(service.get("depends_on", ())) <= set(services)


def test_the_manifests_have_the_whole_cell_and_mount_what_is_there() -> None:
    kinds = [(document["kind"], document["metadata"]["name"]) for document in documents(MANIFESTS)]
    assert len(set(kinds)) == len(kinds)
    assert {name for kind, name in kinds if kind in {"Deployment", "StatefulSet", "Job"}} == {
        "setup", "api", "decider", "publisher", "projector", "node-1", "node-2"
    }  # fmt: skip
    for document in documents(MANIFESTS):
        spec = document.get("spec", {}).get("template", {}).get("spec")
        if spec is None:
            continue
        assert spec["enableServiceLinks"] is False
        claims = [one["metadata"]["name"] for one in document["spec"].get("volumeClaimTemplates", ())]
        volumes = {*(volume["name"] for volume in spec["volumes"]), *claims}
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_board_shows_metrics_that_there_are() -> None:
    board = json.loads(BOARD.read_text())
    said = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    names = set(re.findall(r"\b(?:ledger|process)_[a-z_]+", said))
    assert len(names) >= 10
    source = ROOT / "infrastructure/api/metrics.py"
    if source.is_file():
        text = source.read_text()
        assert {name for name in names if f'"{re.sub("_(bucket|sum|count)$", "", name)}"' not in text} == set()
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in board["panels"]]
    assert len(set(places)) == len(places) == len({one["id"] for one in board["panels"]})


def test_the_image_holds_what_the_program_imports_and_reads() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in text
    for package in ("domain", "projections", "infrastructure"):
        assert f"COPY {package} {package}" in text
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for word in source.split():
            top = word.replace("build.lock", "*.lock").replace("runtime.lock", "*.lock")
            assert f"!{top}" in ignored, word
            assert (ROOT / word).exists()
