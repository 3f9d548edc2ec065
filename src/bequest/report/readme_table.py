"""The README's table of methods, generated from the catalogue and the measured claims.

`python -m bequest.report.readme_table README.md results` puts it between the README's marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bequest.catalog import Entry, methods
from bequest.errors import InputError
from bequest.report.markdown import table as markdown_table
from bequest.report.verdicts import Measured, read_verdicts

BEGIN, END = "<!-- methods -->", "<!-- /methods -->"
_HEAD = ("Method", "Published", "Claim", "Size", "Verdict", "Difference [95 % interval]", "Seeds")
_BUILT_IN = "bequest."


def table(results_folder: Path | str) -> str:
    """One row a measured claim, in the catalogue's order; a method without one has one row.

    Methods of plug-ins are left out: the table must not depend on what else is installed.

    Raises:
        InputError: For a result of a method that is not in the catalogue, or that is no result.
    """
    measured: dict[str, list[Measured]] = {}
    for verdict in read_verdicts(results_folder):
        measured.setdefault(verdict.study, []).append(verdict)
    entries = [e for e in methods().values() if e.method.startswith(_BUILT_IN)]
    strangers = measured.keys() - {entry.id for entry in entries}
    if strangers:
        raise InputError(f"{results_folder} has results of {sorted(strangers)}: no such method.")
    rows = [row for entry in entries for row in _rows(entry, measured.get(entry.id, []))]
    return markdown_table(_HEAD, rows)


def insert(readme: str, results_folder: Path | str) -> str:
    """The text of a README with the table between its marks.

    Raises:
        InputError: When the marks are not there, each once and in order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after or END in before:
        raise InputError(f"The README needs the marks {BEGIN} and {END}, each once.")
    return f"{before}{BEGIN}\n{table(results_folder)}{END}{after}"


def main(arguments: list[str]) -> None:
    """Rewrites the README that is named first from the folder of results that is named second."""
    readme, results_folder = Path(arguments[0]), arguments[1]
    text = insert(readme.read_text(encoding="utf-8"), results_folder)
    readme.write_text(text, encoding="utf-8")


def _rows(entry: Entry, measured: list[Measured]) -> list[tuple[object, ...]]:
    source = f"src/{entry.method.split(':')[0].replace('.', '/')}.py"
    published = f"{entry.paper.venue} {entry.paper.year}" if entry.paper else "a control"
    if entry.paper and entry.paper.arxiv:
        published = f"[{published}](https://arxiv.org/abs/{entry.paper.arxiv})"
    first: tuple[object, ...] = (f"[{entry.name}]({source})", published)
    if not measured:
        return [(*first, "not measured yet", "", "", "", "")]
    return [
        (
            *(("", "") if index else first),
            m.sentence,
            m.size,
            f"**{m.verdict}**",
            m.figures,
            m.seeds,
        )
        for index, m in enumerate(measured)
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
