"""One instance with something of everything: runs in all their states, workers, people, logs. Browsers look at it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import msgspec

from orchestra.network.client import API
from tests.support.journey import Orchestra, started, wait_until
from tests.website.browser.released import add_pipelines

LONG_LOG_LINES = 5_000
PASSWORD = "correct horse battery staple"
"""Of everybody but the first administrator, who has none."""
PEOPLE: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    "ana": (("operator", None),),
    "vera": (("viewer", None),),
    "otto": (("auditor", None),),
    "ole": (("operator", "shop"),),
    "ada": (("administrator", None),),
}
OPS = f"""
orchestra: 1
project: ops
description: What keeps the shop running.
jobs:
  backup:
    description: Copies a database to the vault, and says how large the copy is.
    parameters:
      database: {{ type: choice, options: [orders, customers], default: orders, help: Which one }}
      keep: {{ type: integer, min: 1, max: 90, default: 14, help: For how many days }}
      label: {{ type: string, pattern: '[a-z0-9 -]*', default: nightly, example: before upgrade }}
      compress: {{ type: boolean, default: true }}
      wait: {{ type: duration, default: 10s }}
      notes: {{ type: text, default: "" }}
      passphrase: {{ type: secret, required: true }}
    worker: {{ os: linux }}
    steps:
      - name: Dump
        run: |
          echo "dumping $PARAM_DATABASE"
          orchestra checkin 40% "dumped"
      - name: Send
        run: |
          printf '\\033[32mdone\\033[0m, \\033[1;31m3 warnings\\033[0m, \\033[38;5;208mmade by hand\\033[0m\\n'
          orchestra result set bytes 18874368 --parse
          orchestra result set path "vault:/backups/$PARAM_DATABASE"
    timeout: 1h
  report:
    description: Counts what was sold, line by line.
    steps:
      - name: Collect
        run: |
          echo "collecting"
      - name: Count
        run: |
          for number in 1 2 3 4 5 6; do echo "order $number: counted"; done
          echo "order 7: no price" >&2
          exit 3
    schedule: {{ cron: "30 2 * * 1-5", zone: Europe/Paris }}
  watch:
    description: Goes on until somebody tells it to end.
    parameters: {{ gate: {{ type: string, default: /nowhere }} }}
    run: |
      number=0
      while [ ! -e "$PARAM_GATE" ]; do
        number=$((number + 1))
        echo "beat $number"
        sleep 0.1
      done
      echo "the gate is open"
  flaky:
    description: Succeeds at the second attempt.
    retry: {{ max-attempts: 3, wait: 0s, factor: 1 }}
    run: |
      echo "attempt $ORCHESTRA_ATTEMPT"
      [ "$ORCHESTRA_ATTEMPT" -gt 1 ]
  render:
    description: Asks for what nobody has.
    worker: {{ gpu: ">= 4" }}
    run: echo rendered
  count:
    description: Writes a long log.
    run: seq -f "line %.0f of a long log" {LONG_LOG_LINES}
  grim:
    description: Kills what executes it.
    worker: {{ disk: ssd }}
    poison: {{ lost: 1, within: 1h }}
    run: |
      echo "now"
      kill -9 $PPID
      sleep 60
  paused:
    description: Is switched off in the file.
    enabled: false
    run: "true"
    schedule: every 15m
  sync:
    description: Is held up by somebody.
    run: "true"
    schedule:
      cron: ["0 6 * * *", "0 0 9 ? * mon-fri"]
      every: 12h
      zone: Europe/Paris
      catch-up: {{ all: 3 }}
      overlap: queue
"""
SHOP = """
orchestra: 1
project: shop
description: The web shop.
jobs:
  greet:
    description: Says hello to somebody.
    parameters: { name: { type: string, default: world } }
    run: echo "Hello, $PARAM_NAME."
