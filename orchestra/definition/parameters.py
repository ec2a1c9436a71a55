"""Typed parameters: what is given for a run becomes typed values and secrets, or is refused field by field."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestra.definition.patterns import BadPattern, PatternEngineMissing, matches
from orchestra.definition.values import did_you_mean
from orchestra.durations import BadDuration, format_duration, parse_duration
from orchestra.errors import InvalidFields, OrchestraError
from orchestra.limits import ARGUMENT_BYTES_MAX, SECRET_BYTES_MIN
from orchestra.specification import Parameter, ParameterType, PropertyValue

VALUE_BYTES_MAX = ARGUMENT_BYTES_MAX - 256
"""A value reaches the job as NAME=VALUE in its environment, and no system takes a longer one."""
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_WHOLE_MAX = 2**53
"""Beyond this a JSON reader in another language would see another number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedParameters:
    """The parameters of one run: secrets are kept apart from the first moment."""

    values: dict[str, PropertyValue]
    secrets: dict[str, str]


class _Refused(OrchestraError):
    """A value that a parameter does not take; its text is the sentence."""


def validate_parameters(
    parameters: Sequence[Parameter], given: Mapping[str, object], secrets: Mapping[str, object]
) -> TypedParameters:
    """The typed values of a run, defaults filled in; raises InvalidFields with all problems (`/parameters/replicas`).

    Texts are taken for numbers and truth values (`"3"`, `"true"`), because a command line has nothing else. A parameter
    that is not required, has no default and was not given is absent.
    """
    problems: list[tuple[str, str]] = []
    values: dict[str, PropertyValue] = {}
    hidden: dict[str, str] = {}
    for field, group in (("parameters", given), ("secrets", secrets)):
        problems.extend(_unknown(field, group, parameters))
    for parameter in parameters:
        is_secret = parameter.type is ParameterType.SECRET
        group, field = (secrets, "secrets") if is_secret else (given, "parameters")
        value = group.get(parameter.name)
        if value is None:
            value = parameter.default
        if value is None:
            if parameter.required:
                problems.append((_pointer(field, parameter.name), _missing(parameter)))
            continue
        try:
            if is_secret:
                hidden[parameter.name] = _secret(value)
            else:
                values[parameter.name] = typed_value(parameter, value)
        except _Refused as refusal:
            problems.append((_pointer(field, parameter.name), str(refusal)))
        except BadPattern as error:
            # The checks of a definition forbid it; a database filled by an older version may still hold it.
            problems.append((_pointer(field, parameter.name), f"cannot be checked: {error}"))
    if problems:
        raise InvalidFields(problems)
    return TypedParameters(values=values, secrets=hidden)


def value_fault(parameter: Parameter, value: object) -> str | None:
    """Why the parameter does not take this value, or None if it does, or if its pattern does not tell: that is told
    where the pattern is, or by a server, which has the library for it."""
    try:
        _secret(value) if parameter.type is ParameterType.SECRET else typed_value(parameter, value)
    except _Refused as refusal:
        return str(refusal)
    except (BadPattern, PatternEngineMissing):
        return None
    return None


def typed_value(parameter: Parameter, value: object) -> PropertyValue:
    """The value in the parameter's type; refuses with a sentence that `validate_parameters` collects."""
    match parameter.type:
        case ParameterType.INTEGER:
            return _within(parameter, _integer(value))
        case ParameterType.NUMBER:
            return _within(parameter, _number(value))
        case ParameterType.BOOLEAN:
            return _boolean(value)
        case ParameterType.CHOICE:
            text = _text(value)
            if text not in parameter.options:
                raise _Refused(f'must be one of {", ".join(parameter.options)}, got "{_short(text)}"')
            return text
        case ParameterType.DURATION:
            return _duration(parameter, value)
        case _:
            return _pattern(parameter, _text(value))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Refused(f"must be a text, got {_kind(value)}")
    text = str(value)
    if "\0" in text:
        raise _Refused("must not hold a NUL character: no process can be given one")
    if len(text.encode(errors="surrogatepass")) > VALUE_BYTES_MAX:
        raise _Refused(f"must be at most {VALUE_BYTES_MAX} bytes long")
    return text


def _pattern(parameter: Parameter, text: str) -> str:
    if parameter.type is ParameterType.STRING and ("\n" in text or "\r" in text):
        raise _Refused("must be one line: declare the parameter as `type: text` for more")
    if parameter.pattern is not None and not matches(parameter.pattern, text):
        example = f", such as {parameter.example}" if parameter.example else ""
        raise _Refused(f'must match {parameter.pattern}{example}, got "{_short(text)}"')
    return text


def _integer(value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _WHOLE_MAX:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _WHOLE_MAX:
        return value
    raise _Refused(f"must be a whole number, got {_shown(value)}")


def _number(value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _Refused(f"must be a number, got {_shown(value)}")
    return number


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _Refused(f"must be true or false, got {_shown(value)}")


def _within(parameter: Parameter, number: int | float) -> int | float:
    if parameter.minimum is not None and number < parameter.minimum:
        raise _Refused(f"must be at least {parameter.minimum:g}, got {number:g}")
    if parameter.maximum is not None and number > parameter.maximum:
        raise _Refused(f"must be at most {parameter.maximum:g}, got {number:g}")
    return number


def _duration(parameter: Parameter, value: object) -> str:
    text = _text(value)
    try:
        seconds = parse_duration(text)
    except BadDuration:
        raise _Refused(f"must be a duration such as 45m or 1h30m, got {_shown(value)}") from None
    if parameter.minimum is not None and seconds < parameter.minimum:
        raise _Refused(f"must be at least {format_duration(parameter.minimum)}, got {text}")
    if parameter.maximum is not None and seconds > parameter.maximum:
        raise _Refused(f"must be at most {format_duration(parameter.maximum)}, got {text}")
    return text


def _secret(value: object) -> str:
    # No sentence here may quote the value.
    if not isinstance(value, str):
        raise _Refused("must be a text")
    size = len(value.encode(errors="surrogatepass"))
    if size < SECRET_BYTES_MIN:
        raise _Refused(f"must be at least {SECRET_BYTES_MIN} bytes long: masking a shorter one would garble the log")
    if size > VALUE_BYTES_MAX or "\0" in value:
        raise _Refused(f"must be at most {VALUE_BYTES_MAX} bytes long, without a NUL character")
    return value


def _unknown(field: str, group: Mapping[str, object], parameters: Sequence[Parameter]) -> list[tuple[str, str]]:
    problems = []
    kinds = {parameter.name: parameter.type is ParameterType.SECRET for parameter in parameters}
    for name in group:
        if name not in kinds:
            known = f"known are {', '.join(kinds)}" if kinds else "the job has none"
            problems.append(
                (_pointer(field, name), f"is no parameter of the job: {did_you_mean(name, kinds) or known}")
            )
        elif kinds[name] and field == "parameters":
            problems.append(
                (_pointer(field, name), "is secret: give it in `secrets`, where it is neither stored nor shown")
            )
        elif not kinds[name] and field == "secrets":
            problems.append((_pointer(field, name), "is not secret: give it in `parameters`"))
    return problems


def _missing(parameter: Parameter) -> str:
    example = f", such as {parameter.example}" if parameter.example else ""
    return f"is required: give a {parameter.type}{example}"


def _pointer(field: str, name: str) -> str:
    return f"/{field}/{name.replace('~', '~0').replace('/', '~1')}"


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "a list" if isinstance(value, list | tuple) else "an object"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{_short(value)}"'
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else _kind(value)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
