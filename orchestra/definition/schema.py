"""The JSON Schema (draft-07) of `orchestra.yaml`, for editors; the reader's own checks say more and say it better."""

from orchestra.definition import bounds
from orchestra.definition.bounds import Bound
from orchestra.definition.matching_fields import OWN_KEYS, SAME_AS
from orchestra.definition.reader import FORMAT_VERSION
from orchestra.elements import Rule, Verdict
from orchestra.specification import CatchUp, Jitter, Overlap, ParameterType, Placement, RetryCause
from orchestra.timetable import Gap, Repeat

Schema = dict[str, object]

_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_DURATION: Schema = {
    "type": "string",
    "pattern": r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$",
    "description": "A duration such as 45m or 1h30m.",
}
_PLAIN: Schema = {"type": ["string", "number", "boolean"]}
_TEXT: Schema = {"type": "string"}


def definition_schema() -> Schema:
    """The schema as plain JSON values."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Job Orchestra project",
        **_mapping(
            {
                "orchestra": {"const": FORMAT_VERSION, "description": "The format of this file."},
                "project": {"type": "string", "pattern": _NAME, "description": "The project's name."},
                "description": _said("What the project is for."),
                "calendars": {
                    "type": "object",
                    "additionalProperties": _several(_TEXT),
                    "description": "Named days for schedules: 2026-12-25, or 2026-12-28..2026-12-31.",
                },
                "jobs": {
                    "type": "object",
                    "propertyNames": {"pattern": _NAME},
                    "additionalProperties": _job(),
                    "description": "The jobs by name.",
                },
            },
            required=["orchestra", "project"],
        ),
    }


def _job() -> Schema:
    return {
        **_mapping(
            {
                "description": _said("What the job is for; Markdown."),
                "run": _said("Text for /bin/sh -e. Parameters are in $PARAM_NAME."),
                "command": _command(),
                "steps": {**_steps(), "description": "Several commands, each with its own part of the log."},
                "setup": {**_steps(), "description": "Before the steps; a failure is an exception, not a failed run."},
                "teardown": {**_steps(), "description": "After success, failure and abort alike."},
                "environment": {"type": "object", "additionalProperties": _PLAIN, "description": "Variables."},
                "directory": _said("Where the steps run; relative to the workspace of the project."),
                "timeout": _lasting("Longer runs are ended and fail. None by default."),
                "silence": _lasting("A run that prints nothing and checks in nothing for so long is ended and fails."),
                "grace": _lasting("Between SIGTERM and SIGKILL; 10s by default."),
                "retry": _retry(),
                "disconnect": _disconnect(),
                "lost-after": _lasting("A worker out of contact for so long is given up; 7d by default."),
                "expire-after": _lasting("A run that no worker took for so long is cancelled; 24h by default."),
                "priority": {**_integer(bounds.PRIORITY), "description": "Higher goes first."},
                "worker": _worker(),
                "slots": {**_integer(bounds.SLOTS), "description": "How many slots of a worker a run takes."},
                "enabled": {"type": "boolean"},
                "parameters": {"type": "object", "additionalProperties": _parameter()},
                "schedule": _schedule(),
                "expect": _expectation(),
                "wrapped": {"type": "boolean", "description": "Something else starts it, by `orchestra wrap`."},
                "elements": {**_elements(), "description": "What a pipeline runs, and in what order."},
                "finally": {**_elements(), "description": "Run when all others are over, whatever became of them."},
                "max-parallel": {**_integer(bounds.MAX_PARALLEL), "description": "So many runs at a time."},
                "fail-fast": {"type": "boolean", "description": "The first element that fails ends the others."},
            }
        ),
        "oneOf": [{"required": [key]} for key in ("run", "command", "steps", "wrapped", "elements")],
    }


def _command() -> Schema:
    return {
        "type": "array",
        "items": _PLAIN,
        "minItems": 1,
        "description": "A program and its arguments, without a shell; {parameters.name} is filled in.",
    }


def _steps() -> Schema:
    timeout = _lasting("Of this step alone; the run is ended and fails.")
    whole = _mapping({"name": _TEXT, "run": _TEXT, "command": _command(), "timeout": timeout})
    whole["oneOf"] = [{"required": ["run"]}, {"required": ["command"]}]
    return {"type": "array", "minItems": 1, "items": {"anyOf": [_TEXT, whole]}}


def _retry() -> Schema:
    cause: Schema = {"anyOf": [{"enum": [str(cause) for cause in RetryCause]}, {"type": "string", "pattern": "^exit:"}]}
    codes: Schema = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
    each: Schema = {"anyOf": [cause, _mapping({"exit": codes})]}
    return _mapping(
        {
            "max-attempts": _integer(bounds.MAX_ATTEMPTS),
            "wait": _lasting("Before the second attempt; 1m by default."),
            "factor": {"type": "number", "minimum": bounds.RETRY_FACTOR.low, "maximum": bounds.RETRY_FACTOR.high},
            "max-wait": _lasting("No wait is longer, however often it has grown."),
            "jitter": {"enum": [str(word) for word in Jitter], "description": "full: from nothing to the whole wait."},
            "on": {**_several(each), "description": "After which ends; exit, timeout and lost by default."},
            "never": {**_several(each), "description": "After these never, whatever `on` says."},
            "avoid-worker": {"type": "boolean", "description": "Rather on another worker than the last."},
        }
    )


def _disconnect() -> Schema:
    words: Schema = {"type": "string", "pattern": r"^(keep|stop .+)$"}
    return {
        "anyOf": [words, _mapping({"stop": _DURATION}, required=["stop"])],
        "description": "What a worker does with the run when it has lost the master: keep it, or stop it after a time.",
    }


def _worker() -> Schema:
    several: Schema = {"type": "array", "items": _PLAIN, "minItems": 1}
    plain: Schema = {"anyOf": [_PLAIN, several]}
    one: Schema = {"anyOf": [_PLAIN, several, _mapping({"not": plain}, required=["not"])]}
    weighed = _mapping({"value": plain, "not": plain, "weight": _integer(bounds.WEIGHT)})
    weighed["oneOf"] = [{"required": [key]} for key in ("value", "not")]
    wishes: Schema = {"type": "object", "additionalProperties": {"anyOf": [_PLAIN, several, weighed]}}
    return {
        "type": "object",
        "properties": {
            "prefer": {**wishes, "description": "Of the workers that match, who fulfils most of this is taken."},
            "avoid": {**wishes, "description": "Who fulfils this is taken only if there is no better one."},
            "placement": {
                "enum": [str(word) for word in Placement],
                "description": "Of workers that are equally welcome: the one with most free slots, or with fewest.",
            },
            "sticky": {"type": "boolean", "description": "Rather where the job last succeeded than anywhere else."},
        },
        "propertyNames": {"not": {"const": SAME_AS}},
        "additionalProperties": one,
        "description": 'Properties that a worker must have: a value, a list of values, ">= 1", { not: … }.',
    }


def _parameter() -> Schema:
    return _mapping(
        {
            "type": {"enum": [str(kind) for kind in ParameterType]},
            "pattern": _said("A regular expression that the whole text must match."),
            "options": {"type": "array", "items": _PLAIN, "minItems": 1},
            "min": {"type": ["number", "string"]},
            "max": {"type": ["number", "string"]},
            "required": {"type": "boolean"},
            "default": _PLAIN,
            "example": _PLAIN,
            "help": _TEXT,
        }
    )


def _schedule() -> Schema:
    calendars = {**_several(_TEXT), "description": "Names of calendars of this project."}
    whole = _mapping(
        {
            "cron": {
                **_several(_TEXT),
                "description": "Five fields, six with seconds, seven with the year.",
            },
            "every": {**_several(_DURATION), "description": "Counted from 1970, so that a restart does not shift it."},
            "at": {**_several(_TEXT), "description": "Once: 2026-12-24T18:00, by the clocks of the zone."},
            "zone": _said("A time zone such as Europe/Paris; UTC by default."),
            "start": _said("Not due before this day, or time."),
            "end": _said("Not due after this day, or time."),
            "only-in": calendars,
            "not-in": calendars,
            "clock-change": _mapping(
                {"gap": {"enum": [str(word) for word in Gap]}, "overlap": {"enum": [str(word) for word in Repeat]}}
            ),
            "overlap": {"enum": [str(word) for word in Overlap]},
            "catch-up": {
                "anyOf": [{"enum": [str(word) for word in CatchUp]}, _mapping({"all": _integer(bounds.CATCH_UP)})],
                "description": "What becomes of instants that are late; latest by default.",
            },
            "grace": _lasting("After so long an instant is late; 1m by default."),
            "jitter": _lasting("Runs begin up to so much later, spread by job and instant."),
            "parameters": {"type": "object", "additionalProperties": _PLAIN},
        }
    )
    whole["anyOf"] = [{"required": [key]} for key in ("cron", "every", "at")]
    return {"anyOf": [_said("A cron expression, @daily, every 15m, or manual."), whole]}


def _expectation() -> Schema:
    whole = _mapping(
        {
            "every": _lasting("After the start of the run before."),
            "cron": {**_several(_TEXT), "description": "Five fields, six with seconds, seven with the year."},
            "zone": _said("A time zone such as Europe/Paris; UTC by default."),
            "grace": _lasting("A run that has not started so long after is missed; 1h by default."),
        }
    )
    whole["oneOf"] = [{"required": [key]} for key in ("every", "cron")]
    words = _said("every 1d, grace 2h, or a cron expression: runs that do not start by then are missed.")
    return {"anyOf": [words, whole]}


def _elements() -> Schema:
    values: Schema = {"type": "object", "additionalProperties": _PLAIN}
    rules = _several({"enum": [str(rule) for rule in Rule]})
    after = {"anyOf": [_several(_TEXT), {"type": "object", "additionalProperties": rules}]}
    codes = _mapping({"exit": _several({"type": "integer", "minimum": 1, "maximum": 255})}, required=["exit"])
    element = _mapping(
        {
            "job": _said("The job that it runs, `shop/build` of another project; the one of its name by default."),
            "after": {**after, "description": "Elements before it, each with what it must come to: succeeded."},
            "if": _said("A condition in CEL over parameters, results, states, matrix, item and run."),
            "with": {
                **values,
                "description": "Parameters of the job; {parameters.x}, {results.element.x} are filled in.",
            },
            "worker": {
                "type": "object",
                "properties": {SAME_AS: _said("An element before it, whose worker it must be.")},
                "propertyNames": {"not": {"enum": list(OWN_KEYS)}},
                "additionalProperties": _PLAIN,
                "description": "Properties that the worker must have besides what the job asks for.",
            },
            "matrix": _matrix(),
            "for-each": {
                "type": "string",
                "pattern": r"^results\..+\..+$",
                "description": "One run for each of a list.",
            },
            "max-parallel": {**_integer(bounds.MAX_PARALLEL), "description": "So many of its runs at a time."},
            "fail-fast": {"type": "boolean", "description": "The first of its runs that fails ends the others."},
            "allow-failure": {"anyOf": [{"type": "boolean"}, codes], "description": "A failure counts as a success."},
            "approval": _approval(),
        }
    )
    return {"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": element}


def _matrix() -> Schema:
    combinations: Schema = {
        "type": "array",
        "items": {"type": "object", "additionalProperties": _PLAIN, "minProperties": 1},
        "minItems": 1,
    }
    return {
        "type": "object",
        "properties": {"exclude": combinations, "include": combinations},
        "additionalProperties": {"type": "array", "items": _PLAIN, "minItems": 1},
        "description": "One run for each combination of the axes' values.",
    }


def _approval() -> Schema:
    people = _several(_TEXT)
    whole = _mapping(
        {
            "by": {**people, "description": "Users and roles; everybody who may run the pipeline by default."},
            "message": _said("What the person is asked; {parameters.x} is filled in."),
            "timeout": _lasting("It waits for ever by default."),
            "on-timeout": {"enum": [str(word) for word in Verdict], "description": "What counts as said then."},
        }
    )
    return {"anyOf": [people, whole], "description": "It waits for a person instead of running a job."}


def _several(each: Schema) -> Schema:
    return {"anyOf": [each, {"type": "array", "items": each, "minItems": 1}]}


def _mapping(properties: Schema, *, required: list[str] | None = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _said(words: str) -> Schema:
    return {"type": "string", "description": words}


def _lasting(words: str) -> Schema:
    return {**_DURATION, "description": words}


def _integer(bound: Bound) -> Schema:
    return {"type": "integer", "minimum": int(bound.low), "maximum": int(bound.high)}
