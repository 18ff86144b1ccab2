"""`srledger add-dataset`: from a folder of one's own images to a dataset, a task and a first number."""
