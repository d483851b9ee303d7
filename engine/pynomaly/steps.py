"""A step of a pipeline: the call of a feature macro, as text and as what the text says, checked.

A step is written as the macro is called in SQL, `rolling_mean(amount, paid_at, by := country, size := 3) as lately`, or
is the name of a column that stays as it is. Several columns in a list are a step each: `minmax([amount, hour])`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from pynomaly.errors import BadParameter, UnknownColumn, did_you_mean
from pynomaly.feature_macros import AGGREGATES, CALENDAR, COLUMN, PERIODS, REQUIRED, FeatureMacro, get
from pynomaly.quoting import identifier, literal

_TOKEN = re.compile(r"""\s*(?:(:=)|([(),\[\]])|"((?:[^"]|"")+)"|'((?:[^']|'')*)'|(-?\d+\.?\d*(?:e[-+]?\d+)?)|(\w+))""")
_WORDS = {"null": None, "true": True, "false": False}
_END = ("", "")


class Step(msgspec.Struct, frozen=True):
    """One call of a feature macro on one column, or on two where the macro takes two."""

    macro: str
    columns: tuple[str, ...]
    options: dict[str, Any] = {}
    name: str | None = None

    def __str__(self) -> str:
        """The step as it is written."""
        if self.macro == COLUMN:
            return _written(self.columns[0])
        defaults = get(self.macro).parameters
        options = [
            f"{name} := {_option(name, value)}" for name, value in self.options.items() if value != defaults[name]
        ]
        called = f"{self.macro}({', '.join([*map(_written, self.columns), *options])})"
        return f"{called} as {_written(self.name)}" if self.name else called

    def reads(self) -> list[str]:
        """Every column that the step needs."""
        order, by = self.options.get("order_by"), self.options.get("by")
        return [*self.columns, *([order] if order else []), *(by or ())]


def _written(name: str) -> str:
    """A name as a step has it, quoted where it must be."""
    return name if re.fullmatch(r"[^\W\d]\w*", name) and name.lower() not in (*_WORDS, "as") else identifier(name)


def _option(name: str, value: object) -> str:
    """The value of a parameter as a step has it; columns are names."""
    if name == "order_by":
        return _written(str(value))
    if name == "by" and isinstance(value, list):
        return _written(value[0]) if len(value) == 1 else f"[{', '.join(map(_written, value))}]"
    return literal(value)


def parse(texts: object) -> list[Step]:
    """The steps in a list of texts; BadParameter for what is no step, UnknownFeature for an unknown macro."""
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadParameter(f"the steps are {texts!r}", "give a list of steps, such as ['robust_zscore(amount)']")
    return [step for text in texts for step in _Reader(text).steps()]


def steps_of(macro: str, columns: object, options: dict[str, Any], name: str | None = None) -> list[Step]:
    """The steps of one call, its parameters checked: one for each column, or pair of columns."""
    record = get(macro)
    checked = _checked(record, options)
    given = [columns] if isinstance(columns, str) else columns
    if not isinstance(given, list | tuple) or not given or not all(isinstance(column, str) for column in given):
        raise BadParameter(f"the columns of `{macro}` are {columns!r}", "give a column name or a list of column names")
    if record.n_columns > 1:
        if len(given) != record.n_columns:
            raise BadParameter(f"`{macro}` takes {record.n_columns} columns, not {len(given)}", "name two columns")
        return [Step(macro, tuple(given), checked, name)]
    if name is not None and (len(given) > 1 or record.kind == "table"):
        raise BadParameter(f"`{macro}` gives several columns, which `as {name}` cannot name", "leave the name out")
    return [Step(macro, (column,), checked, name) for column in given]


