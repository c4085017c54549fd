"""Operators that torchvision's Python refers to, declared: beside torch's CPU build its own compiled ones do not load.

Python imports this by its name where this folder is on its path.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from typing_extensions import override

_OPERATORS = (
    "_deform_conv2d_backward",
    "_ps_roi_align_backward",
    "_ps_roi_pool_backward",
    "_roi_align_backward",
    "_roi_pool_backward",
    "deform_conv2d",
    "nms",
    "ps_roi_align",
    "ps_roi_pool",
    "qnms",
    "qroi_align",
    "roi_align",
    "roi_pool",
)


class _BeforeTorchvision(MetaPathFinder):
    """Finds nothing, and declares the operators when torchvision is looked for."""

    library: object = None

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            library = importlib.import_module("torch").library.Library("torchvision", "DEF")
            for name in _OPERATORS:
                library.define(f"{name}(Tensor a) -> Tensor")
            # Operators are gone with their library.
            type(self).library = library
        return None


sys.meta_path.insert(0, _BeforeTorchvision())
