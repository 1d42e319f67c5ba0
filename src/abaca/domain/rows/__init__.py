"""What all of the domain uses: statuses and transitions, messages to projects, pages of lists,
limits, locks, heartbeats."""
