"""Stage degrade: the HR and LR packs of a task."""

from srledger.config import Params
from srledger.degrade import degrade_task
from srledger.layout import Layout, fresh_folder, write_inactive
from srledger.stage import run


def main(name: str) -> str:
    params = Params.load()
    layout, task = Layout(params.scale), params.tasks[name]
    if task.why_inactive:
        write_inactive(layout.packs(name), f"scale {params.scale} does without {task.why_inactive}")
        return f"degrade {name}: not part of scale {params.scale}"
    with fresh_folder(layout.packs(name)) as part:
        record = degrade_task(task, layout.raw(task.dataset.name), part)
    return f"degrade {name}: {sum(record['dataset']['counts'].values())} pairs, x{task.scale_factor}"


if __name__ == "__main__":
    run(main, "TASK")
