"""Stage machine: what depends on this machine, kept apart: seconds, memory, and the MLflow mirror."""

from srledger.reports import open_report
from srledger.stage import run
from srledger.tracking.machine import write_machine_table
from srledger.tracking.mirror import mirror


def main(which: str = "") -> str:
    params, layout = open_report(ablations=which == "ablations")
    measured = write_machine_table(params, layout)
    return f"machine: {measured} timings; {mirror(params, layout)}"


if __name__ == "__main__":
    run(main, "[ablations]")
