"""Evaluation: from restored images to per-image rows and the statistics made from them."""
