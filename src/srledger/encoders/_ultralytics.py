"""The only door to ultralytics (AGPL-3.0): imported late, offline, and without a trace in the process or at home.

Left to itself, ultralytics looks names up in the DNS when it is imported, writes settings into the home folder, sets
``OMP_NUM_THREADS`` and torch's threads, installs packages that it misses, downloads weights and sends events.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import numpy as np
import torch

from srledger.layout import cache_folder

SWITCHES = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
SENT_OR_LOGGED = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
NO_TIME_LIMIT_S = 1e9  # ultralytics drops the boxes of what it hasn't come to after 2 s and 0.05 s an image


@functools.cache
def prepare_ultralytics() -> None:
    """Import ultralytics with its switches off; its settings lie in the cache. Call it before any import of it."""
    os.environ.update(SWITCHES)
    os.environ["YOLO_CONFIG_DIR"] = str(cache_folder("ultralytics"))
    with process_kept():
        import cv2

        threads = cv2.getNumThreads()
        from ultralytics.utils import SETTINGS

        cv2.setNumThreads(threads)
        wanted = dict.fromkeys(SENT_OR_LOGGED, False)
        if any(SETTINGS[key] for key in wanted):  # written once: other processes may be reading the file
            SETTINGS.update(wanted)


@contextlib.contextmanager
def process_kept() -> Iterator[None]:
    """Give environment, threads and print options back as they were: what is trained next must not depend on them."""
    environment, threads, printing = dict(os.environ), torch.get_num_threads(), np.get_printoptions()
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_printoptions(profile="default")
        np.set_printoptions(**printing)
