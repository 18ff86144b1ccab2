"""Stage report: gather the rows, render every table and figure from them."""

from srledger.config import Params
from srledger.layout import Layout
from srledger.reporting.stage import report
from srledger.stage import run


def main() -> str:
    params = Params.load()
    return report(params, Layout(params.scale))


if __name__ == "__main__":
    run(main)
