"""What a report may be made from: everything in it has passed its gate, as it lies there now."""

from __future__ import annotations

import importlib
from collections.abc import Collection

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.gates import KINDS, Subjects
from srledger.io import read_json
from srledger.layout import Layout


def check_vouchers(params: Params, layout: Layout, kinds: Collection[str] = KINDS) -> None:
    """Raise SrledgerError for a dataset, task, prior or row that has not passed its gate in its present state."""
    for kind in kinds:
        module: Subjects = importlib.import_module(f"srledger.gates.{kind}")
        for subject, inactive in module.subjects(params, layout).items():
            if inactive is not None:
                continue
            voucher = layout.passed(kind) / f"{subject}.json"
            vouched = read_json(voucher).get("vouches_for") if voucher.exists() else "no voucher"
            found = module.fingerprint(subject, layout) if voucher.exists() else "what lies there"
            if vouched != found:
                raise SrledgerError(
                    f"'{subject}' has not passed gate {kind} as it is now", where=voucher, found=vouched,
                    expected=found, mend="dvc repro",
                )  # fmt: skip
