"""What elastix reads and writes."""
