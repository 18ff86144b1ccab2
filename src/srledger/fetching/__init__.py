"""Files from the network, and what is packed in them: nothing unchecked gets its name."""
