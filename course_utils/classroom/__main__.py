"""`python -m course_utils.classroom student OUT/`, or `nbgrader OUT/`: see TEACHING.md."""

import argparse
from pathlib import Path

from course_utils.classroom import assignments, student


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.classroom", description="The course for a class."
    )
    editions = parser.add_subparsers(required=True, metavar="EDITION")
    for name, write, text in (
        ("student", student.write, "the chapters without solutions and outputs, to hand out"),
        ("nbgrader", assignments.write, "an assignment for each chapter, to grade with nbgrader"),
    ):
        edition = editions.add_parser(name, help=text, description=text.capitalize() + ".")
        edition.add_argument("out", metavar="OUT", type=Path, help="a folder, new or empty")
        edition.set_defaults(write=write)
    chosen = parser.parse_args()
    try:
        print(chosen.write(chosen.out))
    except OSError as error:
        raise SystemExit(str(error)) from None


main()
