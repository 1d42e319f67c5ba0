"""Commands of the `openstack` command for what Abaca has beside Manila.

They are beside those of python-manilaclient and use its client, so clouds.yaml, authentication
and the endpoint are what they are for `openstack share list`. python-openstackclient finds them by
the entry points of this package; nothing else of Abaca is imported here, and nothing of Abaca
imports this.
"""
