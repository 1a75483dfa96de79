"""Findings as HTML and Markdown."""
