"""Checks conditions of elements before anything runs: their grammar, their names, and the types of what is known."""

import re
from collections.abc import Iterator, Mapping

from orchestra.definition.element_templates import result_faults
from orchestra.definition.faults import Fault
from orchestra.definition.problems import Path
from orchestra.definition.surroundings import Surroundings
from orchestra.definition.values import did_you_mean
from orchestra.elements import Element, MatrixValue
from orchestra.pipeline.conditions import NAMES, BadCondition, CelMissing, check_condition
from orchestra.specification import Parameter, ParameterType

_CHARACTERS_MAX = 2000
_TEXT = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.DOTALL)
_NAME = re.compile(
    r"(?<![\w.])(parameters|results|states|matrix|item)\b"
    r"(?:\s*\.\s*(?P<plain>[A-Za-z_]\w*)|\s*\[\s*(?P<quoted>\"[ ]*\")\s*\])?"
)
_PARENTHESIS = re.compile(r"(?P<loop>\.\s*(?:all|exists|exists_one|existsOne|filter|map)\s*)?\(|\)")
_PARSER_PLACE = re.compile(r"is no CEL: <input>:(\d+):(\d+): (.*)", re.DOTALL)
_SAMPLES = 6
_SAMPLE_TEXTS = ("text", "1", "1.2.3", "2026-01-01T00:00:00Z", "10m", "")
_SAMPLE_DURATIONS = ("10m", "1h", "30s")
_UNKNOWN = re.compile(r"names the unknown `(.+?)`")
_REMEDY = 'write such as `parameters.env == "production"`, with quotes around it all'
_OVERLOAD = "cannot be evaluated: No such overload"
_FUNCTION = re.compile(r"cannot be evaluated: Undefined variable or function: '(.+?)'")


def condition_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    """What is wrong with the `if` at this path; nothing if the library that reads it is not installed."""
    expression = element.condition
    if len(expression) > _CHARACTERS_MAX:
        yield Fault(path, f"is longer than {_CHARACTERS_MAX:,} characters", "let a job decide, and ask for its result")
        return
    if _has_nested_loops(expression):
        sentence = "goes through a list for each member of a list, which may take for ever"
        yield Fault(path, sentence, "let a job find it out, and ask for its result")
        return
    faults = list(_name_faults(element, around, path))
    yield from faults
    if faults:
        return
    try:
        bad = _refusal(element, around)
    except CelMissing:
        return
    if bad is not None:
        yield _fault_of(bad, path)


def _has_nested_loops(expression: str) -> bool:
    """Five lists of 150 members within each other keep a machine busy for hours: nobody can interrupt a condition."""
    is_loop: list[bool] = []
    for found in _PARENTHESIS.finditer(_blanked(expression)):
        if found[0] == ")":
            is_loop = is_loop[:-1]
        elif found["loop"] and any(is_loop):
            return True
        else:
            is_loop.append(bool(found["loop"]))
    return False


def _blanked(expression: str) -> str:
    """The expression with its texts emptied, so that nothing within them is taken for a name."""
    return _TEXT.sub(lambda found: '"' + " " * (len(found[0]) - 2) + '"', expression)


def parameters_of_condition(expression: str) -> frozenset[str]:
    """The parameters that a condition names without asking by `has` whether they are there."""
    if "has(" in expression:
        return frozenset()
    return frozenset(name for group, name, _, _ in _names(expression) if group == "parameters")


def _name_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    for group, name, offset, length in _names(element.condition):
        for sentence, remedy in _faults_of_name(group, name, element, around):
            yield Fault(path, sentence, remedy, offset, length, len(element.condition))


def _names(expression: str) -> Iterator[tuple[str, str, int, int]]:
    """(group, name, where it begins, its length) for `parameters.env` and `parameters["env"]`, not within texts."""
    blank = _blanked(expression)
    for found in _NAME.finditer(blank):
        name = found["plain"] or ""
        if found["quoted"]:
            name = expression[found.start("quoted") + 1 : found.end("quoted") - 1]
        if found[1] == "item" and re.search(r"\(\s*item\s*,", blank):
            # `list.all(item, …)` gives the name another meaning.
            continue
        yield found[1], name, found.start(), found.end() - found.start()


