"""Prints DVC's stage graph as JSON: ``python -m flows.read_graph [TARGET ...]``. ``graph`` runs it and reads it.

It is a process of its own, so that no flow holds DVC's lock or its memory. One process answers three questions with
one look at the files: which stages there are, in which order `dvc repro` would run them, and why each is out of date.
"""

from __future__ import annotations

import functools
import json
import operator
import sys
from typing import Any

GLOB = frozenset("*?[")  # in a key: DVC's own reading knows what it means


def read_params_once() -> None:
    """Let this process read each params file once.

    DVC parses the file again for every stage, and walks all of it for every key: of a hundred stages that is two thirds
    of the time of `dvc status`. Nothing writes a params file while this process runs, for its flow holds the folder.
    """
    from dvc.dependency import param

    slow = param.read_param_file
    load = functools.cache(param.load_path)

    def read(fs: Any, path: str, key_paths: list[str] | None = None, flatten: bool = False, **options: Any) -> Any:
        if not flatten or not key_paths or options or any(GLOB.intersection(key) for key in key_paths):
            return slow(fs, path, key_paths, flatten, **options)
        found, values = {}, load(path, fs)
        for key in key_paths:
            try:
                found[key] = functools.reduce(operator.getitem, key.split("."), values)
            except KeyError:
                continue  # as DVC does: what is not there has been deleted
            except TypeError:  # a key that leads into a list or a number
                return slow(fs, path, key_paths, flatten)
        return found

    param.read_param_file = read


def describe(targets: list[str]) -> dict[str, Any]:
    """Every stage's upstream names; those of ``targets`` in the order of `dvc repro`; what DVC says has changed."""
    import networkx as nx
    from dvc.repo import Repo
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    with Repo() as repo:
        graph = get_active_graph(repo.index.graph)
        after = {stage.addressing: sorted(other.addressing for other in graph.successors(stage)) for stage in graph}
        unknown = [name for name in targets if name not in after and not name.endswith(".yaml")]
        if unknown:
            return {"after": after, "order": [], "status": {}, "unknown": unknown}
        needed = graph.subgraph(plan_repro(graph, collect_stages(repo, targets or ["dvc.yaml"])))
        # For a part of the graph DVC's own order is another in every process; that of the files is the one that it has
        # for the whole.
        place = {stage: k for k, stage in enumerate(repo.index.stages)}
        order = list(nx.lexicographical_topological_sort(needed.reverse(), key=lambda stage: place[stage]))
        return {
            "after": after,
            "order": [stage.addressing for stage in order],
            "status": repo.status(),
            "unknown": [],
        }


def main() -> None:
    """Print the graph; an error of DVC is one line and status 1."""
    from dvc.exceptions import DvcException

    read_params_once()
    try:
        print(json.dumps(describe(sys.argv[1:])))
    except DvcException as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
