"""Every row of the catalogue passes every check, by being in the catalogue."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bequest import catalog
from bequest.catalog import Entry
from bequest.errors import InputError
from bequest.testing import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("id", list(catalog.methods()))
def test_method(id: str, check: Callable[[Entry, Path], None], tmp_path: Path) -> None:
    check(catalog.find(id), tmp_path)


def test_unknown_methods_get_a_suggestion() -> None:
    with pytest.raises(InputError, match="Did you mean ssd-kd"):
        catalog.find("sdd-kd")


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys; from bequest import catalog, declaration;"
        "[declaration.fields(e) for e in catalog.methods().values()];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("entry", catalog.methods().values(), ids=lambda entry: entry.id)
def test_files_lie_where_the_id_says(entry: Entry) -> None:
    module = entry.id.replace("-", "_")
    for kind, target in (("methods", entry.method), ("studies", entry.study)):
        assert target.split(":")[0] == f"bequest.{kind}.{entry.family}.{module}"
