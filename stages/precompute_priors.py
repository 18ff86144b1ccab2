"""Stage precompute_priors: the maps of one prior, for every task that asks for it."""

from srledger.config import Params
from srledger.layout import Layout, fresh_folder, write_inactive
from srledger.prior_config import tasks_of, why_no_prior
from srledger.prior_maps import precompute_prior
from srledger.stage import run


def main(name: str) -> str:
    params = Params.load()
    layout = Layout(params.scale)
    with fresh_folder(layout.prior(name)) as part:
        if why := why_no_prior(params, name):
            for task in tasks_of(params, name):
                write_inactive(part / task, why)
            return f"precompute_priors {name}: {why}"
        made, empty = precompute_prior(params, params.priors[name], layout, part)
    return f"precompute_priors {name}: {made} maps" + (f", {empty} of them empty" if empty else "")


if __name__ == "__main__":
    run(main, "PRIOR")
