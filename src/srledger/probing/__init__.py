"""Probing: what the probes of a report look at, and the stage that asks all of them."""
