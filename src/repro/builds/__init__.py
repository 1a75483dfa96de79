"""Builds and pairs on this machine: from params to a folder."""
