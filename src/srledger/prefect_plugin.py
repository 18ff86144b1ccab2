"""What Prefect loads of this project: bare names and commits on its command line, and the step into a worker's clone.

`prefect deployment run ablation-sweep` fails in stock Prefect, which wants ``flow/deployment``. Our flows and their
deployments have the same names, so a bare name says enough.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from prefect.plugins import HookContext, SetupResult, register_hook

from srledger.errors import SrledgerError, unknown_name

ROOT = "SRLEDGER_ROOT"  # names a worker's clone to the flow runs that it starts
WITH_COMMIT = ("pipeline", "ablation-sweep")  # deployments that ask which commit their flow run is for
LONG_FORM = (
    "this Prefect has changed inside, bare deployment names do not work: type the long form, prefect deployment run"
)


class Plugin:
    """The entry point ``prefect.plugins``; ``[tool.prefect] plugins.enabled`` in pyproject.toml switches it on."""

    @staticmethod
    @register_hook
    def setup_environment(*, ctx: HookContext) -> SetupResult | None:
        """Called by Prefect before each of its commands."""
        if not accept_bare_names() and sys.argv[1:3] == ["deployment", "run"]:
            for name in [word for word in sys.argv[3:4] if "/" not in word]:
                print(f"srledger: {LONG_FORM} {name}/{name}", file=sys.stderr)
        here = Path.cwd()
        sys.argv += commit_to_add(sys.argv, here)
        if ROOT in os.environ or not ((here / "prefect.yaml").exists() and (here / "params.yaml").exists()):
            return None
        return SetupResult(env={ROOT: str(here)}, note=f"flow runs of a worker started here work in {here}")


def commit_to_add(typed: Sequence[str], here: Path) -> list[str]:
    """``-p commit="..."`` for `prefect deployment run`, where results are shared with other machines.

    Their clones then refuse to run another commit than the one that stands here. Ends Prefect when the tree is dirty.
    """
    words = list(typed[3:]) if list(typed[1:3]) == ["deployment", "run"] else []
    asked = any(word.rpartition("/")[2] in WITH_COMMIT for word in words)
    if not asked or any("commit=" in word for word in words) or not (here / "params.yaml").exists():
        return []
    from srledger.commits import check_clean, head_of
    from srledger.config import Params
    from srledger.yamlmap import YamlFile

    try:
        if Params(YamlFile.read(here / "params.yaml")).orchestration.remote is None:
            return []
        check_clean(here)
        return ["-p", f'commit="{head_of(here)}"']
    except SrledgerError as error:
        raise SystemExit(f"srledger: {error}") from None


def accept_bare_names() -> bool:
    """Let Prefect's client read a deployment by a bare name; False when its insides are not what we know."""
    try:
        from prefect.client.orchestration._deployments.client import DeploymentAsyncClient
    except ImportError:
        return False
    read = getattr(DeploymentAsyncClient, "read_deployment_by_name", None)
    if (
        read is None
        or not inspect.iscoroutinefunction(read)
        or list(inspect.signature(read).parameters) != ["self", "name"]
    ):
        return False
    if not hasattr(DeploymentAsyncClient, "read_deployments"):
        return False
    if not getattr(read, "accepts_bare_names", False):
        setattr(DeploymentAsyncClient, read.__name__, _with_bare_names(read))
    return True


def _with_bare_names(read: Callable[[Any, str], Awaitable[Any]]) -> Callable[[Any, str], Awaitable[Any]]:
    async def read_deployment_by_name(self: Any, name: str) -> Any:
        if "/" in name:
            return await read(self, name)
        known = sorted({deployment.name for deployment in await self.read_deployments()})
        if name not in known:
            mend = None if known else "srledger services up"
            raise SystemExit(f"srledger: {unknown_name('deployment', name, known, where='prefect.yaml', mend=mend)}")
        return await read(self, f"{name}/{name}")

    read_deployment_by_name.accepts_bare_names = True  # type: ignore[attr-defined]
    return read_deployment_by_name


def enter_clone() -> dict[str, str]:
    """The pull step of prefect.yaml: a flow run works in the clone of the worker that started it.

    Raises:
        SrledgerError: the worker was not started in a clone.
    """
    root = Path(os.environ.get(ROOT) or Path.cwd())
    if not (root / "prefect.yaml").exists():
        raise SrledgerError(
            "the worker does not stand in a clone of the project", where=root, expected="a folder with prefect.yaml",
            mend=f"start the worker in its clone, or export {ROOT}=/path/to/clone",
        )  # fmt: skip
    os.chdir(root)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))  # where `flows` is
    return {"directory": str(root)}
