"""What other processes do while a tenant's keys are destroyed, and what those that held them give out after."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import ErasedError, UnavailableError
from domain.message import Pending, Recorded, Sealed
from domain.tenants.events import DataKeyRotated
from infrastructure import erasure
from infrastructure.audit.export import export_bundle
from infrastructure.erasure import destroy_keys
from infrastructure.feed.source import Source
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.stored_views import StoredViews
from tests.commands.cell import MakeCell, another_process
from tests.commands.test_erasure import gone, lived, order


def test_a_process_that_held_the_keys_gives_nothing_out_any_more(make_cell: MakeCell) -> None:
    cell = make_cell()
    member, other = lived(cell), cell.join("OtherDAO")
    order(cell, member)
    with another_process(cell) as elsewhere, Subscriptions(elsewhere) as feeds:
        sources = (feeds.sources.events(member.log_id), feeds.sources.all_events())

        def given(source: Source[Recorded], log_id: UUID) -> set[bool]:
            with feeds.subscribe(source, follow=False) as subscription:
                return {isinstance(found.event, Sealed) for found in subscription if found.log_id == log_id}

        assert [given(source, member.log_id) for source in sources] == [{False}, {False}]
        destroy_keys(cell.ledger, member.log_id)
        assert [given(source, member.log_id) for source in sources] == [{True}, {True}]
        assert given(sources[1], other.log_id) == {False}


def test_nothing_slips_in_between_the_last_look_and_the_end_of_the_keys(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cell = make_cell()
    member = cell.join("GoneDAO")
    member.adopt()
    order(cell, member)
    made_ready, size = erasure._made_ready, cell.ledger.head(member.log_id).size
    with another_process(cell) as elsewhere:
        elsewhere.stream(member.log_id, member.log_id)

        def then_disclosed(*given: Any) -> int:
            found = made_ready(*given)
            with pytest.raises(ErasedError):
                export_bundle(elsewhere, member.log_id, tmp_path / "taken", with_keys="all")
            return found

        monkeypatch.setattr(erasure, "_made_ready", then_disclosed)
        erased = destroy_keys(cell.ledger, member.log_id)
    assert (erased.size, erased.disclosures) == (size, 0)
    assert not (tmp_path / "taken").exists()
    assert cell.ledger.head(member.log_id).size == size


def test_a_log_that_grows_under_the_last_look_is_looked_at_again(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cell = make_cell()
    member = cell.join("GoneDAO")
    order(cell, member)
    complete = StoredViews.complete

    def then_grown(views: StoredViews, log_id: UUID, size: int) -> bool:
        found = complete(views, log_id, size)
        export_bundle(cell.ledger, member.log_id, tmp_path / "taken", with_keys="all")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(StoredViews, "complete", then_grown)
        with pytest.raises(UnavailableError, match="has grown"):
            destroy_keys(cell.ledger, member.log_id)
    assert not cell.ledger.erased(member.log_id)
    assert destroy_keys(cell.ledger, member.log_id).disclosures == 1


def test_an_entry_that_was_sealed_before_the_key_went_is_refused_after(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed by another process just before; the log is closed when it comes to be committed."""
    cell = make_cell()
    member, other = lived(cell), cell.join("OtherDAO")
    order(cell, member)
    with another_process(cell) as slow, monkeypatch.context() as patch:
        slow.stream(member.log_id, member.log_id)
        patch.setattr(slow.sealers, "check", lambda _: None)
        destroy_keys(cell.ledger, member.log_id)
        size = cell.ledger.head(member.log_id).size
        newest = slow.stream(member.log_id, member.log_id)[-1]
        late = Pending(member.log_id, member.log_id, newest.version + 1, DataKeyRotated(generation=9))
        with pytest.raises(ErasedError):
            slow.append([late])
    assert cell.ledger.head(member.log_id).size == size
    cell.run(*cell.place(other))
    gone(cell, member)
