"""The report: findings and tables as a page, as Markdown and as lines of a terminal."""
