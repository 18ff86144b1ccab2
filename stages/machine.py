"""Stage machine: what depends on this machine, kept apart: seconds, memory, and the MLflow mirror."""

from srledger.config import Params
from srledger.layout import Layout
from srledger.stage import run
from srledger.tracking.machine import write_machine_table
from srledger.tracking.mirror import mirror


def main() -> str:
    params = Params.load()
    layout = Layout(params.scale)
    measured = write_machine_table(params, layout)
    return f"machine: {measured} timings; {mirror(params, layout)}"


if __name__ == "__main__":
    run(main)
