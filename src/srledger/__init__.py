"""Super-resolution experiments whose every number can be audited."""
