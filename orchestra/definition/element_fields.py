"""Reads the elements of a pipeline: what each runs, after whom, with what, how often, and whom it asks."""

import re

from orchestra.definition.matching_fields import OWN_KEYS, SAME_AS
from orchestra.definition.matrix_fields import read_matrix, written_value
from orchestra.definition.values import Fields, Value
from orchestra.elements import Approval, Element, MatrixValue, Pipeline, Rule, Verdict

PIPELINE_KEYS = ("elements", "finally", "max-parallel", "fail-fast")
ELEMENT_KEYS = (
    "job",
    "after",
    "if",
    "with",
    "worker",
    "matrix",
    "for-each",
    "max-parallel",
    "fail-fast",
    "allow-failure",
    "approval",
)
APPROVAL_KEYS = ("by", "message", "timeout", "on-timeout")
_LATER_ELEMENT_KEYS = ("lock", "locks", "retry", "priority", "environment")
_ELEMENT_HINTS = {
    "needs": "did you mean `after`?",
    "depends-on": "did you mean `after`?",
    "depends_on": "did you mean `after`?",
    "when": "did you mean `if`?",
    "parameters": "did you mean `with`?",
    "params": "did you mean `with`?",
    "foreach": "did you mean `for-each`?",
    "strategy": "did you mean `matrix`?",
    "continue-on-error": "did you mean `allow-failure`?",
    "soft-fail": "did you mean `allow-failure`?",
    "same-as": "write `worker: { same-as: build }`",
    "same_as": "write `worker: { same-as: build }`",
    "run": "an element runs a job: write the script as one, and name it by `job`",
    "command": "an element runs a job: write the command as one, and name it by `job`",
    "pipeline": "did you mean `job`? A pipeline is a job too",
}
_MEANT_RULES = {
    "success": "succeeded",
    "failure": "failed",
    "always": "finished",
    "done": "finished",
}
_APPROVAL_REMEDY = "write `approval: [lead]`, or `approval: { by: [lead], message: Deploy?, timeout: 2d }`"
_AFTER_REMEDY = "write `after: build`, `after: [build, test]` or `after: { build: finished }`"
_NOBODY = "write `approval: [lead]`, or `approval: {}` for everybody who may run the pipeline"
_BRACES = re.compile(r"\{\s*([A-Za-z][A-Za-z0-9_.-]*)\s*\}")


_STAND_IN = (Element(name="unread", approval=Approval()),)
"""Takes the place of elements that could not be read, so that nobody complains that there are none."""


def read_pipeline(fields: Fields) -> Pipeline:
    """The pipeline of a job that has `elements`."""
    elements, closing = fields.get("elements"), fields.get("finally")
    named = elements.named("a mapping of names to elements") if elements else None
    return Pipeline(
        elements=_STAND_IN if named is None else tuple(_element(name, item) for name, item in named.items()),
        closing=_elements(closing),
        max_parallel=_count(fields.get("max-parallel")),
        fail_fast=_truth(fields.get("fail-fast")),
    )


def _elements(value: Value | None) -> tuple[Element, ...]:
    named = (value.named("a mapping of names to elements") or {}) if value else {}
    return tuple(_element(name, item) for name, item in named.items())


def _element(name: str, value: Value) -> Element:
    if value.scalar is not None:
        value.refuse("must be a mapping", f"write `{name}: {{}}`, or `{name}: {{ job: {name}, after: … }}`")
        return Element(name=name, job=name)
    fields = value.fields(ELEMENT_KEYS, later=_LATER_ELEMENT_KEYS, hints=_ELEMENT_HINTS)
    if fields is None:
        return Element(name=name, job=name)
    job, after, matrix, approval = (fields.get(key) for key in ("job", "after", "matrix", "approval"))
    asked = _approval(approval) if approval else None
    allowed, codes = _allowed(fields.get("allow-failure"))
    worker, same_as = _worker(fields.get("worker"))
    return Element(
        name=name,
        # Whatever is wrong with an approval, it is none that runs the job of its name.
        job=(job.text() if job else None) or ("" if "approval" in fields.values else name),
        after=_after(after) if after else {},
        condition=_text(fields, "if"),
        parameters=_given(fields.get("with"), "parameters"),
        worker=worker,
        same_worker_as=same_as,
        matrix=read_matrix(matrix) if matrix else None,
        for_each=_for_each(fields),
        max_parallel=_count(fields.get("max-parallel")),
        fail_fast=_truth(fields.get("fail-fast")),
        allow_failure=allowed,
        allowed_exit_codes=codes,
        approval=Approval() if asked is None and "approval" in fields.values else asked,
    )


