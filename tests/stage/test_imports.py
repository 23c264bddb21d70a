"""What submissions import is guessed from their text, which may be made to hurt whoever reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hepchallenge.stage.imports import warm_modules


def found(folder: Path, text: str | bytes) -> list[str]:
    (folder / "classifier.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    return warm_modules([folder])


def test_libraries_are_found_however_they_are_imported(tmp_path: Path) -> None:
    text = "import numpy as np, os , xgboost\n\nfrom sklearn.ensemble import (\n  A)\n"
    text += "if True:\n\timport torch.nn\n"
    assert found(tmp_path, text) == ["numpy", "sklearn.ensemble", "torch.nn", "xgboost"]


def test_nothing_but_what_models_use_of_well_known_libraries_is_imported(tmp_path: Path) -> None:
    lines = (
        "os",
        "ensurepip.__main__",
        "numpy.f2py.__main__",
        "numpy.conftest",
        "pandas.tests.arrays",
        ".numpy",
    )
    text = "".join(f"import {name}\n" for name in lines) + "from . import numpy\nfrom .scipy import x\n"
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    "unit", ["import a" + ".a" * 300_000, 'f"' + "{x}" * 300_000 + '"', "(" * 10**6, "\0\xff"]
)
def test_texts_that_keep_a_parser_busy_are_of_no_consequence(tmp_path: Path, unit: str) -> None:
    assert found(tmp_path, "import scipy\n" + unit) == ["scipy"]


def test_pipes_links_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "elsewhere.txt").write_text("import numpy")
    (tmp_path / "link.py").symlink_to(tmp_path / "elsewhere.txt")
    (tmp_path / "device.py").symlink_to("/dev/zero")
    (tmp_path / "folder.py").mkdir()
    assert warm_modules([tmp_path, tmp_path / "gone"]) == []


def test_a_choice_is_made_of_very_many_imports(tmp_path: Path) -> None:
    assert len(found(tmp_path, "".join(f"import numpy.a{n}\n" for n in range(1000)))) == 64
