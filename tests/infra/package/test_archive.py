"""A zip is its names and contents and nothing else, and any reader of zips reads it."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.package.archive import Archiver, unpack

NAMES = st.from_regex(r"[a-zé][a-z0-9_é]{0,8}(/[a-z][a-z0-9_.]{0,8}){0,3}", fullmatch=True)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=12))
def test_every_reader_finds_what_was_put_in(contents: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        sources = {}
        for number, (name, content) in enumerate(contents.items()):
            sources[name] = Path(scratch) / str(number)
            sources[name].write_bytes(content)
        path = Path(scratch) / "made.zip"
        Archiver().write(path, sources)
        with zipfile.ZipFile(path) as made:
            assert made.testzip() is None
            assert made.namelist() == sorted(contents)
            assert {name: made.read(name) for name in made.namelist()} == contents


def test_neither_order_nor_times_nor_modes_of_the_sources_show(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, mode, time in ((first, 0o600, 1_000_000_000), (second, 0o755, 1_700_000_000)):
        folder.mkdir()
        for name in ("a.py", "b.txt"):
            (folder / name).write_text(f"content of {name}\n" * 100)
            (folder / name).chmod(mode)
            os.utime(folder / name, (time, time))
    digests = {
        Archiver().write(tmp_path / "1.zip", {"x/a.py": first / "a.py", "x/b.txt": first / "b.txt"}),
        Archiver().write(tmp_path / "2.zip", {"x/b.txt": second / "b.txt", "x/a.py": second / "a.py"}),
    }
    assert len(digests) == 1
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_what_shares_an_archiver_is_the_same_as_what_does_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    shared = Archiver()
    shared.write(tmp_path / "0.zip", {"other": source})
    assert shared.write(tmp_path / "1.zip", {"a": source}) == Archiver().write(tmp_path / "2.zip", {"a": source})


def test_everybody_may_read_what_is_unpacked_and_libraries_run(tmp_path: Path) -> None:
    sources = {}
    for name in ("module.py", "native.cpython-313-x86_64-linux-gnu.so", "libpq.so.5.18"):
        sources[name] = tmp_path / name
        sources[name].write_bytes(name.encode())
        sources[name].chmod(0o600)
    Archiver().write(tmp_path / "made.zip", sources)
    unpack(tmp_path / "made.zip", tmp_path / "folder")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "folder").iterdir()}
    assert modes == {
        "module.py": 0o644,
        "native.cpython-313-x86_64-linux-gnu.so": 0o755,
        "libpq.so.5.18": 0o755,
    }
