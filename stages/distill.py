"""Stage distill: every seed of one student, each taught by the same seed of its teacher."""

from srledger.config import Params
from srledger.stage import run
from srledger.training.stage import train


def main(name: str) -> str:
    return train(Params.load(), name)


if __name__ == "__main__":
    run(main, "STUDENT")
