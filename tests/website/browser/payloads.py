"""Five hundred texts that want to be more: markup, handlers, addresses, templates, escapes, odd characters."""

from collections.abc import Iterator
from itertools import cycle, islice, product

COUNT = 500
_CALLS = ("pwned()", "alert(1)", "confirm`1`", "top['pwn'+'ed']()", "eval('pw'+'ned()')")
_TAGS = (
    "<script>{call}</script>",
    "<SCRIPT SRC=data:text/javascript,{call}></SCRIPT>",
    "<scr<script>ipt>{call}</scr</script>ipt>",
    "<svg><script>{call}</script></svg>",
    "<svg/onload={call}>",
    "<img src=x onerror={call}>",
    "<img src=x onerror='{call}' alt=\"",
    "<body onload={call}>",
    "<iframe srcdoc='<script>{call}</script>'></iframe>",
    "<iframe src=javascript:{call}></iframe>",
    "<object data=javascript:{call}></object>",
    "<embed src=javascript:{call}>",
    "<a href=javascript:{call}>press</a>",
    "<a href='  java&#10;script:{call}'>press</a>",
    "<form action=javascript:{call}><button>press</button></form>",
    "<input autofocus onfocus={call}>",
    "<select autofocus onfocus={call}></select>",
    "<video><source onerror={call}></video>",
    "<details open ontoggle={call}>",
    "<meta http-equiv=refresh content='0;url=javascript:{call}'>",
    "<link rel=stylesheet href='javascript:{call}'>",
    "<style>@import 'javascript:{call}';</style>",
    "<math><mi xlink:href='javascript:{call}'>x</mi></math>",
    "<marquee onstart={call}>",
    "<template><script>{call}</script></template>",
    "<base href='javascript:{call}//'>",
    "<p style='animation-name:x' onanimationstart={call}>",
)
_BREAKOUTS = ("", '">', "'>", "</title>", "</pre>", "</textarea>", "</script>", "-->", "</option></select>", "]]>")
_ATTRIBUTES = (
    '" onmouseover="{call}',
    "' onfocus='{call}' autofocus='",
    '" style="background:url(javascript:{call})',
    "` onclick={call} `",
    '" autofocus onfocus={call} x="',
)
_ADDRESSES = (
    "javascript:{call}",
    "JaVaScRiPt:{call}",
    "java\tscript:{call}",
    "\x01javascript:{call}",
    "data:text/html,<script>{call}</script>",
    "vbscript:{call}",
    "//evil.example/{call}",
    'https://evil.example/"onclick={call}',
    "[press](javascript:{call})",
)
_TEMPLATES = (
    "{{7*7}}",
    "{{{{7*7}}}}",
    "{{{{ config.__class__.__init__.__globals__ }}}}",
    "{{% for x in ().__class__.__base__.__subclasses__() %}}{{{{x}}}}{{% endfor %}}",
    "${{7*7}}",
    "#{{7*7}}",
    "<%= 7*7 %>",
    "{{{{constructor.constructor('{call}')()}}}}",
    "{{0.__class__.__mro__}}",
    "%(asctime)s %s %n",
)
_ESCAPES = (
    "\x1b[31m<script>{call}</script>\x1b[0m",
    "\x1b]8;;javascript:{call}\x07press\x1b]8;;\x07",
    "\x1b]8;;https://evil.example/\x1b\\<b>press</b>\x1b]8;;\x1b\\",
    "\x1b]0;<script>{call}</script>\x07",
    '\x1b[38;2;999;0;0m"><img src=x onerror={call}>\x1b[m',
    "\x1b[2J\x1b[1;1H<svg/onload={call}>",
    "\x1bP<script>{call}</script>\x1b\\",
    "\x9b31m<script>{call}</script>",
    "\x08\x08\x08<script>{call}</script>",
    "visible\rhidden <script>{call}</script>",
)
_ODD = (
    "\u202e<tpircs>{call}",
    "\ufeff<script>{call}</script>",
    "＜script＞{call}＜/script＞",
    "\u2028{call}\u2029",
    "<ſcript>{call}</ſcript>",
    "Z\u0351\u036b\u0343\u036a\u0302algo<img src=x onerror={call}>",
    "&lt;script&gt;{call}&lt;/script&gt;",
    "&#60;script&#62;{call}&#60;/script&#62;",
    "%3Cscript%3E{call}%3C/script%3E",
    "\\u003cscript\\u003e{call}\\u003c/script\\u003e",
    "+ADw-script+AD4-{call}",
    "<" * 150 + "script>{call}",
    "W" * 180 + "<script>{call}</script>",
    "🏴‍☠️<script>{call}</script>",
    "اكتب<script>{call}</script>",
)


def _bodies() -> Iterator[str]:
    """Every form, without end."""
    tags = cycle(f"{before}{tag}" for before, tag in product(_BREAKOUTS, _TAGS))
    others = cycle((*_ATTRIBUTES, *_ADDRESSES, *_TEMPLATES, *_ESCAPES, *_ODD))
    while True:
        yield next(tags)
        yield next(others)


def hostile_texts() -> tuple[str, ...]:
    """All of them, each beginning with a mark of its own, so that it can be found again."""
    calls = cycle(_CALLS)
    bodies = islice(_bodies(), COUNT)
    return tuple(f"p{number:03}q{body.format(call=next(calls))}" for number, body in enumerate(bodies))


def mark_of(text: str) -> str:
    """What the text begins with."""
    return text[:5]


def is_plain(text: str) -> bool:
    """Whether it has no control characters: then every page has to show all of it as it is."""
    return text.isprintable()
