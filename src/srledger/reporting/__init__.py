"""The report: a pure function of the committed rows. Same rows and config, same bytes, anywhere."""
