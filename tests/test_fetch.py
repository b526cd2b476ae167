"""Fetching from a server on this machine: licence, resuming, checksums, and every way in which it can fail."""

import hashlib
import http.server
import re
import threading
from dataclasses import replace

import pytest

from motions.errors import InputError
from motions.fetch import MotionSet, fetch, read_catalog

CONTENT = bytes(range(256)) * 3000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, in parts where asked; /plain knows no parts; /cut ends too early; /slow never comes."""

    asked: list[str]  # what ranges were asked for

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        type(self).asked.append(asked)
        if self.path not in ("/set", "/plain", "/cut"):
            self.send_error(404)
            return
        start = int(re.sub(r"\D", "", asked)) if asked and self.path != "/plain" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        body = CONTENT[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1000] if self.path == "/cut" else body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server():
    handler = type("Fresh", (Handler,), {"asked": []})
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served, f"http://127.0.0.1:{served.server_port}", handler.asked
    served.shutdown()
    served.server_close()


def a_set(address: str, **changes) -> dict[str, MotionSet]:
    digest = hashlib.sha256(CONTENT).hexdigest()
    plain = MotionSet("walks", "Walks", "a page", "CC BY 4.0", "terms", True, address, "walks.zip", "", len(CONTENT), digest)
    return {"walks": replace(plain, **changes)}


def test_a_set_is_fetched_checked_and_not_fetched_twice(server, tmp_path):
    _, base, asked = server
    said: list[str] = []
    for _ in range(2):
        path = fetch("walks", tmp_path / "new", say=said.append, catalog=a_set(f"{base}/set"))
    assert path.read_bytes() == CONTENT
    assert len(asked) == 1
    assert "CC BY 4.0" in said[0]
    assert any("already there" in line for line in said)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["walks.zip"]


@pytest.mark.parametrize(("place", "ranges"), [("set", ["bytes=5000-"]), ("plain", ["bytes=5000-"])])
def test_a_download_goes_on_where_it_stopped(server, tmp_path, place, ranges):
    _, base, asked = server
    (tmp_path / "walks.zip.partial").write_bytes(CONTENT[:5000])
    path = fetch("walks", tmp_path, say=lambda text: None, catalog=a_set(f"{base}/{place}"))
    assert path.read_bytes() == CONTENT
    assert asked == ranges


def test_a_whole_partial_file_is_taken(server, tmp_path):
    _, base, _ = server
    (tmp_path / "walks.zip.partial").write_bytes(CONTENT)
    path = fetch("walks", tmp_path, say=lambda text: None, catalog=a_set(f"{base}/set", size_bytes=None))
    assert path.read_bytes() == CONTENT


def test_a_cut_connection_is_an_input_error_and_can_be_resumed(server, tmp_path):
    _, base, _ = server
    with pytest.raises(InputError, match=r"walks: .*could not be fetched .*Try again to go on"):
        fetch("walks", tmp_path, say=lambda text: None, catalog=a_set(f"{base}/cut"))
    assert 0 < (tmp_path / "walks.zip.partial").stat().st_size < len(CONTENT)
    assert fetch("walks", tmp_path, say=lambda text: None, catalog=a_set(f"{base}/set")).read_bytes() == CONTENT


def test_non_commercial_terms_must_be_accepted(server, tmp_path):
    _, base, asked = server
    catalog = a_set(f"{base}/set", commercial=False, licence="CC BY-NC 4.0")
    said: list[str] = []
    with pytest.raises(InputError, match=r"CC BY-NC 4.0.*--accept-licence"):
        fetch("walks", tmp_path, say=said.append, catalog=catalog)
    assert asked == []
    assert "NOT for commercial use" in said[0]
    assert fetch("walks", tmp_path, accept_licence=True, say=said.append, catalog=catalog).exists()


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"sha256": "", "md5": "0" * 32}, {"size_bytes": 7}])
def test_a_wrong_file_is_refused_and_put_aside(server, tmp_path, changes):
    _, base, _ = server
    with pytest.raises(InputError, match="not what the catalogue describes"):
        fetch("walks", tmp_path, say=lambda text: None, catalog=a_set(f"{base}/set", **changes))
    assert [p.name for p in tmp_path.iterdir()] == ["walks.zip.partial.wrong"]


def test_an_unknown_checksum_is_said(server, tmp_path):
    _, base, _ = server
    said: list[str] = []
    fetch("walks", tmp_path, say=said.append, catalog=a_set(f"{base}/set", sha256="", size_bytes=None))
    assert any("checksum is unknown" in line for line in said)


def test_network_and_disk_errors_are_input_errors(server, tmp_path):
    served, base, _ = server
    with pytest.raises(InputError, match=r"/lost could not be fetched \(Not Found\)"):
        fetch("walks", tmp_path, say=lambda text: None, catalog=a_set(f"{base}/lost"))
    with pytest.raises(InputError, match="could not be fetched"):
        fetch("walks", tmp_path, say=lambda text: None, catalog=a_set("http://127.0.0.1:9/nobody"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write in"):
        fetch("walks", tmp_path / "file", say=lambda text: None, catalog=a_set(f"{base}/set"))
    del served


def test_sets_by_hand_and_unknown_names():
    with pytest.raises(InputError, match=r"amass cannot be fetched by a program: register"):
        fetch("amass", "anywhere", say=lambda text: None)
    with pytest.raises(InputError, match=r"unknown motion set 'lafan'. Did you mean 'lafan1'"):
        fetch("lafan", "anywhere", say=lambda text: None)


def test_the_catalogue_is_well_formed(tmp_path):
    catalog = read_catalog()
    assert {"lafan1", "lafan1-retargeted", "amass", "cmu", "100style", "bandai-namco", "mixamo", "phuma"} <= set(catalog)
    for entry in catalog.values():
        assert entry.licence
        assert bool(entry.address) == bool(entry.file)
        assert bool(entry.address) != bool(entry.steps)
        assert len(entry.sha256) in (0, 64)
        assert len(entry.md5) in (0, 32)
    (tmp_path / "c.toml").write_text("[x]\nnothing = 1\n")
    with pytest.raises(InputError, match=r"c\.toml: not a readable catalogue"):
        read_catalog(tmp_path / "c.toml")
