"""Whatever the keys and however many, a batch is one statement and each event counts once."""

from __future__ import annotations

import json
import re
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from hypothesis import given, settings
from hypothesis import strategies as st

from functions.storage_intake import batch
from infra.local.objects import notification
from shared.database import Database
from shared.doorbell import RecordingDoorbell
from shared.storage import Event, Stored
from shared.storage.names import key_of, name_of
from tests.functions.storage_intake.shelf import Shelf, changes
from tests.intake import event

#: What a store takes as a key: UTF-8 without NUL, at most 1,024 bytes.
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=250)


@settings(max_examples=200, deadline=None)
@given(key=KEYS)
def test_any_key_comes_out_of_the_message_as_it_was_written(key: str) -> None:
    made = json.loads(event("sqs_s3_object_created")["Records"][0]["body"])
    # As S3 encodes: a blank as a plus, the slash as it is, everything else outside of letters and digits in per cent.
    for encoded in (quote_plus(key, safe="/"), quote_plus(key, safe="/*'()!"), quote_plus(key, safe="")):
        made["Records"][0]["s3"]["object"]["key"] = encoded
        assert [change.key for change in changes(json.dumps(made))] == [key]
    assert key_of(name_of(key)) == key  # and out of Supabase Storage's names


@settings(max_examples=50, deadline=None)
@given(key=KEYS, removed=st.booleans())
def test_the_local_stack_says_it_as_s3_does(key: str, removed: bool) -> None:
    at = datetime(2026, 3, 11, 17, 2, 42, 114_000, UTC)
    stored = Stored("rag-files", key, 3, "e", "text/plain", at)
    told = notification(Event("1", "01", stored, at if removed else None), "eu-central-1")
    [change] = changes(json.dumps(told))
    assert (change.bucket, change.key, change.removed) == ("rag-files", key, removed)
    assert change.time == "2026-03-11T17:02:42.114Z"


def syncs(shelf: Shelf, path: Path, bodies: list[str]) -> int:
    """How many Syncs libpq sends for a batch."""
    with path.open("w") as file:
        shelf.db.engine.trace(file.fileno())
        assert shelf.start(*bodies) == []
        shelf.db.engine.trace(None)
    return len(re.findall(r"^\S+ \S+\tF\t\d+\tSync", path.read_text(), re.MULTILINE))


def test_ten_messages_about_many_objects_are_one_statement_and_two_with_filters(shelf: Shelf, tmp_path: Path) -> None:
    shelf.trigger()
    bodies = [shelf.message(*(shelf.mine(f"{message}/{number}") for number in range(20))) for message in range(10)]
    assert syncs(shelf, tmp_path / "trace", bodies) == 1
    assert len(shelf.runs()) == 200
    shelf.trigger(filter_expression="trigger.payload.key.endsWith('7')")
    bodies = [shelf.message(*(shelf.mine(f"x{message}/{number}") for number in range(20))) for message in range(10)]
    assert syncs(shelf, tmp_path / "trace", bodies) == 2
    assert len(shelf.runs()) == 400 + 20


def test_doubled_batches_in_any_order_on_two_connections_start_each_once(shelf: Shelf) -> None:
    """Their objects come in other orders; the order of locks is the same, so they never wait in a circle."""
    shelf.trigger()
    shelf.trigger(prefix="1", filter_expression="trigger.payload.size >= 0")
    shelf.trigger(prefix="2", filter_expression="trigger.payload.nothing > 0")
    shelf.jobs = {"user-uploads": "ocr"}
    names = [f"{number}" for number in range(40)]
    # Each connection takes all twice, one beginning at the end of them.
    batches = [[shelf.message(*(shelf.mine(name) for name in order))] * 2 for order in (names, names[::-1])]
    failed: list[Any] = []

    def work(bodies: list[str]) -> None:
        connection = Database(shelf.db.url("millrace_engine"))
        try:
            messages = {str(uuid.uuid4()): body for body in bodies}
            failed.extend(batch.start(connection, RecordingDoorbell(), messages, shelf.jobs))
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(bodies,)) for bodies in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    found = shelf.found()
    ones = [name for name in names if name.startswith("1")]
    assert sorted(found) == sorted([shelf.mine(name) for name in names] + [shelf.mine(name) for name in ones])
    assert shelf.db.owner.execute("select count(*) as jobs from millrace.job").fetchone() == {"jobs": len(names)}
