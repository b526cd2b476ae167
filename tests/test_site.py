"""The documentation site: it is built without a warning, needs no network to be read, and says all that is generated."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mimic.cli import COMMANDS
from mimic.config import Config, to_dict
from mimic.mdp.observations import TERMS
from mimic.metrics import METRICS
from mimic.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
POINTS_AT = {"canonical", "alternate", "next", "prev"}  # links that a browser does not follow by itself


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    pytest.importorskip("mkdocs", reason="the site is built with mkdocs (extra docs)")
    pytest.importorskip("mkdocstrings", reason="the site is built with mkdocstrings (extra docs)")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Fetches(HTMLParser):
    """What a browser fetches for a page, and the scripts that stand in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in FETCHED and given.get("rel") not in POINTS_AT:
            self.addresses.append(given.get(FETCHED[tag]) or "")


def test_nothing_is_fetched_from_elsewhere(site: Path):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        away = [address for address in Fetches(page).addresses if re.match(r"(https?:)?//", address)]
        assert not away, f"{page.name}: {away[0]}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text()), style.name


def test_no_link_leads_nowhere(site: Path):
    """As a browser follows it from a disk; what generators write as HTML mkdocs does not check."""
    for page in sorted(site.rglob("*.html")):
        text = page.read_text()
        for address in re.findall(r'<a [^>]*href="([^"#:][^":]*|#[^"]+)"', text):
            file, _, place = address.partition("#")
            target = (page.parent / file) if file else page
            assert page.name == "404.html" or target.is_file(), f"{page.name}: {address}"
            if page.parent.name == "reference" and target.parent == page.parent and place:
                assert f'id="{place}"' in target.read_text(), f"{page.name}: {address}"


def test_every_setting_stands_on_its_page(site: Path):
    page = (site / "reference" / "configuration.html").read_text()

    def paths(tree: dict, prefix: str = ""):
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from paths(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}"

    missing = [path for path in paths(to_dict(Config())) if f'id="{path}"' not in page]
    assert not missing


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("presets", PRESETS),
        ("metrics", [metric.key for metric in METRICS]),
        ("observations", TERMS),
        ("commands", [f"mimic {name}" for name in COMMANDS]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_there_is_stands_on_its_page(site: Path, page: str, names: list[str]):
    text = (site / "reference" / f"{page}.html").read_text()
    assert not [name for name in names if name not in text]


def test_values_are_filled_in_and_no_place_of_this_machine_is_told(site: Path):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"\{\{ \w+ [\w.]+ \}\}", text), page.name
        assert str(ROOT) not in text, page.name
