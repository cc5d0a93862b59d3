"""A CAC that is what it says verifies in every form, by itself and against its log, and what was left out is said."""

import pytest

from infrastructure.cacs.presented import Form
from infrastructure.cacs.verify import verify_cac
from tests.cacs.conftest import FORMS, Scene


@pytest.mark.parametrize("form", FORMS)
def test_by_itself_it_is_self_consistent_and_says_that_no_log_was_asked(scene: Scene, form: Form) -> None:
    verdict = verify_cac(scene.forms[form])
    assert (verdict.ok, verdict.error, verdict.form) == (True, None, form)
    assert verdict.trust == "self-consistent; origin not authenticated"
    assert any("no bundle" in text for text in verdict.not_checked)


@pytest.mark.parametrize("form", FORMS)
def test_with_the_tenants_key_from_outside_it_is_verified(scene: Scene, form: Form) -> None:
    verdict = verify_cac(scene.forms[form], tenant_key=scene.tenant_key)
    assert (verdict.ok, verdict.trust, verdict.issued) == (True, "verified", None)


@pytest.mark.parametrize("form", FORMS)
def test_with_a_bundle_every_entry_that_it_names_says_the_same(scene: Scene, form: Form) -> None:
    verdict = verify_cac(scene.forms[form], bundle=scene.bundle("all", scene.vkey))
    assert (verdict.error, verdict.trust, verdict.issued) == (None, "verified", True)
    assert not any("disclosed" in text for text in verdict.not_checked), verdict.not_checked
    verdict = verify_cac(scene.forms[form], bundle=scene.bundle("all"))
    assert (verdict.ok, verdict.trust) == (True, "self-consistent; origin not authenticated")