def _after(value: Value) -> dict[str, tuple[Rule, ...]]:
    found: dict[str, tuple[Rule, ...]] = {}
    if value.scalar is not None or value.is_list:
        for item in value.one_or_more():
            name = item.text("an element's name")
            if name is None:
                continue
            if name in found:
                item.refuse(f"names `{name}` twice", "remove one of the two")
            found[name] = (Rule.SUCCEEDED,)
            # A later check knows this place by the element's name, however it was written.
            value.findings.places[(*value.path, name)] = item.node.place
        if value.is_list and not value.items():
            value.refuse("names no element", f"{_AFTER_REMEDY}, or remove the key")
        return found
    for name, item in (value.named("a mapping of elements to rules") or {}).items():
        rules = [rule for each in item.one_or_more() if (rule := _rule(each)) is not None]
        if item.is_list and not item.items():
            item.refuse("names no rule", f"write `{name}: succeeded`, or `{name}: [succeeded, skipped]`")
        # What could not be read was said: a stand-in keeps the other checks quiet about it.
        found[name] = tuple(dict.fromkeys(rules)) or tuple(Rule)
    return found


def _rule(value: Value) -> Rule | None:
    meant = _MEANT_RULES.get(value.scalar.written.lower()) if value.scalar else None
    if meant is not None and value.scalar is not None:
        words = ", ".join(Rule)
        value.refuse(f'must be one of {words}, got "{value.scalar.written}"', f"did you mean `{meant}`?")
        return None
    word = value.choice([str(rule) for rule in Rule])
    return None if word is None else Rule(word)


def _worker(value: Value | None) -> tuple[dict[str, MatrixValue], str]:
    """The properties that the worker must have, and the element whose worker it must be."""
    named = (value.named("a mapping of properties to values") or {}) if value else {}
    same_as, given = named.get(SAME_AS), {}
    for name, item in named.items():
        if name in OWN_KEYS:
            item.refuse("is for a job to say, not for one of its uses", "write it into the `worker` of the job")
        elif name != SAME_AS and (plain := written_value(item)) is not None:
            given[name] = plain
    return given, (same_as.text("an element's name") or "") if same_as else ""


def _given(value: Value | None, what: str) -> dict[str, MatrixValue]:
    named = (value.named(f"a mapping of {what} to values") or {}) if value else {}
    return {name: plain for name, item in named.items() if (plain := written_value(item)) is not None}


def _for_each(fields: Fields) -> str:
    """A path, without the braces that people write from habit: `for-each: "{results.plan.targets}"` is refused."""
    value = fields.get("for-each")
    if value is None:
        return ""
    if value.is_list or value.scalar is None:
        value.refuse(
            "must name a list that an element before it has found out",
            "write `for-each: results.plan.targets`; a list that is known beforehand is a `matrix`",
        )
        return ""
    written = value.text() or ""
    braced = _BRACES.fullmatch(written)
    if braced is not None:
        value.refuse("is no template, but a path", f"write `for-each: {braced[1]}`")
        return braced[1]
    return written


def _allowed(value: Value | None) -> tuple[bool, tuple[int, ...]]:
    if value is None:
        return False, ()
    if value.scalar is not None:
        return value.truth() is True, ()
    fields = value.fields(("exit",), hints={"code": "did you mean `exit`?", "codes": "did you mean `exit`?"})
    codes = fields.get("exit") if fields else None
    if codes is None:
        return False, ()
    if codes.is_list and not codes.items():
        codes.refuse("names no exit code", "write `allow-failure: { exit: [75] }`, or `allow-failure: true`")
    return False, tuple(code for item in codes.one_or_more() if (code := item.whole("an exit code")) is not None)


def _approval(value: Value) -> Approval | None:
    if value.is_list or (value.scalar is not None and isinstance(value.scalar.value, str)):
        return Approval(by=_people(value))
    if value.scalar is not None:
        value.refuse("must name who may approve", _APPROVAL_REMEDY)
        return None
    fields = value.fields(APPROVAL_KEYS, hints={"users": "did you mean `by`?", "who": "did you mean `by`?"})
    if fields is None:
        return None
    by, timeout, on_timeout = fields.get("by"), fields.get("timeout"), fields.get("on-timeout")
    verdict = on_timeout.choice([str(word) for word in Verdict]) if on_timeout else None
    if on_timeout is not None and "timeout" not in fields.values:
        on_timeout.refuse("stands without `timeout`", "add `timeout: 2d`, or remove it")
        verdict = None
    return Approval(
        by=_people(by) if by else (),
        message=_text(fields, "message"),
        timeout_seconds=timeout.duration() if timeout else None,
        on_timeout=Verdict(verdict) if verdict else Verdict.REJECT,
    )


def _people(value: Value) -> tuple[str, ...]:
    if value.is_list and not value.items():
        value.refuse("names nobody", _NOBODY)
    for index, item in enumerate(value.one_or_more()):
        # A later check knows this place whether it is the short form or the long one.
        for path in ((*value.path, "by"), (*value.path, "by", str(index))):
            value.findings.places.setdefault(path, item.node.place)
    return tuple(name for item in value.one_or_more() if (name := item.text("a user's or a role's name")) is not None)


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    written = value.text() if value else None
    if value is not None and written is not None and not written.strip():
        value.refuse("is empty", "give it a value, or remove the key")
    return written or ""


def _count(value: Value | None) -> int | None:
    return value.whole() if value else None


def _truth(value: Value | None) -> bool:
    return value is not None and value.truth() is True
