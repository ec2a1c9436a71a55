// A run that goes on before the reader's eyes. Without this file the same pages are read by reloading them,
// and the log by the page that follows it.
const kept = 5000; // Lines in the box: the rest is a link away.
const retryAfter = 3000; // Milliseconds, up to twice of it: not all pages at one moment.
const by = (id) => document.getElementById(id);
const head = by("run-head");
const box = by("follow");

function say(text) {
  const place = by("follow-state");
  if (place && place.textContent !== text) place.textContent = text;
}

// Nothing moves below the hand or the focus of the reader, and nothing is lost that somebody has typed.
function isHeld(place) {
  const typed = [...place.querySelectorAll("input:not([type=hidden])")].some((each) => each.value !== each.defaultValue);
  return typed || place.contains(document.activeElement);
}

// What was unfolded stays so, and the focus stays where it was.
function replaceKeeping(place, fresh) {
  const open = new Map([...place.querySelectorAll("details")].map((each) => [each.id, each.open]));
  const focus = place.contains(document.activeElement) ? document.activeElement : null;
  const path = focus?.getAttribute("href");
  const fold = focus?.closest("details")?.id;
  place.replaceChildren(...fresh.childNodes);
  for (const each of place.querySelectorAll("details")) each.open = open.get(each.id) ?? each.open;
  const again = path ? place.querySelector(`a[href="${CSS.escape(path)}"]`) : fold && by(fold)?.querySelector("summary");
  again?.focus({ preventScroll: true });
}

class Log {
  // Follows at the end; holds still when the reader has scrolled up.
  constructor() {
    this.lines = by("follow-lines");
    this.open = by("follow-open");
    this.button = by("follow-new");
    this.attempt = box.dataset.attempt;
    this.unseen = 0;
    this.paused = false;
    box.scrollTop = box.scrollHeight;
    box.addEventListener("scroll", () => this.isAtEnd() && this.seen(), { passive: true });
    this.button.addEventListener("click", () => { box.scrollTop = box.scrollHeight; this.seen(); box.focus(); });
  }
  isAtEnd() { return box.scrollHeight - box.scrollTop - box.clientHeight < 24; }
  seen() { this.unseen = 0; this.button.hidden = true; }
  add({ attempt, html, open }) {
    const follows = this.isAtEnd() && !this.paused;
    if (String(attempt) !== this.attempt) {
      this.attempt = String(attempt);
      this.lines.insertAdjacentHTML("beforeend", `<span class="between">Attempt ${attempt}\n</span>`);
    }
    // The server has escaped every character of it that a job has printed.
    this.lines.insertAdjacentHTML("beforeend", html);
    this.open.innerHTML = open;
    if (follows) {
      while (this.lines.childElementCount > kept) this.lines.firstElementChild.remove();
      box.scrollTop = box.scrollHeight;
      return;
    }
    this.unseen += html.split("</a>").length - 1;
    if (this.unseen) {
      this.button.textContent = `▾ ${this.unseen.toLocaleString("en")} new line${this.unseen === 1 ? "" : "s"}`;
      this.button.hidden = false;
    }
  }
}

class Following {
  constructor(log) {
    this.log = log;
    this.place = log ? `?attempt=${box.dataset.attempt}&line=${box.dataset.line}` : "?only=run";
    this.button = by("follow-switch");
    if (this.button) {
      this.button.hidden = false;
      this.button.addEventListener("click", () => (this.source ? this.pause() : this.start()));
    }
    // A page that nobody sees costs the server nothing.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.source) { this.stop(); this.hidden = true; }
      else if (!document.hidden && this.hidden) { this.hidden = false; this.start(); }
    });
    this.start();
  }
  start() {
    this.source = new EventSource(head.dataset.source + this.place);
    this.source.onopen = () => { say("Live"); this.mark("Pause"); };
    this.source.onerror = () => {
      say(`Updated ${new Date().toLocaleTimeString()}, connection lost, retrying`);
      // An answer that is no stream, such as a proxy's whose server begins anew, is the last one a browser asks for.
      if (this.source.readyState === EventSource.CLOSED) {
        this.again = setTimeout(() => this.start(), retryAfter * (1 + Math.random()));
      }
    };
    this.on("lines", (event) => {
      // Whoever starts again after a pause goes on behind what is shown.
      this.place = `?attempt=${event.attempt}&line=${event.line}`;
      this.log?.add(event);
    });
    this.on("run", (event) => this.swap(event));
    this.on("waiting", ({ html }) => {
      const place = by("run-waiting");
      if (place && !isHeld(place)) place.innerHTML = html;
    });
    this.on("end", () => {
      this.stop();
      this.isOver = true;
      this.button?.remove();
      for (const each of document.querySelectorAll(".reload")) each.hidden = true;
      say("The run is over.");
      this.readResults().catch(() => say("The run is over. Reload to see its results."));
    });
  }
  async readResults() {
    // Steps write them while they run, and the last word is said only now.
    await this.readAgain("run-results");
  }
  async readAgain(id) {
    const place = by(id);
    if (!place) return;
    // What is asked for while an answer is under way is asked for once more behind it.
    this.isStale = true;
    if (this.isReading) return;
    this.isReading = true;
    try {
      while (this.isStale) {
        this.isStale = false;
        const answer = await fetch(location.pathname + location.search);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById(id);
        if (answer.ok && fresh) replaceKeeping(place, fresh);
      }
    } finally {
      this.isReading = false;
    }
  }
  on(name, act) { this.source.addEventListener(name, (event) => act(JSON.parse(event.data))); }
  stop() { clearTimeout(this.again); this.source?.close(); this.source = null; }
  pause() { this.stop(); say("Paused"); this.mark("Live"); }
  mark(word) { if (this.button) this.button.textContent = word; }
  swap(event) {
    const state = head.dataset.state;
    if (event.state !== state && head.dataset.waits) {
      // It runs now: the page has to show a log instead of reasons.
      location.reload();
      return;
    }
    head.dataset.state = event.state;
    if (!isHeld(head)) head.innerHTML = event.head;
    // Of a pipeline the drawing and the table are on no other page: this one is asked for them.
    this.readAgain("run-pipeline").catch(() => say("Reload to see how its elements stand."));
    const steps = by("run-steps");
    if (steps && steps.dataset.attempt === String(event.attempt)) steps.innerHTML = event.steps;
    document.title = event.title.trim();
  }
}

// `#L10-L20` marks lines; a click with Shift makes such an address.
function markLines() {
  for (const each of document.querySelectorAll(".marked")) each.classList.remove("marked");
  const found = /^#L(\d+)-L(\d+)$/.exec(location.hash);
  if (!found) return;
  const [first, last] = [Number(found[1]), Number(found[2])].sort((one, other) => one - other);
  for (let line = first; line <= Math.min(last, first + 5000); line += 1) by(`L${line}`)?.classList.add("marked");
  by(`L${first}`)?.scrollIntoView({ block: "center" });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".log a[href*='#L']");
  const start = /#L(\d+)/.exec(location.hash);
  if (!link || !event.shiftKey || !start) return;
  event.preventDefault();
  const end = /#L(\d+)$/.exec(link.href)[1];
  location.hash = `#L${start[1]}-L${end}`;
});
addEventListener("hashchange", markLines);
markLines();

for (const each of document.querySelectorAll("[data-plain-only]")) each.hidden = true;
if (head?.dataset.source) new Following(box ? new Log() : null);