def _faults_of_name(group: str, name: str, element: Element, around: Surroundings) -> Iterator[tuple[str, str]]:
    if group == "item":
        if not element.for_each:
            yield "names `item` without `for-each`", "add `for-each: results.ELEMENT.NAME`, or remove it"
    elif group == "matrix" and element.matrix is None:
        yield "names `matrix`, which the element does not have", "give it a `matrix`, or remove it"
    elif not name:
        return
    elif group == "parameters":
        parameter = around.parameters.get(name)
        if parameter is None:
            yield f"names the unknown parameter `{name}`", _near(group, name, list(around.parameters))
        elif parameter.type is ParameterType.SECRET:
            yield f"names the secret `{name}`, on which no decision may depend", "remove it"
    elif group == "matrix":
        axes = list(element.matrix.axes) if element.matrix else []
        if name not in axes:
            yield f"names the unknown axis `{name}`", _near(group, name, axes)
    elif name not in around.elements:
        yield f"names the unknown element `{name}`", _near(group, name, around.before(element))
    elif not around.is_before(name, element):
        for sentence, remedy in result_faults(f"{name}.x", element, around):
            yield sentence.replace("names the results of", f"names the {group} of"), remedy


def _near(group: str, name: str, known: list[str]) -> str:
    # `states.deploy-each` is a difference to CEL: the name must be quoted.
    longer = [each for each in known if each.startswith((f"{name}-", f"{name}."))]
    if longer:
        return f'write `{group}["{longer[0]}"]`'
    return did_you_mean(name, known) or f"known are {', '.join(known[:10]) or 'none'}"


def _refusal(element: Element, around: Surroundings) -> BadCondition | None:
    """Why the condition can never be evaluated, tried with several samples of all that is known beforehand."""
    seen: list[BadCondition] = []
    for turn in range(_SAMPLES):
        try:
            check_condition(element.condition, _sample(element, around, turn))
        except BadCondition as bad:
            if bad.cause.startswith((_OVERLOAD, "is ")) or _FUNCTION.match(bad.cause):
                # Wrong for all values of these types; another failure may be about this sample only.
                return bad
            seen.append(bad)
    return seen[0] if len(seen) == _SAMPLES else None


def _sample(element: Element, around: Surroundings, turn: int) -> Mapping[str, object]:
    parameters = {
        name: _sample_value(parameter, turn)
        for name, parameter in around.parameters.items()
        if parameter.type is not ParameterType.SECRET
    }
    names = {name for group, name, _, _ in _names(element.condition) if group == "states"}
    axes = element.matrix.axes if element.matrix else {}
    return {
        "parameters": parameters,
        "states": dict.fromkeys(names, "succeeded" if turn % 2 == 0 else "failed"),
        "matrix": {name: values[turn % len(values)] for name, values in axes.items() if values},
        "run": {"number": 482},
    }


def _sample_value(parameter: Parameter, turn: int) -> MatrixValue:
    match parameter.type:
        case ParameterType.INTEGER:
            return int(_sample_number(parameter, turn))
        case ParameterType.NUMBER:
            return float(_sample_number(parameter, turn))
        case ParameterType.BOOLEAN:
            return turn % 2 == 0
        case ParameterType.CHOICE:
            return parameter.options[turn % len(parameter.options)] if parameter.options else ""
        case ParameterType.DURATION:
            return _SAMPLE_DURATIONS[turn % len(_SAMPLE_DURATIONS)]
        case _:
            known = [each for each in (parameter.default, parameter.example) if isinstance(each, str)]
            return known[turn] if turn < len(known) else _SAMPLE_TEXTS[turn]


def _sample_number(parameter: Parameter, turn: int) -> float:
    default = parameter.default
    if turn == 0 and isinstance(default, int | float):
        return default
    low = parameter.minimum if parameter.minimum is not None else 1.0
    high = parameter.maximum if parameter.maximum is not None else low + _SAMPLES
    return min(low + turn, high)


def _fault_of(bad: BadCondition, path: Path) -> Fault:
    # The values of the sample were ours and would only confuse.
    cause, whole = bad.cause.partition("; values: ")[0], len(bad.expression)
    parsed = _PARSER_PLACE.match(cause)
    if parsed is not None:
        length = 1 if parsed[1] == "1" else None
        sentence = f"is no condition in CEL: {parsed[3].partition(' expecting {')[0]}"
        return Fault(path, sentence, _REMEDY, int(parsed[2]) - 1, length, whole)
    unknown = _UNKNOWN.match(cause)
    if unknown is not None:
        remedy = did_you_mean(unknown[1], NAMES) or f"known are {', '.join(NAMES)}"
        offset = max(bad.expression.find(unknown[1]), 0)
        return Fault(path, f"names the unknown `{unknown[1]}`", remedy, offset, len(unknown[1]), whole)
    function = _FUNCTION.match(cause)
    if function is not None:
        remedy = "CEL has functions such as `size(…)`, `.contains(…)`, `.startsWith(…)` and `.matches(…)`"
        return Fault(path, f"uses the unknown function `{function[1]}`, or uses it for a wrong type", remedy)
    if cause.startswith(_OVERLOAD):
        remedy = 'compare values of one type: `parameters.count > 3`, not `parameters.count > "3"`'
        return Fault(path, "applies an operator to values whose types do not fit together", remedy)
    return Fault(path, cause, _REMEDY)
