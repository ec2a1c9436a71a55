"""The JSON Schema (draft-07) of `orchestra.yaml`, for editors; the reader's own checks say more and say it better."""

from orchestra.definition import bounds
from orchestra.definition.matching_fields import OWN_KEYS, SAME_AS
from orchestra.definition.policy_schema import (
    concurrency_schema,
    locks_declared_schema,
    locks_schema,
    poison_schema,
    rate_schema,
    slots_schema,
    unique_schema,
)
from orchestra.definition.reader import FORMAT_VERSION
from orchestra.definition.schema_parts import (
    DURATION,
    NAME,
    PLAIN,
    TEXT,
    Schema,
    integer,
    lasting,
    mapping,
    said,
    several,
    worker_property,
)
from orchestra.elements import Rule, Verdict
from orchestra.specification import CatchUp, Jitter, Overlap, ParameterType, Placement, RetryCause
from orchestra.timetable import Gap, Repeat


def definition_schema() -> Schema:
    """The schema as plain JSON values."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Job Orchestra project",
        **mapping(
            {
                "orchestra": {"const": FORMAT_VERSION, "description": "The format of this file."},
                "project": {"type": "string", "pattern": NAME, "description": "The project's name."},
                "description": said("What the project is for."),
                "locks": locks_declared_schema(),
                "slots": slots_schema(),
                "calendars": {
                    "type": "object",
                    "additionalProperties": several(TEXT),
                    "description": "Named days for schedules: 2026-12-25, or 2026-12-28..2026-12-31.",
                },
                "jobs": {
                    "type": "object",
                    "propertyNames": {"pattern": NAME},
                    "additionalProperties": _job(),
                    "description": "The jobs by name.",
                },
            },
            required=["orchestra", "project"],
        ),
    }


def _job() -> Schema:
    return {
        **mapping(
            {
                "description": said("What the job is for; Markdown."),
                "run": said("Text for /bin/sh -e. Parameters are in $PARAM_NAME."),
                "command": _command(),
                "steps": {**_steps(), "description": "Several commands, each with its own part of the log."},
                "setup": {**_steps(), "description": "Before the steps; a failure is an exception, not a failed run."},
                "teardown": {**_steps(), "description": "After success, failure and abort alike."},
                "environment": {"type": "object", "additionalProperties": PLAIN, "description": "Variables."},
                "directory": said("Where the steps run; relative to the workspace of the project."),
                "timeout": lasting("Longer runs are ended and fail. None by default."),
                "silence": lasting("A run that prints nothing and checks in nothing for so long is ended and fails."),
                "grace": lasting("Between SIGTERM and SIGKILL; 10s by default."),
                "retry": _retry(),
                "disconnect": _disconnect(),
                "lost-after": lasting("A worker out of contact for so long is given up; 7d by default."),
                "expire-after": lasting("A run that no worker took for so long is cancelled; 24h by default."),
                "priority": {**integer(bounds.PRIORITY), "description": "Higher goes first."},
                "worker": _worker(),
                "slots": {**integer(bounds.SLOTS), "description": "How many slots of a worker a run takes."},
                "concurrency": concurrency_schema(),
                "locks": locks_schema(),
                "rate": rate_schema(),
                "unique": unique_schema(),
                "poison": poison_schema(),
                "enabled": {"type": "boolean"},
                "parameters": {"type": "object", "additionalProperties": _parameter()},
                "schedule": _schedule(),
                "expect": _expectation(),
                "wrapped": {"type": "boolean", "description": "Something else starts it, by `orchestra wrap`."},
                "elements": {**_elements(), "description": "What a pipeline runs, and in what order."},
                "finally": {**_elements(), "description": "Run when all others are over, whatever became of them."},
                "max-parallel": {**integer(bounds.MAX_PARALLEL), "description": "So many runs at a time."},
                "fail-fast": {"type": "boolean", "description": "The first element that fails ends the others."},
            }
        ),
        "oneOf": [{"required": [key]} for key in ("run", "command", "steps", "wrapped", "elements")],
    }


def _command() -> Schema:
    return {
        "type": "array",
        "items": PLAIN,
        "minItems": 1,
        "description": "A program and its arguments, without a shell; {parameters.name} is filled in.",
    }


def _steps() -> Schema:
    timeout = lasting("Of this step alone; the run is ended and fails.")
    whole = mapping({"name": TEXT, "run": TEXT, "command": _command(), "timeout": timeout})
    whole["oneOf"] = [{"required": ["run"]}, {"required": ["command"]}]
    return {"type": "array", "minItems": 1, "items": {"anyOf": [TEXT, whole]}}


def _retry() -> Schema:
    cause: Schema = {"anyOf": [{"enum": [str(cause) for cause in RetryCause]}, {"type": "string", "pattern": "^exit:"}]}
    codes: Schema = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
    each: Schema = {"anyOf": [cause, mapping({"exit": codes})]}
    return mapping(
        {
            "max-attempts": integer(bounds.MAX_ATTEMPTS),
            "wait": lasting("Before the second attempt; 1m by default."),
            "factor": {"type": "number", "minimum": bounds.RETRY_FACTOR.low, "maximum": bounds.RETRY_FACTOR.high},
            "max-wait": lasting("No wait is longer, however often it has grown."),
            "jitter": {"enum": [str(word) for word in Jitter], "description": "full: from nothing to the whole wait."},
            "on": {**several(each), "description": "After which ends; exit, timeout and lost by default."},
            "never": {**several(each), "description": "After these never, whatever `on` says."},
            "avoid-worker": {"type": "boolean", "description": "Rather on another worker than the last."},
        }
    )


def _disconnect() -> Schema:
    words: Schema = {"type": "string", "pattern": r"^(keep|stop .+)$"}
    return {
        "anyOf": [words, mapping({"stop": DURATION}, required=["stop"])],
        "description": "What a worker does with the run when it has lost the master: keep it, or stop it after a time.",
    }


def _worker() -> Schema:
    listed: Schema = {"type": "array", "items": PLAIN, "minItems": 1}
    plain = several(PLAIN)
    weighed = mapping({"value": plain, "not": plain, "weight": integer(bounds.WEIGHT)})
    weighed["oneOf"] = [{"required": [key]} for key in ("value", "not")]
    wishes: Schema = {"type": "object", "additionalProperties": {"anyOf": [PLAIN, listed, weighed]}}
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
        "additionalProperties": worker_property(),
        "description": 'Properties that a worker must have: a value, a list of values, ">= 1", { not: … }.',
    }


def _parameter() -> Schema:
    return mapping(
        {
            "type": {"enum": [str(kind) for kind in ParameterType]},
            "pattern": said("A regular expression that the whole text must match."),
            "options": {"type": "array", "items": PLAIN, "minItems": 1},
            "min": {"type": ["number", "string"]},
            "max": {"type": ["number", "string"]},
            "required": {"type": "boolean"},
            "default": PLAIN,
            "example": PLAIN,
            "help": TEXT,
        }
    )


def _schedule() -> Schema:
    calendars = {**several(TEXT), "description": "Names of calendars of this project."}
    whole = mapping(
        {
            "cron": {
                **several(TEXT),
                "description": "Five fields, six with seconds, seven with the year.",
            },
            "every": {**several(DURATION), "description": "Counted from 1970, so that a restart does not shift it."},
            "at": {**several(TEXT), "description": "Once: 2026-12-24T18:00, by the clocks of the zone."},
            "zone": said("A time zone such as Europe/Paris; UTC by default."),
            "start": said("Not due before this day, or time."),
            "end": said("Not due after this day, or time."),
            "only-in": calendars,
            "not-in": calendars,
            "clock-change": mapping(
                {"gap": {"enum": [str(word) for word in Gap]}, "overlap": {"enum": [str(word) for word in Repeat]}}
            ),
            "overlap": {"enum": [str(word) for word in Overlap]},
            "catch-up": {
                "anyOf": [{"enum": [str(word) for word in CatchUp]}, mapping({"all": integer(bounds.CATCH_UP)})],
                "description": "What becomes of instants that are late; latest by default.",
            },
            "grace": lasting("After so long an instant is late; 1m by default."),
            "jitter": lasting("Runs begin up to so much later, spread by job and instant."),
            "parameters": {"type": "object", "additionalProperties": PLAIN},
        }
    )
    whole["anyOf"] = [{"required": [key]} for key in ("cron", "every", "at")]
    return {"anyOf": [said("A cron expression, @daily, every 15m, or manual."), whole]}


def _expectation() -> Schema:
    whole = mapping(
        {
            "every": lasting("After the start of the run before."),
            "cron": {**several(TEXT), "description": "Five fields, six with seconds, seven with the year."},
            "zone": said("A time zone such as Europe/Paris; UTC by default."),
            "grace": lasting("A run that has not started so long after is missed; 1h by default."),
        }
    )
    whole["oneOf"] = [{"required": [key]} for key in ("every", "cron")]
    words = said("every 1d, grace 2h, or a cron expression: runs that do not start by then are missed.")
    return {"anyOf": [words, whole]}


def _elements() -> Schema:
    values: Schema = {"type": "object", "additionalProperties": PLAIN}
    rules = several({"enum": [str(rule) for rule in Rule]})
    after = {"anyOf": [several(TEXT), {"type": "object", "additionalProperties": rules}]}
    codes = mapping({"exit": several({"type": "integer", "minimum": 1, "maximum": 255})}, required=["exit"])
    element = mapping(
        {
            "job": said("The job that it runs, `shop/build` of another project; the one of its name by default."),
            "after": {**after, "description": "Elements before it, each with what it must come to: succeeded."},
            "if": said("A condition in CEL over parameters, results, states, matrix, item and run."),
            "with": {
                **values,
                "description": "Parameters of the job; {parameters.x}, {results.element.x} are filled in.",
            },
            "worker": {
                "type": "object",
                "properties": {SAME_AS: said("An element before it, whose worker it must be.")},
                "propertyNames": {"not": {"enum": list(OWN_KEYS)}},
                "additionalProperties": PLAIN,
                "description": "Properties that the worker must have besides what the job asks for.",
            },
            "matrix": _matrix(),
            "for-each": {
                "type": "string",
                "pattern": r"^results\..+\..+$",
                "description": "One run for each of a list.",
            },
            "max-parallel": {**integer(bounds.MAX_PARALLEL), "description": "So many of its runs at a time."},
            "fail-fast": {"type": "boolean", "description": "The first of its runs that fails ends the others."},
            "allow-failure": {"anyOf": [{"type": "boolean"}, codes], "description": "A failure counts as a success."},
            "approval": _approval(),
        }
    )
    return {"type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": element}


def _matrix() -> Schema:
    combinations: Schema = {
        "type": "array",
        "items": {"type": "object", "additionalProperties": PLAIN, "minProperties": 1},
        "minItems": 1,
    }
    return {
        "type": "object",
        "properties": {"exclude": combinations, "include": combinations},
        "additionalProperties": {"type": "array", "items": PLAIN, "minItems": 1},
        "description": "One run for each combination of the axes' values.",
    }


def _approval() -> Schema:
    people = several(TEXT)
    whole = mapping(
        {
            "by": {**people, "description": "Users and roles; everybody who may run the pipeline by default."},
            "message": said("What the person is asked; {parameters.x} is filled in."),
            "timeout": lasting("It waits for ever by default."),
            "on-timeout": {"enum": [str(word) for word in Verdict], "description": "What counts as said then."},
        }
    )
    return {"anyOf": [people, whole], "description": "It waits for a person instead of running a job."}
