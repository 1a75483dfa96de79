"""Stands in for itk in a pair's shell until the pair's wheels are fetched."""

import os

_PAIR = os.environ.get("ELASTIX_PAIR", "")
raise ImportError(f"the itk-elastix wheels of {_PAIR} are not fetched; run: pixi run fetch {_PAIR}")
