"""Stage entries: params.yaml is checked; all its rows and priors as JSON, for the stages that look at every one.

As parameters they would stand in DVC's lock, which numbers what YAML aliases share, and not always alike.
"""

from pathlib import Path

from srledger.ablation_lock import check_lock
from srledger.config import Params
from srledger.io import write_json
from srledger.layout import Layout, fresh_folder
from srledger.stage import run

ROWS = ("variants", "students", "transfers")


def main() -> str:
    params = Params.load()
    check_lock(params.ablations, Path())  # it names the priors that the grid's graph makes
    values = params.file.values
    priors = {**values["priors"], **values.get("ablation_priors", {})}
    with fresh_folder(Layout(params.scale).entries()) as part:
        write_json(part / "rows.json", {key: values.get(key, {}) for key in ROWS})
        write_json(part / "priors.json", priors)
    return f"entries: {sum(len(values.get(key, {})) for key in ROWS)} rows, {len(priors)} priors"


if __name__ == "__main__":
    run(main)
