"""What all of the domain needs of rows: statuses and what may follow, messages to projects, pages
of lists, limits, locks, liveness."""
