"""docs/several-machines.md, typed: a hub and two workers with clones and caches of their own, one sweep, one report."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace
from flow_tools import drop_tables, free_port, state_names, wait_for, with_flows
from machines import SHARE, Machine, blocks, page, postgresql, ssh_server, stand_ins

pytestmark = pytest.mark.slow
ROWS = {"landmark_unet__base", "landmark_unet__heatmap_off", "landmark_unet__gamma_0_5"}
MAKE_ENV = 'mkdir -p .cache && dvc cache dir --quiet --local "$HOME/cache"'  # what `make env` does beside installing


@dataclasses.dataclass(repr=False)
class Site:
    """Everything up and swept once, as the page says."""

    hub: Machine
    workers: list[Machine]
    folder: Path
    ports: dict[str, int]
    swept: str
    stop_sshd: contextlib.ExitStack

    def ask(self, path: str, **body: Any) -> Any:
        """POST to Prefect's API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['prefect']}/api/{path}", json.dumps(body).encode("utf-8"),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10.0) as answer:
            return json.loads(answer.read())

    def flow_runs(self) -> list[dict[str, Any]]:
        """Newest first."""
        return list(self.ask("flow_runs/filter", sort="EXPECTED_START_TIME_DESC", limit=50))

    def tasks(self, run: dict[str, Any]) -> dict[str, str]:
        return state_names(self.ask("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}}, limit=200))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    ports = {name: free_port() for name in ("prefect", "mlflow")}
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as sshd:
        ssh_port, key = sshd.enter_context(ssh_server(folder / "sshd"))
        database = stack.enter_context(postgresql())
        programs = stand_ins(folder / "bin")

        def machine(name: str, prefect_port: int) -> Machine:
            api = {"PREFECT_API_URL": f"http://127.0.0.1:{prefect_port}/api"}
            made = Machine(folder / name, programs, ssh_port, key, {**database, **api})
            stack.callback(made.end)
            return made

        hub = machine("hub", ports["prefect"])
        stack.callback(lambda: hub.type("srledger services down", check=False))
        small_project(hub.clone)
        hub.type(f"cd srledger && {MAKE_ENV} && git add --all && git commit --quiet --message Project")
        own = {
            SHARE: str(folder / "share"),
            "services up": f"services up --prefect-port {ports['prefect']}",
            "5000": str(ports["mlflow"]),
        }
        setting_up, database_up, servers_up, data, sweep = (written(text, own) for text in blocks(page(), "hub"))
        for text in (setting_up, database_up, servers_up):
            hub.type(text)
        workers = []
        for name in ("worker-1", "worker-2"):
            prefect_port, mlflow_port = free_port(), free_port()
            worker = machine(name, prefect_port)
            own = {
                SHARE: str(folder / "share"),
                "-L 4200:127.0.0.1:4200": f"-L {prefect_port}:127.0.0.1:{ports['prefect']}",
                "-L 5000:127.0.0.1:5000": f"-L {mlflow_port}:127.0.0.1:{ports['mlflow']}",
                "http://127.0.0.1:5000": f"http://127.0.0.1:{mlflow_port}",
            }
            clone, start = (written(text, own) for text in blocks(page(), "worker"))
            worker.type(clone)
            worker.type(MAKE_ENV)
            worker.type(start)
            workers.append(worker)
        hub.type(data)
        yield Site(hub, workers, folder, ports, hub.type(sweep), sshd)


def small_project(folder: Path) -> Workspace:
    """A clone whose grid has no rows but those that run at scale `smoke`."""
    project = with_flows(Workspace.new(folder))
    drop_tables(project, "lambda", "floor", "width")
    project.edit("params.yaml", "values: [0.5, 1.0, 3.0]", "values: [0.5]")
    project.run("srledger", "ablations", "--write")
    for name in ("home", ".dvc-site"):
        shutil.rmtree(folder / name)
    project.env["HOME"] = str(folder.parent)
    return project


def written(text: str, own: dict[str, str]) -> str:
    """A block with this site's names and ports in place of the page's."""
    for old, new in own.items():
        text = text.replace(old, new)
    return text


def test_each_worker_fetched_the_data_and_ran_rows_of_its_own(site: Site) -> None:
    runs = [run for run in site.flow_runs() if run["parameters"].get("only")]
    assert [run["state"]["name"] for run in runs] == ["Completed", "Completed"]
    for run in runs:
        wait_for(lambda run=run: "train@" in str(site.tasks(run)), 20.0, "the tasks of a flow run")
        tasks = site.tasks(run)
        rows = {name.partition("@")[2] for name in tasks if name.startswith("train@")}
        assert {tasks[f"train@{row}"] for row in rows} == {"Completed"}
        assert tasks["degrade@faces_x8"] == tasks["gate_priors"] == "Restored"
    made = [{path.name for path in worker.clone.glob("runs/smoke_ablations/*__*")} for worker in site.workers]
    assert sorted(map(len, made)) == [1, 2] and made[0] | made[1] == ROWS


def test_the_hub_restored_every_row_and_ran_none(site: Site) -> None:
    for row in ROWS:
        assert f"train@{row}: Stage 'ablations/dvc.yaml:train@{row}' is cached - skipping run" in site.swept
        assert f"evaluate@{row}: Stage 'ablations/dvc.yaml:evaluate@{row}' is cached - skipping run" in site.swept
    ran = {line.split("'")[1] for line in site.swept.splitlines() if ": Running stage '" in line}
    assert ran == {f"ablations/dvc.yaml:{name}" for name in ("grid", "gate_rows", "probes", "report", "machine")}


def test_the_report_and_the_lock_files_are_those_of_one_machine(site: Site, tmp_path: Path) -> None:
    alone = small_project(tmp_path / "alone")
    alone.run("srledger", "sweep")

    def files(folder: Path) -> dict[str, bytes]:
        found = (path for path in sorted((folder / "reports").rglob("*")) if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.name != "machine.csv"}

    assert len(files(alone.folder)) > 10
    assert files(site.hub.clone) == files(alone.folder)

    def lock(path: Path) -> str:
        """Without the tables of seconds, and the hash of a params.yaml that names the hub's remote."""
        text = path.read_text(encoding="utf-8").partition("  machine:")[0]
        return re.sub(r"(- path: params\.yaml\n)(?:      .*\n)+", r"\1", text)

    for name in ("dvc.lock", "ablations/dvc.lock"):
        assert lock(site.hub.clone / name) == lock(alone.folder / name)


def test_mlflow_on_postgresql_holds_every_row(site: Site) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"http://127.0.0.1:{site.ports['mlflow']}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    rows = {run.data.tags.get("srledger.row") for run in client.search_runs(experiments)}
    assert rows - {None} == ROWS
    counted = site.hub.type('PGUSER="$USER" psql --tuples-only --dbname mlflow --command "select count(*) from runs"')
    assert int(counted.split()[0]) >= len(ROWS)


def test_a_dirty_tree_is_refused_where_it_is_typed_and_the_named_command_cleans_it(site: Site) -> None:
    before = len(site.flow_runs())
    said = site.hub.type(
        "sed -i 's/retries: 1/retries: 0/' params.yaml && echo x > src/new.py\n"
        "prefect deployment run ablation-sweep --watch",
        check=False,
    )
    assert "srledger: the tree is dirty" in said and "found:    params.yaml, src/new.py" in said
    assert "Traceback" not in said and len(site.flow_runs()) == before
    site.hub.type("git " + said.partition("or: git ")[2].splitlines()[0])
    assert site.hub.type("git status --porcelain -- src params.yaml").strip() == ""


def test_a_worker_that_is_dirty_or_at_another_commit_refuses_and_says_both(site: Site) -> None:
    run = "prefect deployment run ablation-sweep --watch -p 'only=[\"landmark_unet__base\"]'"
    for worker in site.workers:
        worker.type("echo '# edited' >> params.yaml")
    site.hub.type(run, check=False)
    message = site.flow_runs()[0]["state"]["message"]
    assert message.startswith("the tree is dirty") and "git stash push --include-untracked -- params.yaml" in message
    for worker in site.workers:
        worker.type("git stash push --include-untracked -- params.yaml")
    old = site.hub.type("git rev-parse HEAD").strip()
    site.hub.type("git commit --quiet --allow-empty --message Next && git push --quiet share HEAD:main")
    new = site.hub.type("git rev-parse HEAD").strip()
    site.hub.type(run, check=False)
    failed = site.flow_runs()[0]
    assert failed["state"]["name"] == "Failed" and failed["parameters"]["commit"] == new
    assert f"found:    {old}" in failed["state"]["message"] and f"expected: {new}" in failed["state"]["message"]
    mend = failed["state"]["message"].partition("mend:")[2].partition(", and")[0].strip()
    for worker in site.workers:
        worker.type(mend)
    site.hub.type(run)
    assert site.flow_runs()[0]["state"]["name"] == "Completed"


def test_a_remote_that_does_not_answer_stops_before_anything_starts(site: Site) -> None:
    site.stop_sshd.close()
    said = site.hub.type("srledger sweep", check=False)
    assert "srledger: the DVC remote can't be reached" in said and "Traceback" not in said
    assert f"shared at ssh://hub.example.org{site.folder}/share/dvc" in said
    assert f"`ssh hub.example.org ls {site.folder}/share/dvc`" in said and "Running stage" not in said
