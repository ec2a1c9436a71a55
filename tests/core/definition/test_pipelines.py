"""What the pipelines of a good definition become, and how their changes are told."""

import msgspec
import pytest

from orchestra.definition.canonical import decode_definition, encode_definition
from orchestra.definition.checks import require_usable
from orchestra.definition.differences import describe_changes
from orchestra.definition.project import Project
from orchestra.definition.reader import examine_definition, read_definition
from orchestra.elements import Approval, Element, Matrix, Pipeline, Rule, Verdict
from orchestra.errors import InvalidFields
from orchestra.pipeline.expansion import combinations
from orchestra.specification import JobSpecification, ProjectDefinition
from tests.core.definition.pipeline_examples import HEAD, RELEASE


def release(text: str = RELEASE) -> JobSpecification:
    """The last job of a definition."""
    return read_definition(text, "orchestra.yaml").jobs[-1].specification


def elements(text: str = RELEASE) -> dict[str, Element]:
    """Its elements by name."""
    pipeline = release(text).pipeline
    assert pipeline is not None
    return {element.name: element for element in (*pipeline.elements, *pipeline.closing)}


def test_a_pipeline_has_no_steps_and_keeps_its_own_bounds() -> None:
    specification = release()

    assert specification.execution.steps == ()
    assert (specification.execution.timeout_seconds, specification.expire_after_seconds) == (21_600, 172_800)
    assert (specification.priority, specification.matching.requirements) == (10, ())
    assert isinstance(specification.pipeline, Pipeline)
    assert (specification.pipeline.max_parallel, specification.pipeline.fail_fast) == (4, True)


def test_an_element_runs_the_job_of_its_name_or_another_one() -> None:
    found = elements()

    assert found["plan"] == Element(name="plan", job="plan")
    assert (found["deploy-each"].job, found["away"].job, found["approve"].job) == ("deploy", "tools/clean", "")
    assert found["deploy-each"].for_each == "results.plan.targets"


def test_rules_are_read_from_a_name_a_list_and_a_mapping() -> None:
    found = elements()

    assert found["build"].after == {"plan": (Rule.SUCCEEDED,)}
    assert found["test"].after == {"build": (Rule.SUCCEEDED,)}
    assert found["deploy"].after == {"test": (Rule.SUCCEEDED,), "approve": (Rule.SUCCEEDED, Rule.SKIPPED)}


def test_a_matrix_keeps_its_axes_and_is_expanded_in_their_order() -> None:
    build = elements()["build"]

    assert build.matrix is not None
    assert [each.key for each in combinations(build.matrix)] == [
        "os=linux, python=3.11",
        "os=linux, python=3.13",
        "os=windows, python=3.13",
        "os=mac, python=3.13",
    ]
    assert (build.max_parallel, build.fail_fast, build.parameters) == (2, True, {"os": "{matrix.os}"})


def test_an_axis_of_versions_stays_as_it_was_written() -> None:
    text = HEAD + "  release: { elements: { build: { matrix: { a: [3.9, 3.10, 3.11], b: [1, 2.5, true] } } } }\n"

    assert elements(text)["build"].matrix == Matrix(axes={"a": ("3.9", "3.10", "3.11"), "b": (1, 2.5, True)})


def test_a_given_number_stays_as_it_was_written_if_anything_would_be_lost() -> None:
    text = HEAD + "  release: { elements: { away: { job: a/b, with: { a: 1.10, b: 007, c: 5, d: 2.5, e: true } } } }\n"

    assert elements(text)["away"].parameters == {"a": "1.10", "b": "007", "c": 5, "d": 2.5, "e": True}


def test_approvals_and_allowed_failures_have_a_short_form_and_a_long_one() -> None:
    found = elements()

    assert found["quick"].approval == Approval(by=("lead",))
    assert found["approve"].approval == Approval(
        by=("lead", "ana"), message="Deploy {parameters.env}?", timeout_seconds=172_800, on_timeout=Verdict.APPROVE
    )
    assert elements(HEAD + "  a: { elements: { ok: { approval: {} } } }\n")["ok"].approval == Approval()
    assert (found["test"].allow_failure, found["test"].allowed_exit_codes) == (True, ())
    assert (found["note"].allow_failure, found["note"].allowed_exit_codes) == (False, (75,))


def test_a_secret_of_the_pipeline_is_passed_on_by_its_name() -> None:
    text = HEAD + "  release: { parameters: { key: { type: secret } }, elements: { sign: {} } }\n"

    assert elements(text)["sign"].parameters == {}


