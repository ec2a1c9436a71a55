"""What a definition says of where runs go: wishes with weights, spread or packed, sticky, and the same worker again."""

import jsonschema
import pytest

from orchestra.definition.canonical import decode_definition, encode_definition
from orchestra.definition.differences import describe_changes
from orchestra.definition.element_text import describe_element
from orchestra.definition.project import Project
from orchestra.definition.reader import examine_definition, read_definition
from orchestra.definition.schema import definition_schema
from orchestra.definition.yaml_text import parse_document
from orchestra.elements import Element, Matrix
from orchestra.specification import JobSpecification, Matching, Operator, Placement, Requirement, Wish
from tests.core.definition.marked import told
from tests.core.definition.pipeline_examples import HEAD as SHOP
from tests.core.definition.test_schema import plain

HEAD = "orchestra: 1\nproject: ops\njobs:\n  a:\n"
RELEASE = SHOP + "  parts: { elements: { plan: {} } }\n  release:\n"


def job(worker: str) -> JobSpecification:
    return read_definition(f"{HEAD}    run: x\n    worker: {worker}\n", "a.yaml").jobs[0].specification


def wish(name: str, *values: str | int, weight: int = 1, operator: Operator = Operator.IN) -> Wish:
    return Wish(name=name, operator=operator, values=values, weight=weight)


@pytest.mark.parametrize(
    ("worker", "matching"),
    [
        ("{ prefer: { disk: ssd } }", Matching(prefer=(wish("disk", "ssd"),))),
        ("{ prefer: { disk: [ssd, ram] } }", Matching(prefer=(wish("disk", "ssd", "ram"),))),
        ("{ prefer: { zone: { value: north, weight: 5 } } }", Matching(prefer=(wish("zone", "north", weight=5),))),
        ("{ prefer: { zone: { value: [a, b] } } }", Matching(prefer=(wish("zone", "a", "b"),))),
        (
            '{ prefer: { gpu: { value: ">= 2", weight: 3 } } }',
            Matching(prefer=(wish("gpu", "2", weight=3, operator=Operator.AT_LEAST),)),
        ),
        (
            "{ avoid: { pool: spot, zone: { not: [a, b], weight: 2 } } }",
            Matching(
                avoid=(wish("pool", "spot"), wish("zone", "a", "b", weight=2, operator=Operator.NOT_IN)),
            ),
        ),
        ("{ placement: pack, sticky: true }", Matching(placement=Placement.PACK, sticky=True)),
        ("{ placement: spread, sticky: false }", Matching()),
        (
            "{ name: atlas }",
            Matching(requirements=(Requirement(name="name", operator=Operator.IN, values=("atlas",)),)),
        ),
    ],
)
def test_wishes_and_placement_are_read_and_stored(worker: str, matching: Matching) -> None:
    text = f"{HEAD}    run: x\n    worker: {worker}\n"

    definition = read_definition(text, "a.yaml")

    assert definition.jobs[0].specification.matching == matching
    assert decode_definition(encode_definition(definition)) == definition
    jsonschema.validate(plain(parse_document(text, "a")), definition_schema(), cls=jsonschema.Draft7Validator)


MISTAKES = [
    ("{ prefer: { zone: { value: a, §wieght: 5 } } }", "prefer.zone has the unknown key `wieght`",
     "did you mean `weight`?"),
    ("{ prefer: { §zone: { weight: 5 } } }", "prefer.zone says no value",
     "write `zone: { value: north, weight: 5 }`"),
    ("{ avoid: { §zone: { value: a, not: b } } }", "avoid.zone has both `value` and `not`", "keep one of the two"),
    ("{ avoid: { zone: { §value: { not: b }, weight: 2 } } }",
     "avoid.zone.value must be a value, or a list of values", "write `zone: { not: …, weight: 5 }` for any other"),
    ("{ prefer: { zone: { value: a, weight: §0 } } }", "prefer.zone.weight must be from 1 to 1000, got 0",
     "write `weight: 1`"),
    ("{ avoid: { zone: { value: a, weight: §5000 } } }", "avoid.zone.weight must be from 1 to 1000, got 5000",
     "write `weight: 1000`"),
    ("{ prefer: { zone: { value: a, weight: §heavy } } }",
     'prefer.zone.weight must be a whole number, got "heavy"', "write `weight: 3`"),
    ("{ prefer: { gpu: { value: §'>= lots' } } }",
     'prefer.gpu must compare with a number or a size such as 32GB, got "lots"', 'write `gpu: ">= 2"`'),
    ("{ avoid: §spot }", 'avoid must be a mapping of properties, got "spot"', ""),
    ("{ os: { §weight: 5 } }", "os has the unknown key `weight`",
     "a requirement has no weight; write it below `prefer` or `avoid`"),
    ("{ os: { §value: linux } }", "os has the unknown key `value`",
     "write the value itself; only a wish, below `prefer` or `avoid`, has a weight beside it"),
    ("{ placement: §packed }", 'placement must be one of spread, pack, got "packed"', "did you mean `pack`?"),
    ("{ sticky: §build }", 'sticky must be true or false, got "build"', "write `sticky: true`"),
    ("{ same-as: §build }", "same-as names an element, and only an element of a pipeline can",
     "write it into the `worker` of an element"),
]  # fmt: skip


