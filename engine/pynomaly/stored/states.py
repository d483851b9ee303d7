"""Fitted states as what the header can hold, and back: only the states of registered algorithms, field by field.

What a field may hold is read from its type, never from the file. A state whose class cannot check itself, and a
library's own object, is written and read where the file is signed only.
"""

import functools
import math
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from pynomaly import deviations, registry
from pynomaly.algorithm import Algorithm, State
from pynomaly.combination import RULES
from pynomaly.ensembles import EnsembleState, Member
from pynomaly.errors import LibraryChanged, ModelCorrupt, ModelNotStorable, ModelUntrusted
from pynomaly.layout import require
from pynomaly.stored.format import DTYPES

TELL = "annotate what its algorithm's `fit` returns"
WIDEST = 2**63  # a number of JSON is read by others as 64 bits, if that

Classes = Mapping[str, type[State]]  # of the fields that may hold any state


@functools.cache
def _hints(class_: type[State]) -> dict[str, Any]:
    return get_type_hints(class_)


def state_class(algorithm: Algorithm) -> type[State]:
    """The class of an algorithm's state: what its `fit` says that it returns; `State` where that is nothing."""
    return _returned(algorithm.fit.func if isinstance(algorithm.fit, partial) else algorithm.fit)


@functools.cache
def _returned(fit: Callable[..., Any]) -> type[State]:
    found = get_type_hints(fit).get("return")
    return found if isinstance(found, type) and issubclass(found, State) else State


def checks_itself(class_: type[State]) -> bool:
    """Whether a state can be read from a file that anybody wrote."""
    return class_.check is not State.check