"""


class _Numbered(msgspec.Struct, frozen=True):
    id: int


class Seeded:
    """The instance, and the numbers of its runs by what they show."""

    def __init__(self, orchestra: Orchestra, folder: Path) -> None:
        self.orchestra = orchestra
        self.folder = folder
        self.runs: dict[str, int] = {}
        self.token = 0
        """Of the administrator `ada`."""
        self._cookies: dict[str, str] = {}

    @property
    def address(self) -> str:
        """Where the pages are."""
        return self.orchestra.address

    @property
    def numbers(self) -> Mapping[str, int]:
        """All that stands in addresses, by what it shows."""
        return {**self.runs, "token": self.token}

    def trigger(self, job: str, **parameters: object) -> int:
        """Triggers a job; the secret of `backup` comes by itself."""
        secrets = {"passphrase": "a secret of twenty"} if job == "ops/backup" else {}
        return self.orchestra.trigger(job, parameters, secrets=secrets)

    def watching(self, gate: str) -> tuple[int, Path]:
        """A run that writes until the file at the given path is there."""
        path = self.folder / gate
        number = self.trigger("ops/watch", gate=str(path))
        wait_until(lambda: self.orchestra.log(number), what="the first line")
        return number, path

    def link(self) -> str:
        """The link that `orchestra up` has printed."""
        found = re.search(r"http\S+/sign-in\?link=\S+", self.orchestra.program.output)
        assert found, self.orchestra.program.output
        return found.group()

    def cookie(self, name: str) -> str:
        """The secret of a session of this person, the same one each time."""
        if name not in self._cookies:
            self._cookies[name] = self.new_cookie(name)
        return self._cookies[name]

    def new_cookie(self, name: str) -> str:
        """The secret of a session of its own."""
        form = {"name": name, "password": PASSWORD}
        headers = {"Origin": self.address, "Sec-Fetch-Site": "same-origin"}
        answer = httpx2.post(f"{self.address}/sign-in", data=form, headers=headers, timeout=30)
        assert answer.status_code == 303, answer.text
        return str(answer.cookies["orchestra"])

    def add_people(self) -> None:
        """Everybody of PEOPLE."""
        for name, roles in PEOPLE.items():
            asked = [{"role": role, **({"project": project} if project else {})} for role, project in roles]
            self.orchestra.api.post(f"{API}/users", {"name": name, "password": PASSWORD, "roles": asked})

        made = self.orchestra.api.post(f"{API}/tokens", {"name": "ci", "user": "ada", "kind": "user"})
        self.token = made.read(_Numbered).id

    def add_pauses(self) -> None:
        """One schedule with a reason and an end."""
        until = {"reason": "the archive moves to another disk", "until": "2099-12-31T12:00:00Z"}
        self.orchestra.api.post(f"{API}/projects/ops/jobs/sync/schedule/pause", until)

    def add_quarantine(self) -> None:
        """A job that has killed the keeper of `atlas`, before anything else runs there, and a run that waits for it."""
        self.runs["lost"] = self.trigger("ops/grim")
        self.orchestra.finish(self.runs["lost"])
        self.runs["held"] = self.trigger("ops/grim")

    def add_runs(self) -> None:
        """A run of each kind, all of them over that can be."""
        api, runs = self.orchestra.api, self.runs
        runs["failed"] = self.trigger("ops/report")
        runs["succeeded"] = self.trigger("ops/backup", label="before upgrade", notes="two\nlines")
        runs["retried"] = self.trigger("ops/flaky")
        runs["long"] = self.trigger("ops/count")
        runs["greeted"] = self.trigger("shop/greet", name="Ada")
        runs["cancelled"] = self.trigger("ops/render")
        api.post(f"{API}/runs/{runs['cancelled']}/cancel", {"reason": "asked for too much"})
        runs["waiting"] = self.trigger("ops/render")
        for name in ("failed", "succeeded", "retried", "long", "greeted"):
            self.orchestra.finish(runs[name], seconds=60)
        runs["aborted"], _ = self.watching("gate that stays shut")
        api.post(f"{API}/runs/{runs['aborted']}/abort", {"reason": "it was the wrong one"})
        self.orchestra.finish(runs["aborted"])
        answer = api.post(f"{API}/runs/{runs['failed']}/retry", {"parameters": {}, "secrets": {}})
        runs["again"] = answer.read(_Numbered).id
        self.orchestra.finish(runs["again"])
        runs["running"], _ = self.watching("gate of the last")


@contextmanager
def seeded_instance(folder: Path) -> Iterator[Seeded]:
    """The instance with everything in it, ended afterwards."""
    orchestra = Orchestra(folder, slots=2)
    atlas = orchestra.worker(folder, "atlas", slots=4, disk="ssd", zone="north")
    gone = orchestra.worker(folder, "gone", slots=1, disk="tape")
    with started(orchestra, atlas, gone):
        seeded = Seeded(orchestra, folder)
        orchestra.apply(OPS)
        orchestra.apply(SHOP)
        seeded.add_people()
        seeded.add_pauses()
        wait_until(lambda: all(map(orchestra.connected, ("local", "atlas", "gone"))), what="three workers")
        gone.stop()
        orchestra.api.patch(f"{API}/workers/gone", {"state": "disabled", "reason": "its disk is worn"})
        seeded.add_quarantine()
        seeded.add_runs()
        add_pipelines(orchestra, seeded.runs)
        yield seeded
