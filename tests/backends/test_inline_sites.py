"""Inline code that holds a site is refused: its copies at other sites would keep what the site held when linked."""

import pytest

from tests.backends.test_clobbers import checked, draft, refused
from tests.conftest import Drafted


@pytest.mark.parametrize("code", ["mov $pv_x, %eax", "mov $pv_x, %rax", "nop; mov $pv_x, %eax"])
def test_inline_code_with_a_site_is_refused_by_name(drafted: Drafted, code: str) -> None:
    made = draft(drafted, code, '["rax"]')
    refused(made, "expected inline code without sites, found ")
    refused(made, " of op x at +")


def test_inline_code_that_is_too_long_to_be_copied_may_hold_sites(drafted: Drafted) -> None:
    checked(draft(drafted, ".skip 40, 0x90; mov $pv_x, %eax", '["rax"]'))


def test_inline_code_beside_sites_is_taken(drafted: Drafted) -> None:
    checked(draft(drafted, "cli", "[]", site="call pv_x; call pv_x"))
