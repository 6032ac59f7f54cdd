"""A source tree for nbgrader: an assignment for each chapter that has exercises.

Each holds the chapter's exercises and nothing else, so grading takes seconds. A stub's `raise
NotImplementedError` becomes a region that nbgrader cuts out of the students' copy and that holds
the solution meanwhile; below it stands a cell that grades, one point for each exercise.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_utils.classroom.student import chapters, new_folder, read, without_promises

CHECK = re.compile(r"^check\(\"(.+)\", (\w+)\)$", re.M)
OWN_IMPORT = re.compile(r"^from course_utils\.exercises import .*\n?", re.M)
RAISES = re.compile(r"^( *)raise NotImplementedError$", re.M)
REGION = "### BEGIN SOLUTION\n{}\n### END SOLUTION"
CONFIG = """# nbgrader's settings for the assignments in source/; see TEACHING.md in the course.
c = get_config()

c.CourseDirectory.course_id = "meta-learning"
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.ExecutePreprocessor.timeout = 120  # seconds for a cell; a check stops an endless answer after 20
"""
NEXT = """{out} holds {number} assignments. For one of them, in that folder:

    nbgrader generate_assignment {first}    # release/ is what students get
    nbgrader autograde {first}              # after their work lies in submitted/NAME/{first}/
    nbgrader generate_feedback {first}      # feedback/ is what they get back"""


def write(out: Path) -> str:
    """Write nbgrader's source tree to `out`; what to do next.

    Raises FileExistsError if `out` is not empty, FileNotFoundError without the chapters, ValueError
    where a chapter and its solutions don't fit together.
    """
    names = []
    with new_folder(out) as folder:
        (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf8")
        for path in chapters():
            solutions = path.parent / "solutions" / path.name
            if solutions.exists():
                names.append(path.stem)
                target = folder / "source" / path.stem / path.name
                target.parent.mkdir(parents=True)
                nbformat.write(assignment(read(path), read(solutions)), target)
    return NEXT.format(out=out, number=len(names), first=names[0])


def assignment(chapter: NotebookNode, solutions: NotebookNode) -> NotebookNode:
    """The exercises of a chapter, with solutions to cut out and cells that grade."""
    title = re.sub(r"^# ", "# Exercises: ", chapter.cells[0].source.partition("\n")[0])
    first, imports, *_ = (c.source for c in solutions.cells if c.cell_type == "code")
    imports = "\n".join(
        [OWN_IMPORT.sub("", imports).strip(), "from course_utils.exercises import hint"]
    )
    cells = [new_markdown_cell(title), new_code_cell(first), new_code_cell(imports)]
    answers, asked = solved(solutions), list(exercises(chapter))
    numbers = {name: number for _, source in asked for number, name in CHECK.findall(source)}
    for kind, source in asked:
        if kind == "markdown":
            cells.append(new_markdown_cell(source))
        elif check := CHECK.search(source):
            cells.append(graded(*check.groups()))
        elif RAISES.search(source):
            cells.append(answer(source, numbers, answers))
        else:
            cells.append(new_code_cell(source))
    while cells[-1].cell_type == "markdown":  # what to explore goes on from the chapter's own cells
        cells.pop()
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return new_notebook(cells=cells, metadata=chapter.metadata)


def exercises(chapter: NotebookNode) -> Iterator[tuple[str, str]]:
    """Kind and source of what stands between the headings "Exercises" and "Quiz"."""
    inside = False
    for cell in chapter.cells:
        source = cell.source
        if cell.cell_type == "markdown" and "## Exercises\n" in source:
            inside, source = True, source.partition("## Exercises\n")[2]
        if inside:
            source, quiz, _ = source.partition("## Quiz")
            source = without_promises(OWN_IMPORT.sub("", source))
            if source:
                yield cell.cell_type, source
            if quiz:
                return


def solved(solutions: NotebookNode) -> dict[str, str]:
    """By the number of each exercise, the body of its first solution."""
    found = {}
    for cell in solutions.cells:
        if cell.cell_type == "code" and (check := CHECK.search(cell.source)):
            found.setdefault(check[1], body(CHECK.sub("", cell.source), check[2]))
    return found


def body(source: str, name: str) -> str:
    """The body of the function `name` without its docstring, helpers that stand beside it first."""
    lines, parts = source.split("\n"), []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            inner = node.body[1:] if ast.get_docstring(node) else node.body
            start = inner[0].lineno - 1
            while lines[start - 1].lstrip().startswith("#"):
                start -= 1
            last = lines[start : node.end_lineno]
        else:
            parts += lines[node.lineno - 1 : node.end_lineno]
    return "\n".join([*parts, textwrap.dedent("\n".join(last))])


def answer(stub: str, numbers: dict[str, str], answers: dict[str, str]) -> NotebookNode:
    """The cell of a stub, with its solution in a region that nbgrader cuts out.

    `numbers` has the exercise's number by the stub's name, `answers` the solution by the number.
    """
    name = re.search(r"^def (\w+)", stub, re.M)[1]
    if name not in numbers:
        raise ValueError(f"a chapter asks for `{name}` and has no check of it")
    if numbers[name] not in answers:
        raise ValueError(f"the solutions have no check of exercise {numbers[name]}")
    region = REGION.format(answers[numbers[name]])
    source = RAISES.sub(lambda found: textwrap.indent(region, found[1]), stub, count=1)
    return _with_role(new_code_cell(source), f"answer-{name}", solution=True)


def graded(exercise: str, name: str) -> NotebookNode:
    """The cell that grades `name`, the answer to an exercise, with one point."""
    cell = new_code_cell(
        f"from course_utils.classroom import grade\n\ngrade({exercise!r}, {name})".replace("'", '"')
    )
    grade_id = f"grade-{exercise.replace('.', '-')}"
    return _with_role(cell, grade_id, grade=True, locked=True, points=1)


def _with_role(cell: NotebookNode, grade_id: str, **role) -> NotebookNode:
    """The cell with nbgrader's metadata: what it is to nbgrader, by schema 3."""
    plain = {"grade": False, "locked": False, "solution": False, "task": False}
    cell.metadata["nbgrader"] = {"grade_id": grade_id, "schema_version": 3, **plain, **role}
    return cell
