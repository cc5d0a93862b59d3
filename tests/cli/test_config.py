"""Settings: option before environment before file before default; strict, and silent about secrets."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import LedgerError, MalformedError
from infrastructure.settings import Settings, as_environment, from_environment, read_config
from tests.cli.conftest import Installation

URL = "postgresql://ledger:hunter2@db/ledger"


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    return Installation(tmp_path, {})


def config(made: Installation, text: str, mode: int = 0o600) -> Path:
    path = made.folder / "ledger.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_is_what_the_environment_would_be_and_the_environment_goes_before_it(made: Installation) -> None:
    path = config(
        made, f'data_dir = "there"\ndatabase_url = "{URL}"\n[serve]\nport = 8081\nrole = ["api", "decider"]\n'
    )
    made.environ = {"LEDGER_SERVE_PORT": "9000", "LEDGER_CONFIG": str(path)}
    ended = made.done("config", "show", "--json")
    shown = ended.json["settings"]
    assert shown["data_dir"] == {"value": "there", "source": "file", "variable": "LEDGER_DATA_DIR"}
    assert shown["serve.port"] == {"value": 9000, "source": "environment", "variable": "LEDGER_SERVE_PORT"}
    assert shown["serve.role"]["value"] == ["api", "decider"]
    assert shown["serve.host"] == {"value": None, "source": "default", "variable": "LEDGER_SERVE_HOST"}
    assert shown["database_url"]["value"] == "(set)"
    assert "hunter2" not in json.dumps(ended.json) + made.done("config", "show").out


def test_commands_work_by_the_file(made: Installation) -> None:
    path = config(made, f'data_dir = "{made.folder}/there"\n[serve]\nrole = ["api"]\nport = 0\n')
    process = made.start("--config", path, "serve")
    ended = made.end(process, 1)
    assert f"there is no ledger in {made.folder}/there" in ended.err  # with a role nothing is founded


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datadir = 'x'", "datadir: there is no such setting"), ("[serve]\nports = 1", "serve.ports: there is no"),
        ("[serve]\nport = '80'", "serve.port: Input should be a valid int"), ("[serve]\nport = 65536", "serve.port"),
        ("checkpoint_interval_s = 0", "checkpoint_interval_s"), ("debug = 'secret'", "debug"), ("x", "is no TOML"),
        ("[serve]\nrole = ['king']", "serve.role"), ("data_dir = ''", "data_dir"), ("[other]\n", "other: there is no"),
    ],
)  # fmt: skip
def test_what_is_no_setting_is_refused_by_name(made: Installation, text: str, says: str) -> None:
    path = config(made, text)
    for command in (("config", "show"), ("queue",)):
        made.refused("--config", path, *command, says=says)
    assert "secret" not in "".join(made.said)


def test_a_secret_that_others_can_read_is_refused(made: Installation) -> None:
    made.refused("--config", config(made, f"database_url = '{URL}'", 0o640), "queue", says="chmod 600")
    made.done("--config", config(made, "debug = true", 0o644), "config", "show")
    made.refused("--config", made.folder / "none", "queue", says="there is no file")


def test_variables_that_look_like_ours_are_named_and_wrong_values_are_refused(made: Installation) -> None:
    made.environ = {"LEDGER_SERVE_PROT": "1"}
    ended = made.inside("config", "show", "--json")
    assert (ended.code, ended.json["unknown"]) == (3, ["LEDGER_SERVE_PROT"])
    made.environ = {"LEDGER_SERVE_PORT": "hunter2"}
    made.refused("config", "show", says="LEDGER_SERVE_PORT: ")
    assert "hunter2" not in made.said[-1]


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_file_makes_anything_but_settings_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        found = read_config(path)
    except LedgerError:
        return
    assert from_environment(as_environment(found)) == found


def test_the_environment_reads_back_what_a_file_says() -> None:
    said = {
        "data_dir": "a b", "debug": True, "checkpoint_interval_s": 2.5,
        "serve": {"port": 1, "role": ["api", "all"], "trusted_proxy": ["10.0.0.0/8", "::1"], "log": "json"},
    }  # fmt: skip
    settings = Settings.model_validate(said)
    assert from_environment(as_environment(settings)) == settings
    with pytest.raises(MalformedError, match="LEDGER_SERVE_LOG"):
        from_environment({"LEDGER_SERVE_LOG": "xml"})
