"""Prefect flows over DVC: which stage runs when and where. DVC decides what is out of date; no science, no torch."""