def test_an_exclusion_that_excludes_nothing_is_a_hint() -> None:
    matrix = "{ os: [linux, mac], exclude: [{ os: maac }] }"

    reading = examine_definition(f"{HEAD}  a: {{ elements: {{ build: {{ matrix: {matrix} }} }} }}\n", "orchestra.yaml")

    assert [(hint.sentence, hint.help) for hint in reading.hints] == [
        (
            "jobs.a.elements.build.matrix.exclude.0 excludes nothing: os is never maac",
            "its values are linux, mac",
        )
    ]


def test_a_pipeline_survives_its_canonical_text() -> None:
    definition = read_definition(RELEASE, "orchestra.yaml")

    assert decode_definition(encode_definition(definition)) == definition


def test_what_a_program_sends_is_checked_like_a_file() -> None:
    definition = read_definition(RELEASE, "orchestra.yaml")
    job = definition.jobs[-1]
    wrong = msgspec.structs.replace(
        job.specification,
        matching=msgspec.structs.replace(job.specification.matching, slots=2),
        pipeline=Pipeline(elements=(Element(name="a", job="plan", after={"b": ()}), Element(name="a", job="nope"))),
    )

    with pytest.raises(InvalidFields) as refused:
        require_usable(ProjectDefinition(name="shop", jobs=(msgspec.structs.replace(job, specification=wrong),)))

    assert [pointer for pointer, _ in refused.value.problems] == [
        "/jobs/release/worker",
        "/jobs/release/elements/a",
        "/jobs/release/elements/a/after/b",
        "/jobs/release/elements/a/after/b",
        "/jobs/release/elements/a/job",
        "/jobs/release/elements/a/job",
    ]


def test_python_says_a_pipeline_element_by_element() -> None:
    shop = Project("shop").job("build", run="make", timeout="1m").job("tidy", run="make clean", timeout="1m")
    release = shop.pipeline("release", max_parallel=2)
    build = release.add("build", matrix={"os": ["linux", "mac"]}, max_parallel=1)
    ok = release.approval("ok", by=["lead"], timeout="2d", on_timeout="approve", after=build, when="run.number > 1")
    release.add("again", job="build", after={build: "succeeded", ok: ["succeeded", "skipped"]})
    release.closing("tidy")

    pipeline = shop.definition().jobs[-1].specification.pipeline

    assert pipeline == Pipeline(
        elements=(
            Element(name="build", job="build", matrix=Matrix(axes={"os": ("linux", "mac")}), max_parallel=1),
            Element(
                name="ok",
                after={"build": (Rule.SUCCEEDED,)},
                condition="run.number > 1",
                approval=Approval(by=("lead",), timeout_seconds=172_800, on_timeout=Verdict.APPROVE),
            ),
            Element(
                name="again",
                job="build",
                after={"build": (Rule.SUCCEEDED,), "ok": (Rule.SUCCEEDED, Rule.SKIPPED)},
            ),
        ),
        closing=(Element(name="tidy", job="tidy"),),
        max_parallel=2,
    )
    with pytest.raises(ValueError, match="the element 'build' is already in the pipeline"):
        release.add("build")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    max-parallel: 4\n", "    max-parallel: 5\n", "max-parallel: 4 → 5"),
        ("plan: {}", "plan: { allow-failure: true }", "elements.plan.allow-failure: false → true"),
        ("{ test: finished }", "{ test: aborted }", "elements.note.after.test"),
        ("[linux, windows]\n", "[linux]\n", "elements.build.matrix.os"),
        ("timeout: 2d,", "timeout: 3d,", "elements.approve.approval.timeout: 2d → 3d"),
        (
            "{results.plan.version}",
            "{results.plan.name}",
            "elements.note.with.text: {results.plan.version} → {results.plan.name}",
        ),
        ("      quick: { approval: [lead], after: test }\n", "", "elements.quick removed"),
        (
            "      tidy: {}\n      last: { job: test, after: { tidy: finished } }\n",
            "      tidy: {}\n",
            "finally.last removed",
        ),
    ],
)
def test_a_change_is_told_in_the_words_of_the_file(old: str, new: str, words: str) -> None:
    assert old in RELEASE

    told = describe_changes(release(), release(RELEASE.replace(old, new)))

    assert told == words


def test_a_job_that_becomes_a_pipeline_is_told_in_one_word_each() -> None:
    text = HEAD + "  release: { run: make, timeout: 1m }\n"

    assert describe_changes(release(text), release(HEAD + "  release: { timeout: 1m, elements: { plan: {} } }\n")) == (
        "steps, elements"
    )


def test_of_many_changed_elements_the_first_are_told() -> None:
    old, new = (
        HEAD + "  release:\n    elements:\n" + "".join(f"      e{n}: {{ job: {job} }}\n" for n in range(12))
        for job in ("plan", "test")
    )

    told = describe_changes(release(old), release(new))

    assert told.startswith("elements.e0.job: plan → test, ")
    assert told.endswith(", elements.e9.job: plan → test, 2 more of elements")
