"""Stage download: a dataset's source becomes packs and a manifest."""

from srledger.config import Params
from srledger.datasets import build_dataset
from srledger.layout import Layout, fresh_folder, write_inactive
from srledger.stage import run
from srledger.watched import note_files


def main(name: str) -> str:
    params = Params.load()
    dataset, folder = params.datasets[name], Layout(params.scale).raw(name)
    if dataset.source is None:
        write_inactive(folder, f"scale {params.scale} does without dataset {name}")
        return f"download {name}: not part of scale {params.scale}"
    with fresh_folder(folder) as part:
        record = build_dataset(dataset, part)
    note_files(dataset, Layout(params.scale))
    return f"download {name}: {sum(record['counts'].values())} images, {record['identities']} identities"


if __name__ == "__main__":
    run(main, "DATASET")
