"""What pages and terminals say of each element of a pipeline."""

from orchestra.definition.element_text import describe_elements
from orchestra.definition.reader import read_definition
from tests.core.definition.pipeline_examples import RELEASE


def test_every_element_is_told_in_one_line() -> None:
    pipeline = read_definition(RELEASE, "orchestra.yaml").jobs[-1].specification.pipeline
    assert pipeline is not None

    told = dict(describe_elements(pipeline))

    assert told == {
        "plan": "runs plan",
        "build": "runs build for each os, python, 2 at a time, until one fails; after plan",
        "deploy-each": "runs deploy for each of results.plan.targets; after build",
        "test": "runs test; after build; may fail",
        "note": "runs note; after test (finished); may fail with exit code 75",
        "approve": "asks lead, ana for 2d at most, then it counts as given; after test; "
        'if parameters.env == "production" && states.test == "succeeded"',
        "quick": "asks lead; after test",
        "deploy": "runs deploy; after test, approve (succeeded or skipped)",
        "away": "runs tools/clean; after deploy (failed or aborted)",
        "tidy": "runs tidy; when all others are over",
        "last": "runs test; after tidy (finished); when all others are over",
    }
