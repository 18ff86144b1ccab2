"""The networks that attention maps are made with: how large, and learned from what (YODA, Table 5)."""

from __future__ import annotations

from srledger.probes import EncodersConfig, Look, Measured, Probe, Quantity, Shown, ShownLine, ShownTable
from srledger.probes._tables import arrays, table_of
from srledger.probing.source import Source

PUBLISHED_TASK = "attention_maps"  # of the papers' numbers
AT_HAND = "at hand"


class Config(EncodersConfig):
    """The networks."""


class Backbones(Probe):
    """Size, input and grid of every network that maps can be made with; a paper's numbers stand beside, in columns of
    their own.

    How many maps a second they make on this machine stands in `machine.csv`, stage `precompute_priors`: it is no number
    of a report.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        import torch

        from srledger.probing.networks import build_network, network_facts

        lines: list[tuple[object, ...]] = []
        for name in self.config.encoders:
            facts = network_facts(source.params, name)
            state = f"unavailable: {facts['why']}" if facts["why"] else AT_HAND
            network = build_network(facts)
            sizes: tuple[int | None, ...] = (None, None, None)
            if network is not None:
                side = network.size_px or max(source.hr(1)[0].shape[:2])
                with torch.no_grad():
                    height, width = network(torch.zeros(1, 3, side, side))[-1].shape[-2:]
                sizes = (sum(value.numel() for value in network.parameters()), side, height * width)
            kind = "" if network is None else "transformer" if network.attends or network.tokenises else "convolutional"
            lines.append((name, kind, facts["learned"], state, *sizes))
        types = {"encoder": str, "kind": str, "learned": str, "state": str}
        return Measured(table_of({**types, "parameters": int, "side_px": int, "places": int}, lines))

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        lines: list[ShownLine] = []
        for k, name in enumerate(columns["encoder"].tolist()):
            sizes = [
                int(columns[column][k]) if columns["kind"][k] else None
                for column in ("parameters", "side_px", "places")
            ]
            printed = [look.printed(name, metric, PUBLISHED_TASK) for metric in ("params", "throughput")]
            lines.append((
                name, str(columns["kind"][k]), str(columns["learned"][k]), str(columns["state"][k]),
                None if sizes[0] is None else Quantity(sizes[0] / 1e6, 2), printed[0], *sizes[1:], printed[1],
            ))  # fmt: skip
        head = (
            "encoder", "kind", "learned from", "weights", "parameters (M)", "parameters, published (M)",
            "input side (px)", "tokens or places", "images/s, published",
        )  # fmt: skip
        notes = (
            "Tokens or places: of the deepest map, for an input of that side. Sizes are those of the architecture.",
            *look.printed_notes(PUBLISHED_TASK),
        )
        table = ShownTable("networks", "Networks behind the attention maps", head, tuple(lines), notes)
        return Shown(tables=(table,))
