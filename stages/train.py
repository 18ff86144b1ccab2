"""Stage train: every seed of one variant."""

from srledger.config import Params
from srledger.stage import run
from srledger.training.stage import train


def main(name: str) -> str:
    return train(Params.load(), name)


if __name__ == "__main__":
    run(main, "VARIANT")
