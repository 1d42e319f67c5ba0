"""pytest keeps out of the plug-in: its tests are tempest's to run."""

collect_ignore_glob = ["plugin/*"]
