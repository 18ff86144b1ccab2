"""Stage evaluate: per-image rows of one variant, student or transfer."""

from srledger.config import Params
from srledger.layout import Layout, fresh_folder, write_inactive
from srledger.stage import run


def main(name: str) -> str:
    params = Params.load().holding(name)
    layout = Layout(params.scale)
    if not params.is_active(name):
        write_inactive(layout.result(name), f"{name} does not run at scale {params.scale}")
        return f"evaluate {name}: not part of scale {params.scale}"
    from srledger.evaluation.runner import evaluate

    with fresh_folder(layout.result(name)) as part:
        record = evaluate(params, params.evaluations[name], layout, part)
    return f"evaluate {name}: {record['n_test']} images, {len(record['seeds'])} seeds"


if __name__ == "__main__":
    run(main, "ROW")
