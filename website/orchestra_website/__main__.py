"""The command `orchestra website`: the pages in a process of their own, over PostgreSQL."""

from pathlib import Path

import click
from starlette.routing import BaseRoute

from orchestra.limits import DEFAULT_WEBSITE_PORT
from orchestra.network.loop import run
from orchestra.storage.open import OpenDatabase, open_shared_database
from orchestra.web.metrics_routes import metrics_alone
from orchestra.web.parts import WebParts
from orchestra.web.process import Installation, process_options, serve_process
from orchestra_website.assemble import website_routes
from orchestra_website.settings import WebsiteSettings, website_options


async def run_website(
    installation: Installation, pages: WebsiteSettings, *, open_database: OpenDatabase = open_shared_database
) -> None:
    """Serves until SIGTERM or SIGINT; raises as `serve_process` does."""

    def routes(parts: WebParts) -> list[BaseRoute]:
        return [*metrics_alone(parts.door, parts.metrics), *website_routes(parts, pages)]

    await serve_process("website", installation, routes, open_database=open_database)


@click.command("website")
@process_options(DEFAULT_WEBSITE_PORT)
@website_options
def command(installation: Installation, theme: Path | None, title: str) -> None:
    """Serve the website in a process of its own; any number of them may run.

    \b
      orchestra website --database postgresql://orchestra@db/orchestra --logs /srv/logs --key-file /etc/orchestra.key
    """
    run(run_website(installation, WebsiteSettings(theme_folder=theme, title=title)))


if __name__ == "__main__":
    command()
