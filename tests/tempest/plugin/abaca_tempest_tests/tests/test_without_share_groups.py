"""Tests of manila-tempest-plugin whose classes begin by making a share group type, which Abaca does
not have: run here without it."""

from __future__ import annotations

from manila_tempest_tests.tests.api import test_share_type_availability_zones as zones
from manila_tempest_tests.tests.api import (
    test_share_type_availability_zones_negative as negative_zones,
)
from manila_tempest_tests.tests.api.admin import test_quotas as quotas
from manila_tempest_tests.tests.api.admin import test_quotas_negative as negative_quotas


class WithoutShareGroupType:
    """Mixed into a class of tests: those that use the share group type fail by themselves."""

    @classmethod
    def _create_share_group_type(cls, *_args, **_more):
        return {"id": "abaca-has-no-share-group-types"}


class QuotasUpdateTest(WithoutShareGroupType, quotas.SharesAdminQuotasUpdateTest):
    pass


class QuotasNegativeTest(WithoutShareGroupType, negative_quotas.SharesAdminQuotasNegativeTest):
    pass


class ShareTypeZonesTest(WithoutShareGroupType, zones.ShareTypeAvailabilityZonesTest):
    pass


class ShareTypeZonesNegativeTest(
    WithoutShareGroupType, negative_zones.ShareTypeAvailabilityZonesNegativeTest
):
    pass
