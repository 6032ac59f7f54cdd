"""What the reader has solved: noted in one file, whole or not at all, and nowhere else."""

import json
import os
from datetime import date

import pytest

from course_utils import exercises
from course_utils.exercises import record

TODAY = date.today().isoformat()


def right(theta, adapted, outer_lr):
    return theta + outer_lr * (adapted.mean(0) - theta)


def wrong(theta, adapted, outer_lr):
    return theta


def stub(*arguments):
    raise NotImplementedError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A reader's empty folder, in which the kernel runs."""
    monkeypatch.chdir(tmp_path)
    exercises._told.clear()
    return tmp_path


def noted(folder):
    return json.loads((folder / record.FILE).read_text(encoding="utf8"))


def row(name):
    return next(row for row in exercises.progress().rows if row.name == name)


def test_a_check_is_noted(folder):
    exercises.check("3a.3", wrong)
    assert noted(folder) == {"3a.3": {"checks": 1}}
    assert (row("3a.3").mark, row("3a.3").told) == ("✗", "1 check, not yet solved")
    exercises.check("3a.3", right)
    exercises.check("3a.3", wrong)  # trying on does not undo it
    exercises.check("3a.3", right)
    assert noted(folder) == {"3a.3": {"checks": 2, "solved": TODAY}}
    assert (row("3a.3").mark, row("3a.3").told) == ("✓", f"solved {TODAY}, 2 checks")
    assert [p.name for p in folder.iterdir()] == [record.FILE]


def test_a_stub_and_a_verdict_are_not(folder):
    exercises.check("3a.3", stub)
    exercises.verdict("3a.3", right)
    assert list(folder.iterdir()) == []


def test_the_solutions_are_not_the_readers(folder, monkeypatch):
    exercises.check("3a.3", right)
    (folder / "solutions").mkdir()
    monkeypatch.chdir(folder / "solutions")
    exercises.check("3a.1", lambda theta, x, y, lr: theta)
    assert noted(folder) == {"3a.3": {"checks": 1, "solved": TODAY}}
    assert row("3a.3").solved == TODAY  # though it can be looked at from there
    assert list((folder / "solutions").iterdir()) == []


def test_the_table_shows_every_exercise():
    exercises.check("3a.3", right)
    shown = exercises.progress()
    rows = shown.rows
    assert len(rows) > 25 and list(shown.chapters) == sorted(shown.chapters)
    text, page = repr(shown), shown._repr_html_()
    assert text.startswith(f"1 of {len(rows)} solved") and "03a  1 of 3 solved" in text
    assert "  ✓ 3a.3  Reptile's outer step" in text
    assert page.count("<tr>") == len(rows) and page.count("✓") == 1
    for said in (text, page):
        assert ".progress.json" in said and "delete this file" in said and "Quizzes" in said
        assert all(r.name in said for r in rows)


@pytest.mark.parametrize("broken", [
    "", "{", "[]", '{"3a.3": 1}', '{"3a.3": {"solved": "2026-11-24"}}',
    '{"3a.3": {"checks": "two"}}', '{"3a.3": {"checks": 1, "solved": "soon"}}', "\udcff",
])  # fmt: skip
def test_a_broken_file_is_kept(broken, folder, capsys):
    (folder / record.FILE).write_bytes(broken.encode("utf8", "surrogateescape"))
    shown = exercises.progress()
    assert ".progress.json is not as this course writes it" in repr(shown)
    assert "is not as this course writes it" in shown._repr_html_()
    assert (folder / record.FILE).exists()  # looking changes nothing
    exercises.check("3a.3", right)
    assert "kept as .progress.broken-1.json, and a new one was begun" in capsys.readouterr().out
    kept = (folder / ".progress.broken-1.json").read_bytes()
    assert kept == broken.encode("utf8", "surrogateescape")
    assert noted(folder) == {"3a.3": {"checks": 1, "solved": TODAY}}


def test_a_second_broken_file_does_not_replace_the_first(folder):
    for text in ("first", "second"):
        (folder / record.FILE).write_text(text)
        exercises.check("3a.3", right)
    kept = [(folder / f".progress.broken-{n}.json").read_text() for n in (1, 2)]
    assert kept == ["first", "second"]


def test_names_of_another_version_are_kept(folder):
    (folder / record.FILE).write_text('{"9z.1": {"checks": 4, "more": true}}')
    exercises.check("3a.3", right)
    assert noted(folder)["9z.1"] == {"checks": 4, "more": True}
    assert "9z.1" not in repr(exercises.progress())


def test_where_nothing_can_be_written_checks_work_and_say_so_once(folder, monkeypatch, capsys):
    def refuse(*arguments, **named):
        raise PermissionError(13, "Permission denied", "secret/path")

    monkeypatch.setattr(record.tempfile, "mkstemp", refuse)
    exercises.check("3a.3", right)
    said = capsys.readouterr().out
    assert "✓ Right" in said
    assert (
        "(Progress is not noted, since .progress.json can't be written: Permission denied.)" in said
    )
    exercises.check("3a.3", right)
    assert "not noted" not in capsys.readouterr().out
    assert "0 of" in repr(exercises.progress())


def test_where_the_folder_is_gone_checks_work(folder, monkeypatch, capsys):
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    exercises.check("3a.3", right)
    assert "✓ Right" in capsys.readouterr().out
    assert "0 of" in repr(exercises.progress())


def test_a_write_cut_short_leaves_what_was_there(folder, monkeypatch):
    exercises.check("3a.3", right)
    before = noted(folder)
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError(28, "no space")))
    exercises.check("3a.1", wrong)
    assert noted(folder) == before and len(list(folder.iterdir())) == 1
