"""Stage train: every seed of one variant; or one encoder, before there are priors (stage train_encoder)."""

from srledger.config import Params
from srledger.io import write_json
from srledger.layout import Layout, fresh_folder, write_inactive
from srledger.prior_config import why_no_encoder
from srledger.stage import run
from srledger.training.stage import train


def main(name: str) -> str:
    params = Params.load()
    return make_encoder(params, name) if name in params.entries.encoders else train(params, name)


def make_encoder(params: Params, name: str) -> str:
    folder = Layout(params.scale).encoder(name)
    if why := why_no_encoder(params, name):
        write_inactive(folder, why)
        return f"train {name}: {why}"
    if params.entries.encoders[name].weights == "none":
        with fresh_folder(folder) as part:
            write_json(part / "encoder.json", {"name": name, "weights": "none"})
        return f"train {name}: no network"
    from srledger.pipeline_encoders import write_encoder  # late: what is not made must not wait for torch

    with fresh_folder(folder) as part:
        record = write_encoder(params.encoders[name], Layout(params.scale), part)
    return f"train {name}: {record['resolved']['weights']}, {record['parameters']:,} parameters"


if __name__ == "__main__":
    run(main, "VARIANT|ENCODER")
