"""What contributors rely on: the notices are true, hooks need no net, and CI runs `.ci/run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOOKS = ROOT / ".pre-commit-config.yaml"


def hooks() -> list[dict[str, Any]]:
    return [
        hook
        for repository in yaml.safe_load(HOOKS.read_text())["repos"]
        for hook in repository["hooks"]
    ]


def test_the_notices_are_not_stale() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/notices.py"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    if result.stdout != (ROOT / "THIRD-PARTY-NOTICES.md").read_text():
        pytest.fail(
            "THIRD-PARTY-NOTICES.md is not what is installed. Run `make notices` and commit it.",
            pytrace=False,
        )


def test_hooks_are_programs_of_the_virtual_environment() -> None:
    assert {repository["repo"] for repository in yaml.safe_load(HOOKS.read_text())["repos"]} == {
        "local"
    }
    assert {hook["language"] for hook in hooks()} == {"system"}
    programs = {Path(hook["entry"].split()[0]) for hook in hooks()}
    assert {path.parent for path in programs} == {Path(".venv/bin")}
    assert [
        path.name for path in programs if not Path(sys.executable).with_name(path.name).exists()
    ] == []


@pytest.mark.parametrize(
    ("hook", "wrong"),
    [("ruff-check", "import os\n"), ("ruff-format", "x = [ 1 ]\n")],
    ids=["ruff-check", "ruff-format"],
)
def test_a_hook_refuses_what_is_wrong(hook: str, wrong: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
        "GIT_CEILING_DIRECTORIES": str(tmp_path),
    }
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    (tree / ".venv").symlink_to(Path(sys.executable).parents[1])
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        (tree / name).write_bytes((ROOT / name).read_bytes())
    (tree / "src" / "wrong.py").write_text(wrong)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)

    run("git", "init", "--quiet")
    run("git", "add", "src")
    pre_commit = str(Path(sys.executable).with_name("pre-commit"))
    result = run(pre_commit, "run", "--all-files", hook)
    assert result.returncode == 1 and "wrong.py" in result.stdout, result.stdout + result.stderr
    (tree / "src" / "wrong.py").write_text('"""Right."""\n')
    result = run(pre_commit, "run", "--all-files", hook)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_workflow_runs_what_any_other_integration_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
