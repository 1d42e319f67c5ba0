"""Shares in CephFS: one subvolume each, with a quota, and a user of Ceph who may use that alone."""
