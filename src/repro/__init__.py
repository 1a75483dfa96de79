"""Reproduce, explain and settle the speed difference between itk-elastix and elastix."""

__version__ = "0.1.0"
