"""MkDocs hooks: the pages that are written when the site is built, and the files of the repository that are pages, too."""

import re
from pathlib import Path

from api import api_page
from commands import commands_page
from errors import PLACE, error_codes
from measures import metrics_page, observations_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from settings import configuration_page, presets_page, setting
from support import FORMATS_PLACE, ROBOTS_PLACE, formats_table, robots_table

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "reference/commands.md": commands_page,
    "reference/configuration.md": configuration_page,
    "reference/presets.md": presets_page,
    "reference/metrics.md": metrics_page,
    "reference/observations.md": observations_page,
    "reference/api.md": api_page,
}
MADE = {PLACE: error_codes, FORMATS_PLACE: formats_table, ROBOTS_PLACE: robots_table}
COPIES = {"results.md": "experiments/RESULTS.md", "changelog.md": "CHANGELOG.md"}
PICTURES = "experiments/pictures"
VALUE = re.compile(r"\{\{ (\w+) ([\w.]+) \}\}")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, the repository's own, and its pictures."""
    for name, page in PAGES.items():
        files.append(File.generated(config, name, content=page()))
    for name, source in COPIES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text()))
    for picture in sorted((ROOT / PICTURES).glob("*.png")):
        files.append(File.generated(config, f"pictures/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put what is made where a page asks for it, and settings' values: {{ default sampling.bin_s }}, {{ g1_deploy ... }}."""
    markdown = VALUE.sub(lambda match: setting(match[1], match[2]), markdown)
    for place, made in MADE.items():
        if place in markdown:
            markdown = markdown.replace(place, made())
    return markdown
