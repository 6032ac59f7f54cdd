"""nbgrader's settings for a whole server: copy to /etc/jupyter/ (README.md, "Homework")."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "meta-learning"
c.Exchange.root = "/srv/nbgrader/exchange"  # learners may write there, and read what is theirs
