"""Stage join_encoders: one pair of encoders, by the hash of both."""

from srledger.config import Params
from srledger.io import write_json
from srledger.layout import Layout, fresh_folder, write_inactive
from srledger.prior_config import why_no_encoder
from srledger.row_encoders import RECORD, pair_record
from srledger.stage import run


def main(name: str) -> str:
    params = Params.load()
    layout = Layout(params.scale)
    if why := why_no_encoder(params, name):
        write_inactive(layout.encoder(name), why)
        return f"join_encoders {name}: {why}"
    parts = params.entries.encoder_pairs[name].model_dump()
    with fresh_folder(layout.encoder(name)) as part:
        write_json(part / RECORD, pair_record(name, parts, layout))
    return f"join_encoders {name}: {parts['encoder']}, judged by {parts['judge']}"


if __name__ == "__main__":
    run(main, "PAIR")
