"""Training and sampling need torch and little else: a bare GPU machine has no DVC, MLflow or YAML reader."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import Workspace

PROGRAM = """
import json, sys
from pathlib import Path

BLOCKED = {
    "ruamel", "rich", "pandas", "pyarrow", "matplotlib", "scipy", "skimage", "sklearn", "mlflow", "dvc", "prefect",
    "typer", "jinja2", "lpips", "pyiqa", "great_expectations", "torchmetrics", "cv2", "PIL", "requests", "pooch",
}

for name in BLOCKED:
    sys.modules[name] = None  # an import of it fails as if it were not installed

from srledger.evaluation.config import EvaluationConfig
from srledger.evaluation.restore import restore_batch
from srledger.layout import Layout
from srledger.training.batches import Examples
from srledger.training.run import load_trained, train_row

layout, folder = Layout("smoke"), Path("scratch/bare")
folder.mkdir(parents=True)
resolved = json.loads(Path("resolved.json").read_text())
record = train_row("landmark_unet", resolved, layout, folder, "code")
test = Examples(layout.packs("faces_x8"), layout.prior("landmark_gauss") / "faces_x8", "test")
sr, hr = restore_batch(load_trained(folder, 0), test, [0, 1], "landmark_unet", 0, EvaluationConfig())
assert sr.shape == hr.shape == (2, 3, 32, 32)
print(json.dumps(record["weights_sha256"]))
"""


def test_training_and_sampling_run_on_a_bare_machine(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    shown = json.loads(copy.run("srledger", "config", "landmark_unet").stdout)
    (copy.folder / "resolved.json").write_text(json.dumps(shown), encoding="utf-8")
    (copy.folder / "bare.py").write_text(PROGRAM, encoding="utf-8")
    hashes = json.loads(copy.run("python", "bare.py").stdout.splitlines()[-1])
    run = json.loads((copy.folder / "runs/smoke/landmark_unet/run.json").read_text(encoding="utf-8"))
    assert hashes == run["weights_sha256"]  # the same bits as the stage made
