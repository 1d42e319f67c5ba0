"""A tempest plug-in: what Abaca does beyond what manila-tempest-plugin tests. It runs where tempest
stands, and knows Abaca by its API only."""
