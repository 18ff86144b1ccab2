"""What is shown beside the ledger: MLflow runs and models, and the table of this machine's timings."""
