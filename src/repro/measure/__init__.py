"""From a plan to raw lines."""
