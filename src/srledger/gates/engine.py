"""One gate through Great Expectations: every check with its counts and the ids of what failed."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srledger.gates import Check, Gate

NAMED_AT_MOST = 20
DOCS = "local"


class Engine:
    """A Great Expectations context of one process; Data Docs of every gate go below ``docs``."""

    def __init__(self, docs: Path) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        import great_expectations
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        self._gx = great_expectations
        self._context = great_expectations.get_context(
            mode="ephemeral",
            project_config=DataContextConfig(
                store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
                progress_bars=ProgressBarsConfig(globally=False),
                analytics_enabled=False,
            ),
        )
        self._context.add_data_docs_site(site_name=DOCS, site_config=_docs_site(docs))

    def run(self, gate: Gate) -> dict[str, Any]:
        """The result of a gate as it stands in the report.

        ``unexpected`` holds at most NAMED_AT_MOST (id, value) pairs, ``failing`` (dropped before it is written) all.
        """
        gx, name = self._gx, f"{gate.kind} {gate.name}".replace("/", " ")
        batch = self._context.data_sources.add_pandas(name).add_dataframe_asset(name)
        suite = gx.ExpectationSuite(name=name, expectations=[self._expectation(check) for check in gate.checks])
        validation = gx.ValidationDefinition(
            name=name,
            data=batch.add_batch_definition_whole_dataframe(name),
            suite=self._context.suites.add(suite),
        )
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[self._context.validation_definitions.add(validation)],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]},
        )
        outcome = self._context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": gate.frame})
        (found,) = outcome.run_results.values()
        answers: dict[str, Any] = {_name_of(answer): answer for answer in found.results}
        return {
            "kind": gate.kind,
            "name": gate.name,
            "checked": len(gate.frame),
            "checks": [_result(check, answers[check.name], gate) for check in gate.checks],
        }

    def build_docs(self) -> None:
        """Write the Data Docs of everything that was run."""
        self._context.build_data_docs(site_names=[DOCS])

    def _expectation(self, check: Check) -> Any:
        import great_expectations.expectations as expectations

        made = getattr(expectations, check.expectation)
        return made(**check.arguments, meta={"check": check.name}, notes=f"{check.title}: {check.why}")


def _name_of(answer: Any) -> str:
    return answer.expectation_config.meta["check"]


def _result(check: Check, answer: Any, gate: Gate) -> dict[str, Any]:
    facts: Mapping[str, Any] = answer.result
    if not facts:  # the expectation could not be computed at all: a mistake in the gate, not in the data
        raise RuntimeError(f"{gate.kind} {gate.name}, {check.name}: {answer.exception_info}")
    failing = sorted({str(line["id"]) for line in facts.get("unexpected_index_list") or []})
    by_id = dict(zip(gate.frame["id"].astype(str), gate.frame[check.column], strict=True))
    return {
        "check": check.name,
        "title": check.title,
        "why": check.why,
        "mend": check.mend,
        "severity": check.severity,
        "expectation": answer.expectation_config.type,
        "arguments": check.arguments,
        "column": check.column,
        "element_count": int(facts["element_count"]) - int(facts.get("missing_count") or 0),
        "unexpected_count": int(facts.get("unexpected_count") or 0),
        "unexpected": [[name, _plain(by_id[name])] for name in failing[:NAMED_AT_MOST]],
        "failing": [[name, _plain(by_id[name])] for name in failing],
        "success": bool(answer.success),
    }


def _plain(value: Any) -> Any:
    """A value of a frame as JSON can hold it; numbers with six digits, as a reader needs."""
    if isinstance(value, str) or value is None:
        return value
    number = float(value)
    if math.isnan(number) or math.isinf(number):
        return str(number)
    return int(number) if number.is_integer() else float(f"{number:.6g}")


def _docs_site(folder: Path) -> Any:
    return {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
    }
