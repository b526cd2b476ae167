"""Fetching well-known motion sets: what `catalog.toml` knows of them, and a download that resumes and is checked."""

import hashlib
import http.client
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motions.errors import InputError, unknown_name

CATALOG = Path(__file__).parent / "catalog.toml"
CHUNK_BYTES, SAY_EVERY_BYTES, TIMEOUT_S = 1 << 20, 100 << 20, 30.0
PARTIAL = ".partial"


@dataclass(frozen=True)
class MotionSet:
    """One entry of the catalogue. Without an `address` it cannot be fetched by a program: `steps` says how a person does."""

    name: str
    title: str
    page: str
    licence: str
    licence_page: str
    commercial: bool
    address: str = ""
    file: str = ""
    steps: str = ""
    size_bytes: int | None = None
    sha256: str = ""
    md5: str = ""

    @property
    def checksum(self) -> tuple[str, str] | None:
        """(algorithm, hexadecimal digits), or None where it is unknown."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5) if self.md5 else None

    def describe(self) -> str:
        """For the user: what it is, where, and under which terms."""
        size = f"{self.size_bytes / 1e6:,.0f} MB" if self.size_bytes else "size unknown"
        use = "" if self.commercial else "; NOT for commercial use"
        lines = [self.title, f"  page     {self.page}", f"  licence  {self.licence}{use}", f"           {self.licence_page}"]
        return "\n".join([*lines, f"  download {self.address} ({size})" if self.address else f"  by hand  {self.steps}"])


def read_catalog(path: Path = CATALOG) -> dict[str, MotionSet]:
    """The catalogue's sets by name. Raises `InputError` for a file that is none."""
    try:
        table = tomllib.loads(path.read_text())
        return {name: MotionSet(name=name, **entry) for name, entry in table.items()}
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise InputError(f"{path}: not a readable catalogue of motion sets ({error})") from error


def fetch(
    name: str,
    folder: str | Path,
    *,
    accept_licence: bool = False,
    say: Callable[[str], None] = print,
    catalog: dict[str, MotionSet] | None = None,
) -> Path:
    """Download a set into `folder` and return the file; what is already there, whole and right, is not fetched again.

    The licence is shown first. A download that was cut off goes on where it stopped. Raises `InputError` for an unknown name,
    terms that need `accept_licence`, a set that has to be fetched by hand, whatever the network does, or a wrong checksum.
    """
    catalog = read_catalog() if catalog is None else catalog
    if name not in catalog:
        raise unknown_name("motion set", name, catalog)
    chosen = catalog[name]
    say(chosen.describe())
    if not chosen.address:
        raise InputError(f"{name} cannot be fetched by a program: {chosen.steps} ({chosen.page})")
    if not chosen.commercial and not accept_licence:
        raise InputError(f"{name} is not free for every use ({chosen.licence}): read its terms, then say --accept-licence")
    folder = Path(folder)
    target = folder / chosen.file
    partial = target.with_name(target.name + PARTIAL)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _download(chosen, partial, say)
            _check(chosen, partial, say)
            partial.replace(target)
        else:
            say(f"{target} is already there")
            _check(chosen, target, say)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{name}: {chosen.address} could not be fetched ({reason}). Are you online? Try again to go on"
        ) from error
    except OSError as error:
        raise InputError(f"{name}: cannot write in {folder} ({error.strerror or error})") from error
    return target


def _download(chosen: MotionSet, partial: Path, say: Callable[[str], None]) -> None:
    """Fetch into `partial`, going on after what it holds where the server can."""
    have = partial.stat().st_size if partial.exists() else 0
    if chosen.size_bytes and have >= chosen.size_bytes:
        have = 0 if have > chosen.size_bytes else have
        if have:
            return
    request = urllib.request.Request(chosen.address, headers={"User-Agent": "mimic-mjx", **_from(have)})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: there is nothing after what we have
            raise
        say("nothing was left to fetch")
        return
    with answer:
        goes_on = answer.status == 206
        if have and goes_on:
            say(f"going on after {have / 1e6:,.0f} MB")
        done = have if goes_on else 0
        rest = answer.headers.get("Content-Length")
        total = done + int(rest) if rest and rest.isdigit() else None
        told = done
        with partial.open("ab" if goes_on else "wb") as out:
            while block := answer.read(CHUNK_BYTES):
                out.write(block)
                done += len(block)
                if done - told >= SAY_EVERY_BYTES:
                    told = done
                    say(f"{done / 1e6:,.0f} MB" + (f" of {total / 1e6:,.0f}" if total else ""))
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _from(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-"} if have else {}


def _check(chosen: MotionSet, path: Path, say: Callable[[str], None]) -> None:
    """Raise `InputError` for a file of another size or checksum, and put it out of the way; say where neither is known."""
    size = path.stat().st_size
    wrong = f"{size:,} bytes, expected {chosen.size_bytes:,}" if chosen.size_bytes not in (None, size) else ""
    if chosen.checksum is None:
        say(f"{chosen.name}: its checksum is unknown, so the file was not checked beyond its size ({size:,} bytes)")
    elif not wrong:
        algorithm, expected = chosen.checksum
        with path.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
        wrong = f"{algorithm} {found}, expected {expected}" if found != expected else ""
    if wrong:
        aside = path.with_name(path.name + ".wrong")
        path.replace(aside)
        raise InputError(f"{chosen.name}: the file is not what the catalogue describes ({wrong}); it was put aside as {aside}")
    say(f"{chosen.name}: {size:,} bytes, {'checked' if chosen.checksum else 'complete'}")
