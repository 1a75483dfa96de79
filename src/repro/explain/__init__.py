"""Findings: what the comparison says, as data. Sentences are made of them by report/sentences.py."""
