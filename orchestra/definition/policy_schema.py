"""The part of the JSON Schema of `orchestra.yaml` about policies, and what a project says for all projects."""

from orchestra.definition import bounds
from orchestra.definition.matching_fields import OWN_KEYS, SAME_AS
from orchestra.definition.schema_parts import TEXT, Schema, integer, lasting, mapping, said, several, worker_property
from orchestra.policies import Conflict, WhenFull


def concurrency_schema() -> Schema:
    """How many runs of a group may be under way at once."""
    whole = mapping(
        {
            "group": said("A name within the project, such as deploy-{parameters.env}; the job alone by default."),
            "limit": {**integer(bounds.CONCURRENCY_LIMIT), "description": "So many at a time; 1 by default."},
            "when-full": {
                "enum": [str(word) for word in WhenFull],
                "description": "What becomes of a new run; queue by default.",
            },
        }
    )
    return {"anyOf": [integer(bounds.CONCURRENCY_LIMIT), whole], "description": "How many run at a time."}


def locks_schema() -> Schema:
    """What a run takes of locks."""
    whole = mapping({"name": TEXT, "count": integer(bounds.LOCK_COUNT)}, required=["name"])
    return {
        **several({"anyOf": [TEXT, whole]}),
        "description": "What a run holds while it is under way; shared between jobs and projects.",
    }


def rate_schema() -> Schema:
    """How many attempts may start in a period."""
    words: Schema = {"type": "string", "pattern": r"^\s*\d+\s+per\s+\S"}
    whole = mapping(
        {"starts": integer(bounds.RATE_STARTS), "per": lasting("Any period of this length.")},
        required=["starts", "per"],
    )
    return {"anyOf": [words, whole], "description": "How many attempts may start: 10 per 1m."}


def unique_schema() -> Schema:
    """That no two runs are about the same."""
    words: Schema = {"type": "string", "pattern": r"^\s*(pending|active|window\s+\S.*)$"}
    window = mapping({"window": lasting("And those that were made so long ago at most.")}, required=["window"])
    whole = mapping(
        {
            "key": said("What a run is about, such as {parameters.repo}."),
            "scope": {"anyOf": [words, window], "description": "Among which runs; active by default."},
            "conflict": {
                "enum": [str(word) for word in Conflict],
                "description": "What becomes of a new run; reject by default.",
            },
        },
        required=["key"],
    )
    return {"anyOf": [said("What a run is about, such as {parameters.repo}."), whole]}


def poison_schema() -> Schema:
    """When a job is quarantined."""
    whole = mapping(
        {"lost": integer(bounds.POISON_LOST), "within": lasting("In so short a time.")}, required=["lost", "within"]
    )
    return {**whole, "description": "So many attempts lost in so short a time, and the job is quarantined."}


def locks_declared_schema() -> Schema:
    """The locks of which there is more than one."""
    return {
        "type": "object",
        "additionalProperties": integer(bounds.LOCK_COUNT),
        "description": "Locks for all projects, and how many there are of each; 1 if nobody says.",
    }


def slots_schema() -> Schema:
    """What a project is to have of the workers' slots."""
    asked: Schema = {
        "type": "object",
        "propertyNames": {"not": {"enum": [*OWN_KEYS, SAME_AS]}},
        "additionalProperties": worker_property(),
        "description": "Properties of the workers among which they are kept free; all by default.",
    }
    reserve = mapping(
        {
            "count": {**integer(bounds.RESERVE), "description": "So many slots are kept free for this project."},
            "worker": asked,
            "project": said("This project's name, if at all."),
        },
        required=["count"],
    )
    share: Schema = {**integer(bounds.SHARE), "description": "Beside other projects, each of which has 1 by default."}
    return mapping({"share": share, "reserve": reserve})
