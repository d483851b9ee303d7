"""Pure numba functions, arrays in and arrays out, that know nothing of DuckDB."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function once a machine, and let other threads run beside it."""
    return cast(Function, numba.njit(cache=True, nogil=True)(function))