class _Reader:
    """Reads the text of a step from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._next = next(self._tokens)

    def steps(self) -> list[Step]:
        """The steps that the text is."""
        name = self._name()
        if self._next == _END:
            return [Step(COLUMN, (name,))]
        self._take("(")
        positional, named = self._arguments()
        alias = None
        if self._next == ("word", "as"):
            self._advance()
            alias = self._name()
        if self._next != _END:
            raise self._wrong()
        return self._called(name, positional, named, alias)

    def _called(self, name: str, positional: list[Any], named: dict[str, Any], alias: str | None) -> list[Step]:
        record = get(name)
        columns, rest = positional[: record.n_columns], positional[record.n_columns :]
        if len(columns) < record.n_columns or len(rest) > len(record.parameters):
            raise BadParameter(f"`{self._text}` has {len(positional)} arguments", _usage(record))
        given = dict(zip(record.parameters, rest, strict=False))
        if twice := given.keys() & named.keys():
            raise BadParameter(f"`{min(twice)}` is given twice in `{self._text}`", "give it once")
        return steps_of(name, columns[0] if record.n_columns == 1 else columns, {**given, **named}, alias)

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        while self._next[1] != ")":
            value = self._value()
            if self._next[0] == ":=":
                self._advance()
                named[str(value)] = self._value()
            else:
                positional.append(value)
            if self._next[1] != ")":
                self._take(",")
        self._take(")")
        return positional, named

    def _value(self) -> Any:
        kind, text = self._next
        if text == "[" and kind == "sign":
            self._advance()
            items = []
            while self._next != ("sign", "]"):
                items.append(self._value())
                if self._next != ("sign", "]"):
                    self._take(",")
            self._take("]")
            return items
        if kind in ("sign", ":=", ""):
            raise self._wrong()
        self._advance()
        if kind == "number":
            return float(text) if re.search(r"[.e]", text) else int(text)
        return _WORDS.get(text.lower(), text) if kind == "word" else text

    def _name(self) -> str:
        kind, text = self._next
        if kind not in ("word", "text"):
            raise self._wrong()
        self._advance()
        return text

    def _take(self, sign: str) -> None:
        if self._next != ("sign", sign):
            raise self._wrong()
        self._advance()

    def _advance(self) -> None:
        self._next = next(self._tokens)

    def _split(self, text: str) -> Iterator[tuple[str, str]]:
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise self._wrong()
            at = found.end()
            assign, sign, quoted, string, number, word = found.groups()
            if quoted is not None or string is not None:
                yield "text", (quoted or "").replace('""', '"') or (string or "").replace("''", "'")
            else:
                kinds = ((":=", assign), ("sign", sign), ("number", number), ("word", word))
                yield next((kind, part) for kind, part in kinds if part)
        while True:
            yield _END

    def _wrong(self) -> BadParameter:
        return BadParameter(f"`{self._text}` is no step", "write a call, such as robust_zscore(amount) as z")


def _usage(record: FeatureMacro) -> str:
    columns = "a, b" if record.n_columns == 2 else "column"
    return f"it takes {record.name}({', '.join([columns, *record.parameters])})"


def _checked(record: FeatureMacro, options: dict[str, Any]) -> dict[str, Any]:
    """Every parameter of a macro with its value; BadParameter for one that is unknown, missing or out of range."""
    for name in options:
        if name not in record.parameters:
            raise BadParameter(
                f"`{name}` is no parameter of {record.name}", did_you_mean(name, record.parameters) or _usage(record)
            )
    found = {**record.parameters, **{name: value for name, value in options.items() if value is not None}}
    for name, value in found.items():
        if value == REQUIRED and name not in options:
            why = "; its rows have no order by themselves" if name == "order_by" else ""
            raise BadParameter(f"`{record.name}` needs `{name}`{why}", f"name a column: {name} := ...")
        if value == REQUIRED and options[name] is None:
            raise BadParameter(f"`{name}` of `{record.name}` is NULL", f"name a column: {name} := ...")
        found[name] = _CHECKS[name](name, value)
    return found


def _wrong(name: str, value: object, mend: str) -> BadParameter:
    return BadParameter(f"`{name}` is {value!r}", mend)


def _column(name: str, value: Any) -> str:
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise _wrong(name, value, "give the name of a column")
    return value


def _columns(name: str, value: Any) -> list[str] | None:
    given = [value] if isinstance(value, str) else value
    if given is not None and (not isinstance(given, list | tuple) or not given or set(map(type, given)) != {str}):
        raise _wrong(name, value, "give a column name or a list of column names")
    return None if given is None else list(given)


def _whole(low: int, high: int) -> Callable[[str, Any], int]:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(name, value, f"give a whole number from {low} to {high:,}")
        return value

    return check


def _wholes(name: str, value: Any) -> list[int]:
    given = value if isinstance(value, list | tuple) else [value]
    if not given:
        raise _wrong(name, value, "give one whole number or more")
    return list(dict.fromkeys(_whole(1, 1_000_000)(name, item) for item in given))


def _share(low_open: bool) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        number = float(value) if isinstance(value, int | float) or type(value).__name__ == "Decimal" else -1.0
        if isinstance(value, bool) or not 0 <= number <= 1 or (low_open and number == 0):
            raise _wrong(name, value, f"give a number {'above' if low_open else 'from'} 0 and up to 1")
        return number

    return check


def _period(name: str, value: Any) -> str | float:
    if isinstance(value, str):
        if value not in PERIODS:
            raise _wrong(name, value, f"give a number, or one of {', '.join(PERIODS)}")
        return value
    number = float(value) if isinstance(value, int | float) or type(value).__name__ == "Decimal" else 0.0
    if not 0 < number < float("inf"):
        raise _wrong(name, value, f"give a number above 0, or one of {', '.join(PERIODS)}")
    return number


def _among(choices: Iterable[str]) -> Callable[[str, Any], list[str]]:
    known = tuple(choices)

    def check(name: str, value: Any) -> list[str]:
        given = [value] if isinstance(value, str) else value
        for item in given if isinstance(given, list | tuple) else [given]:
            if item not in known:
                raise _wrong(name, item, did_you_mean(str(item), known) or f"give some of {', '.join(known)}")
        if not given:
            raise _wrong(name, value, f"give some of {', '.join(known)}")
        return list(dict.fromkeys(given))

    return check


def _values(name: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    given = value if isinstance(value, list | tuple) else [value]
    if not given or any(item is None for item in given):
        raise _wrong(name, value, "give one value or more, none of them NULL")
    return list(dict.fromkeys(map(str, given)))


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "order_by": _column,
    "by": _columns,
    "size": _whole(1, 1_000_000),
    "lag": _whole(1, 1_000_000),
    "lags": _wholes,
    "alpha": _share(low_open=True),
    "q": _share(low_open=False),
    "bins": _whole(2, 1_000),
    "buckets": _whole(2, 1_024),
    "n_values": _whole(1, 1_000),
    "harmonics": _whole(1, 100),
    "period": _period,
    "parts": _among(CALENDAR),
    "aggregates": _among(AGGREGATES),
    "values": _values,
}


def unknown_column(name: str, known: Iterable[str]) -> UnknownColumn:
    """The error for a column that a step reads and nothing gives."""
    return UnknownColumn(f"column `{name}` not found", did_you_mean(name, known))
