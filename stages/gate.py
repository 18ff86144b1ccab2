"""Stage gate: everything of one kind is checked; what fails stops the stages that follow."""

from srledger.config import Params
from srledger.gates.run import run_gates
from srledger.layout import Layout
from srledger.stage import run


def main(kind: str) -> str:
    params = Params.load()
    return run_gates(kind, params, Layout(params.scale))


if __name__ == "__main__":
    run(main, "KIND")
