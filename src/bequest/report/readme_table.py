"""The README's table of methods, generated from the catalogue and the measured claims.

`python -m bequest.report.readme_table README.md results` puts it between the README's marks.
Importing this imports no torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bequest.catalog import Entry, methods
from bequest.claims.results import ClaimVerdict, Report, read_results
from bequest.errors import InputError
from bequest.report.markdown import table as markdown_table

BEGIN, END = "<!-- methods -->", "<!-- /methods -->"
_HEAD = ("Method", "Published", "Claim", "Size", "Verdict", "Difference, 95 % interval", "Seeds")


def read_folder(folder: Path | str) -> list[Report]:
    """What `bequest claim --folder` wrote there, by file name; an absent folder holds nothing.

    Raises:
        InputError: For a file `*.json` that is no such result.
    """
    return [read_results(path) for path in sorted(Path(folder).glob("*.json"))]


def table(results_folder: Path | str) -> str:
    """One row a measured claim, in the catalogue's order; a method without one has one row.

    Methods of plug-ins are left out: the table must not depend on what else is installed.

    Raises:
        InputError: For a result of a method that is not in the catalogue, or that is no result.
    """
    reports = read_folder(results_folder)
    entries = [entry for entry in methods().values() if entry.method.startswith("bequest.")]
    strangers = {report.study for report in reports} - {entry.id for entry in entries}
    if strangers:
        raise InputError(f"{results_folder} has results of {sorted(strangers)}: no such method.")
    rows: list[tuple[str, ...]] = []
    for entry in entries:
        measured = [
            (claim.sentence, report.size, f"**{claim.verdict}**", figures(claim), str(claim.pairs))
            for report in reports
            if report.study == entry.id
            for claim in report.claims
        ] or [("not measured yet", "", "", "", "")]
        name = _name(entry)
        for row in measured:
            rows.append((*name, *row))
            name = ("", "")
    return markdown_table(_HEAD, rows)


def figures(claim: ClaimVerdict) -> str:
    """A measured difference with its interval, as people read it: `+2.1 [+0.4, +3.9]`."""
    if claim.difference is None:
        return "no pair of runs ended"
    if claim.interval is None:
        return f"{claim.difference:+.1f}"
    low, high = claim.interval
    return f"{claim.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def insert(readme: str, results_folder: Path | str) -> str:
    """The text of a README with the table between its marks.

    Raises:
        InputError: When the marks are not there, each once and in order.
    """
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if readme.count(BEGIN) != 1 or rest.count(END) != 1 or END in before:
        raise InputError(f"The README needs the marks {BEGIN} and {END}, each once, in order.")
    return f"{before}{BEGIN}\n{table(results_folder)}{END}{after}"


def main(arguments: list[str]) -> None:
    """Rewrites the README that is named first from the folder of results that is named second."""
    readme, results_folder = Path(arguments[0]), arguments[1]
    text = insert(readme.read_text(encoding="utf-8"), results_folder)
    readme.write_text(text, encoding="utf-8")


def _name(entry: Entry) -> tuple[str, str]:
    """A link to the source, and a link to the paper."""
    source = f"src/{entry.method.split(':')[0].replace('.', '/')}.py"
    if entry.paper is None:
        published = "a control"
    else:
        published = f"{entry.paper.venue} {entry.paper.year}"
        if entry.paper.arxiv:
            published = f"[{published}](https://arxiv.org/abs/{entry.paper.arxiv})"
    return f"[{entry.name}]({source})", published


if __name__ == "__main__":
    main(sys.argv[1:])
