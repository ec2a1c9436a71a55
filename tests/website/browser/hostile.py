"""An instance in which every text that people, jobs and workers may choose is hostile."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from orchestra.definition.bounds import STEP_NAME_CHARACTERS_MAX
from orchestra.limits import REASON_CHARACTERS_MAX
from orchestra.network.client import API
from tests.support.journey import Orchestra, started, wait_until
from tests.support.pipelines import PipelineOf
from tests.website.browser.payloads import hostile_texts
from tests.website.browser.seeded import SHOP, Seeded

PROJECT = "hostile"
DESCRIPTIONS_PER_JOB = 25
PARAMETERS_PER_JOB = 50
REASONS = 40
PROPERTIES = 60
STEPS = 40
REQUIREMENTS = 20
CHECK_INS = 40
MATRIX = 12
QUESTION = 4


class Hostile(Seeded):
    """The instance, its runs by kind, and the texts that stand everywhere in it."""

    def __init__(self, orchestra: Orchestra, folder: Path) -> None:
        super().__init__(orchestra, folder)
        self.texts = hostile_texts()
        self.jobs: tuple[str, ...] = ()

    def parts(self, size: int) -> list[tuple[str, ...]]:
        """The texts in pieces of so many."""
        return [self.texts[at : at + size] for at in range(0, len(self.texts), size)]

    def define(self) -> None:
        """Jobs whose descriptions, steps, parameters, requirements and environment are hostile."""
        impossible = {"gpu": ">= 99"}
        file = {"file": {"type": "string", "default": "/nowhere"}}
        jobs: dict[str, object] = {
            "log": {"parameters": file, "run": 'cat "$PARAM_FILE"'},
            "results": {"parameters": file, "run": 'cat "$PARAM_FILE" > "$ORCHESTRA_RESULTS"'},
            "steps": {
                "parameters": file,
                "steps": [
                    {"name": text[:STEP_NAME_CHARACTERS_MAX], "command": ["true"]}
                    for text in self.texts[:STEPS]
                    if text.isprintable()
                ]
                + [{"name": self.texts[0], "run": 'cat "$PARAM_FILE" >> "$ORCHESTRA_CHECKINS"; exit 1'}],
            },
        }
        for number, texts in enumerate(self.parts(DESCRIPTIONS_PER_JOB)):
            jobs[f"say-{number}"] = {"description": " ".join(texts), "run": "true"}
        for number, texts in enumerate(self.parts(PARAMETERS_PER_JOB)):
            jobs[f"take-{number}"] = {
                "parameters": {
                    f"p{place}": {"type": "text", "default": text, "help": text} for place, text in enumerate(texts)
                },
                "worker": impossible,
                "run": "true",
            }
        for number, text in enumerate(self.texts[:REQUIREMENTS]):
            jobs[f"ask-{number}"] = {"worker": {"pool": text}, "run": "true"}
        jobs["pipeline"] = self.pipeline()
        self.jobs = tuple(jobs)
        self.orchestra.apply(
            as_document({"orchestra": 1, "project": PROJECT, "description": self.texts[0], "jobs": jobs})
        )

    def pipeline(self) -> dict[str, object]:
        """A matrix over texts, questions and a condition: all that a definition of elements can say freely."""
        take = {"job": "log", "with": {"file": "{matrix.text}"}}
        values = [text for text in self.texts[:MATRIX] if "{" not in text]
        quoted = json.dumps(self.texts[3][:100])
        return {
            "elements": {
                "many": {**take, "matrix": {"text": values}, "allow-failure": True},
                "never": {"job": "log", "if": f"{quoted} == {json.dumps('')}"},
                "ask": {"approval": {"message": self.question}},
                "asked": {"approval": {"message": self.question}},
            }
        }

    @property
    def question(self) -> str:
        """What people are asked: many of the texts in one line."""
        return " ".join(text for text in self.reasons[:QUESTION] if not set("{}") & set(text))

    @property
    def reasons(self) -> Sequence[str]:
        """The first of those that are taken as a reason at all: one line of bounded length."""
        taken = [text for text in self.texts if len(text) <= REASON_CHARACTERS_MAX and text.isprintable()]
        return taken[:REASONS]

    def file(self, name: str, content: str) -> str:
        """A file for a job to read."""
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return str(path)

    def run_all(self) -> None:
        """A run of each kind."""
        api, texts = self.orchestra.api, self.texts
        log = self.file("log", "".join(f"{text}\n" for text in texts))
        results = self.file("results", json.dumps({f"r{place}": text for place, text in enumerate(texts)}))
        check_ins = self.file("check-ins", "".join(f"{text}\n" for text in texts[:CHECK_INS]))
        for kind, path in (("log", log), ("results", results), ("steps", check_ins)):
            self.runs[kind] = self.trigger(f"{PROJECT}/{kind}", file=path)
        for number in range(len(self.parts(PARAMETERS_PER_JOB))):
            self.runs[f"take-{number}"] = self.trigger(f"{PROJECT}/take-{number}")
        for number in range(REQUIREMENTS):
            self.runs[f"ask-{number}"] = self.trigger(f"{PROJECT}/ask-{number}")
        for place, text in enumerate(self.reasons):
            number = self.trigger(f"{PROJECT}/take-0")
            self.runs[f"cancelled-{place}"] = number
            api.post(f"{API}/runs/{number}/cancel", {"reason": text})
        api.patch(f"{API}/projects/{PROJECT}/jobs/say-0", {"enabled": False, "reason": self.reasons[1]})
        api.patch(f"{API}/workers/atlas", {"state": "disabled", "reason": self.reasons[2]})
        self.runs["pipeline"] = self.trigger(f"{PROJECT}/pipeline")
        elements = PipelineOf(self.orchestra, self.runs["pipeline"])
        elements.reach("ask", "waiting")
        elements.reach("asked", "waiting")
        elements.answer("asked", "approve", self.reasons[3])
        for kind in ("log", "results", "steps"):
            self.orchestra.finish(self.runs[kind])


def as_document(content: object) -> str:
    """As YAML in its flow form: JSON, but for characters beyond 16 bits, which YAML has no pairs for."""
    text = json.dumps(content, ensure_ascii=False)
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def properties(texts: Sequence[str]) -> dict[str, str]:
    """Texts as the properties of a worker."""
    return {f"p{place}": text for place, text in enumerate(texts)}


@contextmanager
def hostile_instance(folder: Path) -> Iterator[Hostile]:
    """The instance with everything in it, ended afterwards."""
    orchestra = Orchestra(folder, slots=1)
    hostile = Hostile(orchestra, folder)
    atlas = orchestra.worker(folder, "atlas", slots=1, port=None, **properties(hostile.texts[:PROPERTIES]))
    with started(orchestra, atlas):
        orchestra.apply(SHOP)
        hostile.define()
        hostile.add_people()
        wait_until(lambda: all(map(orchestra.connected, ("local", "atlas"))), what="both workers")
        hostile.run_all()
        yield hostile
