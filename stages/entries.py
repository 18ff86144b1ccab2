"""Stage entries: all rows and all priors of params.yaml as JSON, for the stages that look at every one of them.

As parameters they would stand in DVC's lock, which numbers what YAML aliases share, and not always alike.
"""

from pathlib import Path

from srledger.io import write_json
from srledger.layout import Layout, fresh_folder
from srledger.stage import run
from srledger.yamlmap import YamlFile

ROWS = ("variants", "students", "transfers")


def main() -> str:
    values = YamlFile.read(Path("params.yaml")).values
    with fresh_folder(Layout(values["scale"]).entries()) as part:
        write_json(part / "rows.json", {key: values.get(key, {}) for key in ROWS})
        write_json(part / "priors.json", values["priors"])
    return f"entries: {sum(len(values.get(key, {})) for key in ROWS)} rows, {len(values['priors'])} priors"


if __name__ == "__main__":
    run(main)
