"""`python -m course_utils`: an environment report; exit status 1 if something needed is missing."""

from course_utils.environment import report

text = report()
print(text)
raise SystemExit(any(line.startswith("DO ") for line in text.splitlines()))
