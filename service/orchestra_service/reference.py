"""The reference of the API as one page without scripts, drawn from its document."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape

from orchestra_service.schemas import Schema

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 0 auto; padding: 1rem; }
code { font: .9em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
section { border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); margin-top: 1.5rem; }
h3 { margin-bottom: .25rem; font-size: 1rem; overflow-wrap: anywhere; }
h3 b { display: inline-block; min-width: 4.5rem; }
p { margin: .25rem 0; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .1rem 1rem; margin: .5rem 0 1rem 4.5rem }
dt, dd { margin: 0; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .25rem .75rem; }
i { opacity: .75; font-style: normal; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; margin-left: 0; } dd { margin-left: 1rem; } }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; frame-ancestors 'none'"
"""This page has its few rules of style inside, and nothing else is allowed."""


def reference_page(document: Schema) -> str:
    """The page for a document as `document_of` makes it."""
    return "".join(_page(document))


def _page(document: Schema) -> Iterator[str]:
    about = _mapping(document["info"])
    operations = _by_group(document)
    yield "<!doctype html><html lang=en><head><meta charset=utf-8><title>HTTP API · Job Orchestra</title>"
    yield f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style></head><body>"
    yield f"<header><h1>The HTTP API of Job Orchestra {_text(about['version'])}</h1>"
    yield f"<p>{_words(about['description'])}</p>"
    yield "<p>The same for programs: <a href='/api/v1/openapi.json'>openapi.json</a> (OpenAPI 3.1)</p><nav>"
    for group in operations:
        yield f"<a href='#{_text(group)}'>{_text(group)}</a>"
    yield "<a href='#schemas'>schemas</a></nav></header><main>"
    for group, members in operations.items():
        yield f"<section id='{_text(group)}'><h2>{_text(group)}</h2>"
        for method, path, operation in members:
            yield from _operation(method, path, operation)
        yield "</section>"
    yield "<section id=schemas><h2>schemas</h2>"
    for name, schema in _mapping(_mapping(document["components"])["schemas"]).items():
        yield from _schema(name, _mapping(schema))
    yield "</section></main></body></html>"


def _operation(method: str, path: str, operation: Mapping[str, object]) -> Iterator[str]:
    yield f"<article id='{_text(operation['operationId'])}'>"
    yield f"<h3><b>{_text(method.upper())}</b> <code>{_text(path)}</code></h3>"
    yield f"<p>{_words(operation['summary'])} {_words(operation['description'])}</p><dl>"
    for parameter in map(_mapping, _sequence(operation["parameters"])):
        yield f"<dt><code>{_text(parameter['name'])}</code> ({_text(parameter['in'])})</dt>"
        yield f"<dd><i>{_type(_mapping(parameter['schema']))}</i> {_words(parameter.get('description', ''))}</dd>"
    if "requestBody" in operation:
        yield f"<dt>body</dt><dd>{_content(_mapping(operation['requestBody']))}</dd>"
    refusals = []
    for status, response in _mapping(operation["responses"]).items():
        described = _mapping(response)
        if "$ref" in described:
            refusals.append(status)
        else:
            yield f"<dt>{_text(status)}</dt><dd>{_content(described) or _words(described['description'])}</dd>"
    yield f"<dt>refusals</dt><dd>{_text(', '.join(refusals))}</dd></dl></article>"


def _schema(name: str, schema: Mapping[str, object]) -> Iterator[str]:
    yield f"<article id='schema-{_text(name)}'><h3><code>{_text(schema.get('title', name))}</code></h3>"
    yield f"<p>{_words(schema.get('description', ''))}</p>"
    if "enum" in schema:
        yield f"<p>{', '.join(f'<code>{_text(word)}</code>' for word in _sequence(schema['enum']))}</p>"
    yield "<dl>"
    for field, described in _mapping(schema.get("properties", {})).items():
        yield f"<dt><code>{_text(field)}</code></dt><dd><i>{_type(_mapping(described))}</i> "
        yield f"{_words(_mapping(described).get('description', ''))}</dd>"
    yield "</dl></article>"


def _content(described: Mapping[str, object]) -> str:
    content = _mapping(described.get("content", {}))
    return ", ".join(f"{_text(kind)}: {_type(_mapping(_mapping(body)['schema']))}" for kind, body in content.items())


def _type(schema: Mapping[str, object]) -> str:
    """A schema in a word or two, with links to the named ones."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        # Page_RunView_ stands for Page[RunView].
        shown = f"{name[:-1].replace('_', '[', 1)}]" if name.endswith("_") else name
        return f"<a href='#schema-{_text(name)}'>{_text(shown)}</a>"
    if "anyOf" in schema:
        return " or ".join(_type(_mapping(each)) for each in _sequence(schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(f"<code>{_text(each)}</code>" for each in _sequence(schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(_mapping(schema.get('items', {})))}"
    inner = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(inner, dict):
        return f"object of {_type(inner)}"
    return _text(schema.get("format", schema.get("type", "anything")))


def _by_group(document: Schema) -> dict[str, list[tuple[str, str, Mapping[str, object]]]]:
    groups: dict[str, list[tuple[str, str, Mapping[str, object]]]] = {}
    for path, methods in _mapping(document["paths"]).items():
        for method, described in _mapping(methods).items():
            operation = _mapping(described)
            group = str(_sequence(operation["tags"])[0])
            groups.setdefault(group, []).append((method, path, operation))
    return dict(sorted(groups.items()))


def _text(value: object) -> str:
    return escape(str(value))


def _words(value: object) -> str:
    """Text with `code` between backticks."""
    parts = escape(str(value)).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, dict), "the document is made by us"
    return value


def _sequence(value: object) -> list[object]:
    assert isinstance(value, list | tuple), "the document is made by us"
    return list(value)
