"""The house stands as ARCHITECTURE.md says."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PURE = {
    "base64", "binascii", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "enum", "functools",
    "hashlib", "heapq", "hmac", "itertools", "json", "pydantic", "re", "struct", "typing", "uuid",
}  # fmt: skip
FORBIDDEN_NAMES = {
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "open",
    "input",
    "hash",
    "id",
    "float",
    "globals",
    "eval",
}
SOURCES = sorted(
    path for folder in ("domain", "projections", "infrastructure", "scripts") for path in (ROOT / folder).rglob("*.py")
)


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "domain")], ids=lambda p: str(p.name))
def test_the_domain_imports_and_calls_nothing_impure(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        for name in names:
            assert name.split(".")[0] == "domain" or name in PURE, f"{path.name} imports {name}"
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in FORBIDDEN_NAMES, f"{path.name}:{node.lineno} calls {called}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_stay_short_and_open_with_a_docstring(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 400
    assert ast.get_docstring(ast.parse(text))


def test_the_top_level_holds_what_the_user_fixed_and_conventional_files_only() -> None:
    fixed = {"domain", "infrastructure", "projections", "tests", "scripts", "pyproject.toml"}
    conventional = {
        "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "Makefile", "requirements", ".ci",
        ".gitignore", "Dockerfile", ".dockerignore", "compose.yaml",
    }  # fmt: skip
    assert {path.relative_to(ROOT).parts[0] for path in tracked_files()} == fixed | conventional


def test_no_tracked_file_names_a_package_index() -> None:
    hosts = re.compile("|".join(("pypi" + "[.]org", "python" + "hosted", "npm" + "js[.]", "registry[.]" + "npm")))
    for path in tracked_files():
        assert not hosts.search(path.read_bytes().decode("utf-8", "replace")), path.name


def test_every_locked_package_is_pinned_by_hash_and_every_dependency_is_locked() -> None:
    for lock in ("build", "runtime", "dev"):
        text = (ROOT / "requirements" / f"{lock}.lock").read_text()
        packages = re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)
        assert packages
        for block in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
            assert "--hash=sha256:" in block, block.splitlines()[0]
