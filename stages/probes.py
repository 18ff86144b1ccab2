"""Stage probes: every analysis beyond the metrics, of this scale's rows and prior maps; `ablations`: of the grid's."""

from srledger.layout import fresh_folder
from srledger.probing.run import run_probes
from srledger.reports import open_report
from srledger.stage import run


def main(which: str = "") -> str:
    params, layout = open_report(ablations=which == "ablations")
    with fresh_folder(layout.probes()) as part:
        records = run_probes(params, layout, part)
    measured = [record["name"] for record in records if record["status"] == "ok"]
    return f"probes: {', '.join(measured) or 'none'}" + (
        f"; {len(records) - len(measured)} unavailable" if len(records) > len(measured) else ""
    )


if __name__ == "__main__":
    run(main, "[ablations]")
