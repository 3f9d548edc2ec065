"""`bequest list` and `bequest show`."""

from __future__ import annotations

import json

from command_line import Shell

from bequest import catalog, declaration


def test_list_has_every_method_once(shell: Shell) -> None:
    answer = shell("list")
    first = [line.split(" ")[0] for line in answer.out.splitlines() if line]
    for entry in catalog.methods().values():
        assert first.count(entry.id) == 1
    assert "CVPR 2024" in answer.out


def test_list_for_machines(shell: Shell) -> None:
    rows = json.loads(shell("list", "--json").out)
    assert [row["id"] for row in rows] == list(catalog.methods())
    assert rows[0]["paper"]["year"] == catalog.find(rows[0]["id"]).paper.year


def test_list_of_one_family(shell: Shell, fakes: None) -> None:
    everything = json.loads(shell("list", "--json").out)
    chosen = json.loads(shell("list", "--json", "--family", "data_free").out)
    assert chosen == [row for row in everything if row["family"] == "data_free"]
    assert len(chosen) < len(everything)
    refused = shell("list", "--family", "data-free")
    assert refused.status == 64
    assert "Did you mean data_free" in refused.err


def test_show_tells_paper_fields_and_claims(shell: Shell) -> None:
    answer = shell("show", "ssd-kd")
    assert "Small Scale Data-Free Knowledge Distillation" in answer.out
    assert "--buffer-size" in answer.out
    assert "beats-uniform-replay" in answer.out
    assert "bequest.methods.data_free.ssd_kd" in answer.out


def test_show_for_machines(shell: Shell) -> None:
    shown = json.loads(shell("show", "ssd-kd", "--json").out)
    entry = catalog.find("ssd-kd")
    assert [one["name"] for one in shown["fields"]] == [f.name for f in declaration.fields(entry)]
    assert {one["name"]: one["default"] for one in shown["fields"]}["gamma"] == 2.0
    assert "beats-noise" in [claim["id"] for claim in shown["claims"]]
    assert shown["description"] == declaration.docstring(entry)
