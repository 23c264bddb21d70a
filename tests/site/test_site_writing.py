"""A site is written whole or not at all, and equal boards make equal files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from site_boards import board, entries, made

from hepchallenge.board import export
from hepchallenge.board.site import Extras, export_site, figures, write
from hepchallenge.board.site.cells import Column, cell_text
from hepchallenge.board.site.model import site_board
from hepchallenge.exceptions import StoreError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_board_is_written_twice_with_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_site([board(*entries(5))], tmp_path / name)
    files = [sorted(p for p in (tmp_path / name).rglob("*") if p.is_file()) for name in ("one", "two")]
    assert [p.name for p in files[0]] == [p.name for p in files[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True))


def test_a_new_site_takes_the_place_of_an_old_one_and_leaves_other_files(tmp_path: Path) -> None:
    (tmp_path / "site-0123456789abcdef").mkdir()
    (tmp_path / "site-0123456789abcdef" / "theirs.txt").touch()
    (tmp_path / "notes.txt").touch()
    export_site([board(*entries(3))], tmp_path)
    first = names(tmp_path)
    export_site([board(*entries(4))], tmp_path)
    second = names(tmp_path)
    assert len(first) == len(second) == 4
    assert first != second
    assert {"site-0123456789abcdef", "notes.txt", "index.html"} <= set(second)
    (folder,) = set(second) - {"site-0123456789abcdef", "notes.txt", "index.html"}
    linked = re.findall(r'(?:src|href)="(site-[^"/]+)/([^"]+)"', (tmp_path / "index.html").read_text())
    assert {name for name, _ in linked} == {folder}
    assert all((tmp_path / folder / file).is_file() for _, file in linked)


def test_a_site_that_fails_leaves_the_old_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_site([board(*entries(3))], tmp_path)
    before = sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_is_whole", fails)
    with pytest.raises(StoreError, match="No space left"):
        export_site([board(*entries(4))], tmp_path)
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before


def test_a_damaged_site_is_mended(tmp_path: Path) -> None:
    export_site([board(*entries(3))], tmp_path)
    (style,) = tmp_path.glob("site-*/board.css")
    good = style.read_bytes()
    style.write_text("broken")
    export_site([board(*entries(3))], tmp_path)
    assert style.read_bytes() == good


def test_somebody_elses_page_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<h1>My own page</h1>")
    with pytest.raises(UsageError, match="found another page"):
        export_site([board(*entries(3))], tmp_path)
    assert names(tmp_path) == ["index.html"]


def test_a_site_without_the_plotting_libraries_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    page = export_site([board(*entries(3))], tmp_path).read_text()
    assert "No figures: matplotlib and mplhep were missing" in page
    assert not list(tmp_path.rglob("*.svg"))


def test_tables_that_are_written_with_a_site_are_linked(tmp_path: Path) -> None:
    written = export(board(*entries(3)), tmp_path, ["csv", "html"])
    assert [path.name for path in written] == ["small-public-toy.csv", "index.html"]
    assert 'href="./small-public-toy.csv"' in written[1].read_text()


def test_pictures_of_a_submission_are_copied(tmp_path: Path) -> None:
    picture = tmp_path / "roc_curve.svg"
    picture.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "notes.txt").touch()
    extras = Extras(pictures=lambda entry: [picture, tmp_path / "notes.txt"] if entry == one else [])
    one = made(1)
    export_site([board(one, made(2))], tmp_path / "out", extras)
    (copied,) = (tmp_path / "out").glob("site-*/pictures/*")
    assert copied.read_bytes() == picture.read_bytes()


def test_toy_data_are_marked_on_the_page_and_every_figure_and_real_data_are_not(tmp_path: Path) -> None:
    toy = board(*entries(3))
    real = replace(toy, data=replace(toy.data, kind="real"))
    assert "Toy data: simulated" in export_site([toy], tmp_path / "toy").read_text()
    assert "oy data" not in export_site([real], tmp_path / "real").read_text()
    drawn = list(tmp_path.glob("toy/site-*/figures/*.svg"))
    assert {path.name for path in drawn} == {"public-time.svg", "public-cpu.svg"}
    assert all("Score over time" in p.read_text() for p in drawn if "time" in p.name)


def test_cells_say_what_they_hold() -> None:
    score = Column(key="s", label="s", kind="score", digits=2, pad=9)
    assert cell_text(score, [0.125]) == "0.12" + "\u2007" * 9
    assert cell_text(score, [-1.5, 0.25]) == "−1.50 ± 0.250\u2007"
    assert cell_text(score, None) == ""
    assert cell_text(Column(key="r", label="r", kind="rank"), None) == "–"
    assert cell_text(Column(key="r", label="r", kind="range"), [2, 2]) == "2"
    assert cell_text(Column(key="c", label="c", kind="count"), 1234567) == "1\u202f234\u202f567"
    assert cell_text(Column(key="m", label="m", kind="move"), -3) == "▼ 3"


def test_who_is_tied_with_nobody_is_not_called_tied() -> None:
    plain = board(made(1), made(2), made(3))
    rows = tuple(replace(row, tie=tie) for row, tie in zip(plain.rows, (1, 1, 2), strict=True))
    site = site_board(replace(plain, rows=rows))
    at = [column.key for column in site.columns].index("tie")
    assert [cells[at] for _, cells in site.rows] == [1, 1, None]


def test_two_boards_of_one_part_make_no_site(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="different parts"):
        export_site([board(made(1)), board(made(2))], tmp_path / "out")
