"""The guarded plug-in: when Prefect's insides have moved, it says the long form and touches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace
from prefect.client.orchestration._deployments.client import DeploymentAsyncClient
from prefect.plugins import HookContext

from srledger.errors import SrledgerError
from srledger.prefect_plugin import Plugin, accept_bare_names, commit_to_add, enter_clone

CONTEXT = HookContext("3.8.8", None, lambda name: pytest.fail("no log is written"))


async def moved(self: Any, flow: str, deployment: str) -> None:
    """What a later Prefect might have in place of the method that we wrap."""


def test_a_prefect_that_has_changed_is_left_alone_and_the_long_form_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(DeploymentAsyncClient, "read_deployment_by_name", moved)
    monkeypatch.setattr("sys.argv", ["prefect", "deployment", "run", "ablation-sweep"])
    monkeypatch.chdir(tmp_path)
    assert Plugin.setup_environment(ctx=CONTEXT) is None
    assert "prefect deployment run ablation-sweep/ablation-sweep" in capsys.readouterr().err
    assert DeploymentAsyncClient.read_deployment_by_name is moved


def test_the_installed_prefect_is_one_that_we_know(monkeypatch: pytest.MonkeyPatch) -> None:
    read = DeploymentAsyncClient.read_deployment_by_name
    monkeypatch.setattr(DeploymentAsyncClient, "read_deployment_by_name", read)  # put back afterwards
    assert accept_bare_names()
    wrapped: Any = DeploymentAsyncClient.read_deployment_by_name
    assert wrapped.accepts_bare_names and accept_bare_names()
    assert DeploymentAsyncClient.read_deployment_by_name is wrapped  # and not wrapped once more


def test_a_worker_started_in_a_clone_tells_its_flow_runs_where_that_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(DeploymentAsyncClient, "read_deployment_by_name", DeploymentAsyncClient.read_deployment_by_name)
    monkeypatch.delenv("SRLEDGER_ROOT", raising=False)
    for name in ("prefect.yaml", "params.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    result = Plugin.setup_environment(ctx=CONTEXT)
    assert result is not None and result.env == {"SRLEDGER_ROOT": str(tmp_path)}
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setenv("SRLEDGER_ROOT", str(tmp_path))
    assert enter_clone() == {"directory": str(tmp_path)}


def test_a_worker_outside_a_clone_is_told_where_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SRLEDGER_ROOT", str(tmp_path))
    with pytest.raises(SrledgerError, match="start the worker in its clone"):
        enter_clone()


def test_a_flow_run_for_other_machines_carries_the_commit_that_stands_here(workspace: Workspace) -> None:
    here, typed = workspace.folder, ["prefect", "deployment", "run", "pipeline/pipeline", "--watch"]
    assert commit_to_add(typed, here) == []  # no remote: this machine alone
    workspace.edit("params.yaml", "remote: null", "remote: shared")
    with pytest.raises(SystemExit, match="the tree is dirty"):
        commit_to_add(typed, here)
    workspace.run("git", "add", "--all")
    named = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    workspace.run("git", *named, "commit", "--quiet", "--message", "Shared")
    head = workspace.run("git", "rev-parse", "HEAD").stdout.strip()
    assert commit_to_add(typed, here) == ["-p", f'commit="{head}"']
    assert commit_to_add([*typed, "-p", f"commit={head}"], here) == []
    assert commit_to_add(["prefect", "deployment", "run", "report"], here) == []
    assert commit_to_add(["prefect", "deployment", "ls"], here) == []
    workspace.edit("params.yaml", "retries: 1", "retries: 0")
    with pytest.raises(SystemExit, match="the tree is dirty"):
        commit_to_add(typed, here)