@pytest.mark.parametrize(("worker", "sentence", "remedy"), MISTAKES)
def test_a_wish_that_says_nothing_is_told_with_its_place_and_repair(worker: str, sentence: str, remedy: str) -> None:
    problem, place = told(HEAD, f"run: x\nworker: {worker}")

    assert problem.line == place[0]
    assert (problem.sentence.removeprefix("jobs.a.worker."), problem.help) == (sentence, remedy)


@pytest.mark.parametrize(
    "worker",
    [
        "{ prefer: { zone: { weight: 5 } } }",
        "{ prefer: { zone: { value: a, not: b } } }",
        "{ prefer: { zone: { value: a, weight: 0 } } }",
        "{ placement: packed }",
        "{ sticky: build }",
        "{ same-as: build }",
    ],
)
def test_the_schema_sees_plain_mistakes_of_wishes_too(worker: str) -> None:
    document = plain(parse_document(f"{HEAD}    run: x\n    worker: {worker}\n", "a"))

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, definition_schema(), cls=jsonschema.Draft7Validator)


def test_the_wishes_of_a_job_count_among_what_it_asks() -> None:
    many = ", ".join(f"p{number}: x" for number in range(30))
    text = f"{HEAD}    run: x\n    worker: {{ prefer: {{ {many} }}, avoid: {{ {many} }} }}\n"

    (problem,) = examine_definition(text, "a.yaml").problems

    assert problem.sentence == "jobs.a.worker asks for more than 50 properties"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("{ sticky: true }", "{}", "worker.sticky: true → false"),
        ("{}", "{ placement: pack }", "worker.placement: spread → pack"),
        ("{ avoid: { a: 1 } }", "{ avoid: { a: { value: 1, weight: 2 } } }", "worker.avoid"),
        ("{ prefer: { a: 1 } }", "{}", "worker.prefer"),
    ],
)
def test_a_change_of_wishes_is_told_in_the_words_of_the_file(old: str, new: str, words: str) -> None:
    assert describe_changes(job(old), job(new)) == words


# --- the worker of another element ---


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        ("{ os: linux }", "{ os: windows }", "`there` asks for os: linux, and this for os: windows"),
        ("{ os: [a, b] }", "{ os: { not: [b, a] } }", "`there` asks for os: a or b, and this for os: not b or a"),
        ("{ gpu: 1 }", '{ gpu: ">= 2" }', "`there` asks for gpu: 1, and this for gpu >= 2"),
        ("{ os: [a, b] }", "{ os: [b, c] }", ""),
        ("{ os: { not: a } }", "{ os: a }", ""),
        ('{ gpu: ">= 1" }', '{ gpu: "< 9", os: linux }', ""),
        ("{ prefer: { os: linux } }", "{ os: windows }", ""),
    ],
)
def test_two_jobs_that_no_one_worker_can_have_are_told(there: str, here: str, words: str) -> None:
    jobs = f"  there: {{ run: x, worker: {there} }}\n  here: {{ run: x, worker: {here} }}\n"
    elements = "    elements:\n      there: {}\n      here: { after: there, worker: { same-as: there } }\n"

    problems = examine_definition(f"{SHOP}{jobs}  both:\n{elements}", "a.yaml").problems

    told = [each.sentence.partition("same-as ")[2] for each in problems]
    assert told == ([f"can never be: {words}"] if words else [])


def release(text: str) -> JobSpecification:
    return read_definition(RELEASE + text, "a.yaml").jobs[-1].specification


def element(text: str) -> Element:
    pipeline = release(text).pipeline
    assert pipeline is not None
    return pipeline.elements[-1]


