"""Findings from the comparison."""
