"""manila-tempest-plugin, and a plug-in of ours beside it, against a running Abaca with a real
Keystone. `python -m tests.tempest` runs them."""