class Writer:
    """Collects the arrays of states in the order in which they are met."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.must_sign = False

    def state(self, state: State, class_: type[State]) -> dict[str, Any]:
        """The fields of a state by name; all of it pickled where its algorithm does not tell its class."""
        if class_ is State:
            return {"pickle": self._pickled(state)}
        if type(state) is not class_:
            raise ModelNotStorable(f"a {type(state).__name__} cannot be stored as a {class_.__name__}", TELL)
        return self._struct(state)

    def _struct(self, state: State) -> dict[str, Any]:
        self.must_sign |= not checks_itself(type(state))
        hints = _hints(type(state))
        return {name: self._value(getattr(state, name), hints[name]) for name in state.__struct_fields__}

    def _value(self, value: Any, hint: Any) -> Any:
        if value is None:
            return None
        if hint is object:
            return {"pickle": self._pickled(value)}
        if isinstance(value, np.generic):
            value = value.item()
        match value:
            case np.ndarray():
                return {"array": self._array(value)}
            case State():
                return self._struct(value)
            case tuple() | list():
                return [self._value(part, _inner(hint)) for part in value]
            case bool() | str():
                return value
            case int():
                return value if abs(value) < WIDEST else str(value)
            case float():
                return value if math.isfinite(value) else str(value)
        raise ModelNotStorable(f"a {type(value).__name__} cannot be stored", "keep arrays, numbers and texts")

    def _array(self, array: Any) -> int:
        if array.dtype.newbyteorder("<").str not in DTYPES:
            raise ModelNotStorable(f"an array of {array.dtype} cannot be stored", "keep numbers")
        self.arrays.append(array)
        return len(self.arrays) - 1

    def _pickled(self, value: object) -> int:
        self.must_sign = True
        try:
            data = pickle.dumps(value, protocol=5)
        except Exception as error:  # whatever the library's objects raise
            raise ModelNotStorable(
                f"a {type(value).__name__} cannot be stored: {error}", "use another algorithm"
            ) from error
        return self._array(np.frombuffer(data, np.uint8))


class Reader:
    """Makes states of what a header holds; `is_signed` says that the signature of the file was found right."""

    def __init__(self, arrays: list[Any], is_signed: bool) -> None:
        self._arrays = arrays
        self._is_signed = is_signed

    def state(self, class_: type[State], node: Any, d: int) -> State:
        """A state for rows of d features; ModelCorrupt unless its fields are those of its class and fit together."""
        made = self._unpickled(node) if class_ is State else self._struct(class_, node, {})
        if not isinstance(made, State):
            raise ModelCorrupt("the model is damaged: its state is none")
        made.check(d)
        return made

    def _struct(self, class_: type[State], node: Any, classes: Classes) -> Any:
        if not (self._is_signed or checks_itself(class_)):
            raise ModelUntrusted(
                "the model runs code when it is read, or cannot be checked, and is not signed",
                "do not use it; train it again",
            )
        require(isinstance(node, dict), f"{class_.__name__} is no object")
        hints, fields = _hints(class_), {field.name: field for field in msgspec.structs.fields(class_)}
        require(node.keys() <= fields.keys(), f"{class_.__name__} has unknown fields")
        missing = [name for name in fields.keys() - node.keys() if fields[name].required]
        require(not missing, f"{class_.__name__} has no `{', '.join(sorted(missing))}`")
        if class_ is EnsembleState:
            return self._ensemble(node, hints)
        return class_(**{name: self._value(value, hints[name], classes.get(name)) for name, value in node.items()})

    def _ensemble(self, node: dict[str, Any], hints: dict[str, Any]) -> EnsembleState:
        """An ensemble, whose members are states of the algorithms that it names."""
        plain = {name: self._value(value, hints[name], None) for name, value in node.items() if name != "members"}
        names, members = plain["names"], node["members"]
        require(isinstance(members, list) and len(members) == len(names), "an ensemble's members are not those named")
        require(plain["rule"] in RULES, "an ensemble has an unknown rule")
        base = state_class(registry.get(deviations.BASE))
        made = []
        for name, member in zip(names, members, strict=True):
            classes = {"state": state_class(registry.get(name)), "deviations": base}
            made.append(self._struct(Member, member, classes))
        return EnsembleState(**plain, members=tuple(made))

    def _value(self, node: Any, hint: Any, class_: type[State] | None) -> Any:
        kinds = get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is UnionType else (hint,)
        if node is None:
            require(NoneType in kinds or object in kinds, "a field is empty")
            return None
        (kind,) = (kind for kind in kinds if kind is not NoneType)
        if kind is object:
            return self._unpickled(node)
        if get_origin(kind) is np.ndarray:
            return self._array(node, np.dtype(get_args(get_args(kind)[1])[0]))
        if get_origin(kind) is tuple:
            require(isinstance(node, list), "a list is none")
            return tuple(self._value(part, _inner(kind), class_) for part in node)
        if issubclass(kind, State):
            return self._struct(class_ or kind, node, {})
        return _plain(node, kind)

    def _array(self, node: Any, dtype: np.dtype[Any] | None) -> Any:
        place = node.get("array") if isinstance(node, dict) and len(node) == 1 else None
        require(type(place) is int and 0 <= place < len(self._arrays), "a field names no array")
        found = self._arrays[place]  # type: ignore[index]
        require(found.dtype == dtype, f"an array of {dtype} is one of {found.dtype}")
        return found

    def _unpickled(self, node: Any) -> object:
        if not self._is_signed:
            raise ModelUntrusted(
                "the model runs code when it is read, and is not signed", "do not use it; train it again"
            )
        require(isinstance(node, dict) and node.keys() == {"pickle"}, "a field holds no object")
        data = self._array({"array": node["pickle"]}, np.dtype(np.uint8))
        try:
            found: object = pickle.loads(data.tobytes())  # noqa: S301 - the signature was found right
        except Exception as error:  # whatever the library's objects raise
            raise LibraryChanged(
                f"the library cannot read the model: {type(error).__name__}: {error}", "train it again"
            ) from error
        return found


def _inner(hint: Any) -> Any:
    """The type of the parts of a tuple."""
    return next((part for part in get_args(hint) if part is not Ellipsis), None)


def _plain(node: Any, kind: type) -> Any:
    """A number, text or flag; text stands for numbers that JSON has not."""
    if kind in (int, float) and isinstance(node, str):
        try:
            return kind(node)
        except ValueError:
            require(False, "a text is no number")
    require(type(node) is kind or (kind is float and type(node) is int), f"a {kind.__name__} is something else")
    return kind(node)
