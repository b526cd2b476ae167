"""Bad files of every kind through the one entry point: always an `InputError` that names the file."""

import numpy as np
import pytest
from stick import stick_body, stick_walk

from motions.errors import InputError
from motions.formats import FORMATS, read_motion_file, write_csv, write_wbt
from motions.motion import save_motion

SUFFIXES = tuple(FORMATS)


@pytest.fixture(scope="module")
def stick():
    return stick_body()


def read(path, stick):
    return read_motion_file(path, robot=stick, quat_order="wxyz")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"\n \n\n", "blank lines|not a "),
        (b"\x00\x01\x02\x03" * 50, "binary|not a |not JSON"),
        (b"\xff\xfe garbage \xf0 garbage\n" * 20, "."),
        (b"the quick brown fox\n" * 20, "."),
        (b"1 2 3\n4 5 6\n", "."),
    ],
)
def test_files_that_are_no_motion(tmp_path, stick, suffix, content, message):
    path = tmp_path / f"clip{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"clip{suffix}.*({message})"):
        read(path, stick)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_is_no_file(tmp_path, stick, suffix):
    (tmp_path / f"clip{suffix}").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path / f"clip{suffix}", stick)


@pytest.mark.parametrize("path", ["/dev/null/clip.bvh", "/dev/zero", "x" * 300 + ".bvh"])
def test_paths_that_cannot_be_files(stick, path):
    with pytest.raises(InputError, match=r"no such file|is a device|cannot be read"):
        read(path, stick)


@pytest.mark.parametrize("name", ["clip.xyz", "clip.docx", "clip", "clip.BVHX"])
def test_unknown_suffixes_list_the_known(tmp_path, stick, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=r"\.bvh .*\.amc .*\.csv .*\.npz"):
        read(tmp_path / name, stick)


def test_a_skeleton_alone_is_no_motion(tmp_path, stick):
    (tmp_path / "a.asf").write_text(":root")
    with pytest.raises(InputError, match="no motion; give"):
        read(tmp_path / "a.asf", stick)


@pytest.mark.parametrize("fps", [0.0, -1.0, np.nan, np.inf])
def test_fps_must_be_positive(tmp_path, stick, fps):
    write_csv(stick_walk(), tmp_path / "w.csv")
    with pytest.raises(InputError, match="fps"):
        read_motion_file(tmp_path / "w.csv", robot=stick, fps=fps)
    with pytest.raises(InputError, match="scale"):
        read_motion_file(tmp_path / "w.csv", robot=stick, scale=fps)


def test_short_truncated_and_non_finite_csv(tmp_path, stick):
    path = tmp_path / "w.csv"
    write_csv(stick_walk(), path)
    lines = path.read_text().splitlines()
    for content, message in (
        (lines[:3], "w.csv: motion 'w': 2 frame"),
        ([*lines[:5], lines[5][:40]], r"w.csv, line 6: \d+ values, expected 14 .*truncated"),
        ([*lines[:5], "nan" + lines[5][lines[5].index(",") :], *lines[6:]], "w.csv, line 6: value 1 is nan"),
        ([*lines[:5], "one" + lines[5][lines[5].index(",") :], *lines[6:]], "w.csv, line 6: value 1 is 'one'"),
    ):
        path.write_text("\n".join(content))
        with pytest.raises(InputError, match=message):
            read(path, stick)


@pytest.mark.parametrize("kind", ["ours", "wbt"])
def test_any_damage_to_an_npz_is_an_input_error_or_harmless(tmp_path, stick, kind):
    path = tmp_path / "w.npz"
    if kind == "ours":
        save_motion(stick_walk(), path)
    else:
        write_wbt(stick_walk(), stick, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(1, len(whole), size=30):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"w\.npz"):
            read(path, stick)
    for place in rng.integers(0, len(whole), size=150):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            read(path, stick)
        except InputError:
            continue


@pytest.mark.parametrize("suffix", [".bvh", ".csv", ".txt", ".xml"])
def test_a_text_of_gigabytes_is_refused_before_it_is_read(tmp_path, stick, suffix):
    path = tmp_path / f"clip{suffix}"
    with path.open("wb") as file:  # sparse: takes no room
        file.truncate(3 << 30)
    with pytest.raises(InputError, match=r"3\.0 GiB, text is read up to 1 GiB"):
        read(path, stick)
