"""Stage explore: what the datasets and degradations of the scale look like, for the report's data page."""

from srledger.config import Params
from srledger.exploration import explore
from srledger.layout import Layout, fresh_folder
from srledger.stage import run


def main() -> str:
    params = Params.load()
    layout = Layout(params.scale)
    with fresh_folder(layout.explored()) as part:
        explored = explore(params, layout, part)
    return f"explore: {explored} datasets"


if __name__ == "__main__":
    run(main)