def test_an_element_asks_for_the_worker_of_one_before_it() -> None:
    text = '    elements:\n      build: {}\n      test: { after: build, worker: { same-as: build, os: "linux" } }\n'

    read = element(text)

    assert (read.same_worker_as, read.worker) == ("build", {"os": "linux"})
    assert describe_element(read) == "runs test on the worker of build; after build"
    jsonschema.validate(plain(parse_document(RELEASE + text, "a")), definition_schema(), cls=jsonschema.Draft7Validator)
    without = release(text.replace("same-as: build, ", ""))
    assert describe_changes(without, release(text)) == "elements.test.worker.same-as: none → build"


def test_a_matrix_may_run_on_the_worker_of_one_element() -> None:
    read = element(
        "    elements:\n      plan: {}\n      test: { after: plan, matrix: { n: [1, 2] }, worker: { same-as: plan } }\n"
    )

    assert (read.same_worker_as, read.matrix) == ("plan", Matrix(axes={"n": (1, 2)}))


def test_an_element_of_finally_may_ask_for_the_worker_of_an_ordinary_one() -> None:
    text = "    elements: { build: {} }\n    finally: { tidy: { worker: { same-as: build } } }\n"

    assert examine_definition(RELEASE + text, "a.yaml").problems == ()


def test_python_says_the_same_worker_as_the_file_does() -> None:
    shop = Project("shop").job("build", run="make", worker={"sticky": True, "placement": "pack"})
    release = shop.pipeline("release")
    build = release.add("build")
    release.add("again", job="build", after=build, worker={"same-as": build})

    first, last = shop.definition().jobs

    assert first.specification.matching == Matching(sticky=True, placement=Placement.PACK)
    assert last.specification.pipeline is not None
    assert last.specification.pipeline.elements[1].same_worker_as == "build"


ELEMENT_MISTAKES = [
    ("build: {}\n  test: { after: build, worker: { same-as: §biuld } }", "names the unknown element `biuld`",
     "did you mean `build`?"),
    ("build: {}\n  test: { worker: { same-as: §build } }",
     "names `build`, which is not over before it begins", "add `after: build`"),
    ("test: { worker: { same-as: §test } }", "names itself", "remove it"),
    ("build: { matrix: { os: [linux, mac] } }\n  test: { after: build, worker: { same-as: §build } }",
     "names `build`, which has several runs and so perhaps several workers", "name an element that has one run"),
    ("plan: {}\n  build: { after: plan, for-each: results.plan.all }\n"
     "  test: { after: build, worker: { same-as: §build } }",
     "names `build`, which has several runs and so perhaps several workers", "name an element that has one run"),
    ("ok: { approval: [lead] }\n  test: { after: ok, worker: { same-as: §ok } }",
     "names `ok`, an approval, which no worker has", "name an element that runs a job"),
    ("parts: {}\n  test: { after: parts, worker: { same-as: §parts } }",
     "names `parts`, which runs a pipeline, and that has no worker of its own",
     "move this element into `parts`, or name one that runs a job"),
]  # fmt: skip


@pytest.mark.parametrize(("elements", "sentence", "remedy"), ELEMENT_MISTAKES)
def test_an_element_that_has_no_one_worker_before_is_told(elements: str, sentence: str, remedy: str) -> None:
    problem, place = told(RELEASE, f"elements:\n  {elements}")

    assert (problem.line, problem.column) == place
    assert problem.sentence.removeprefix("jobs.release.elements.test.worker.same-as ") == sentence
    assert problem.help == remedy


@pytest.mark.parametrize(
    ("elements", "sentence", "remedy"),
    [
        (
            "build: {}\n  parts: { after: build, §worker: { same-as: build } }",
            "parts.worker means nothing here: a pipeline runs nothing by itself",
            "give it to the elements of `parts`",
        ),
        (
            "build: {}\n  ok: { approval: [lead], after: build, §worker: { same-as: build } }",
            "ok.worker means nothing for an approval, which runs no job",
            "remove it",
        ),
        (
            "build: { worker: { sticky: §true } }",
            "build.worker.sticky is for a job to say, not for one of its uses",
            "write it into the `worker` of the job",
        ),
        (
            "build: {}\n  test: { after: build, worker: { same-as: build, name: §atlas } }",
            "test.worker.name stands beside `same-as`, which says whose name it is",
            "keep one of the two",
        ),
        (
            "build: { §same-as: plan }",
            "build has the unknown key `same-as`",
            "write `worker: { same-as: build }`",
        ),
    ],
)
def test_what_an_element_cannot_say_of_its_worker_is_told(elements: str, sentence: str, remedy: str) -> None:
    problem, place = told(RELEASE, f"elements:\n  {elements}")

    assert problem.line == place[0]
    assert problem.sentence.removeprefix("jobs.release.elements.") == sentence
    assert problem.help == remedy
