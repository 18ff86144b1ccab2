"""Stage gate: everything of one kind is checked; what fails stops the stages that follow."""

from srledger.gates.run import run_gates
from srledger.reports import open_report
from srledger.stage import run


def main(kind: str, which: str = "") -> str:
    return run_gates(kind, *open_report(ablations=which == "ablations"))


if __name__ == "__main__":
    run(main, "KIND [ablations]")
