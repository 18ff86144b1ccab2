"""Stage report: gather the rows, render every table and figure from them; `ablations` reports the grid instead."""

from srledger.reporting.stage import report
from srledger.reports import open_report
from srledger.stage import run


def main(which: str = "") -> str:
    return report(*open_report(ablations=which == "ablations"))


if __name__ == "__main__":
    run(main, "[ablations]")
