"""Workers are killed at any point, with real signals: each file starts each workflow that wants it once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.functions.storage_intake.shelf import Shelf

FILES = 60

#: Takes the messages one batch after the other, in an order of its own, and says when it begins.
WORKER = """
import json, random, sys
from functions.storage_intake import batch
from shared.database import Database
from shared.doorbell import RecordingDoorbell

url, path, seed = sys.argv[1:]
messages = json.loads(open(path).read())
random.Random(seed).shuffle(messages)
database = Database(url)
bell = RecordingDoorbell()
batch.start(database, bell, {"warm": json.dumps({"Records": []})}, {})
print("ready", flush=True)
while messages:
    taken, messages = messages[:3], messages[3:]
    given = {str(number): body for number, body in enumerate(taken)}
    assert batch.start(database, bell, given, {"user-uploads": "ocr"}) == []
"""


def worker(shelf: Shelf, path: Path, seed: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WORKER, shelf.db.url("millrace_engine"), str(path), str(seed)]
    made = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


@pytest.mark.parametrize("kills", [pytest.param(4, id="short"), pytest.param(60, id="long", marks=pytest.mark.soak)])
def test_kills_lose_nothing_and_double_nothing(shelf: Shelf, tmp_path: Path, kills: int) -> None:
    shelf.trigger()
    shelf.trigger(suffix="0", filter_expression="trigger.payload.size > 0")
    shelf.trigger(suffix="1", filter_expression="trigger.payload.nothing")
    path = tmp_path / "messages"
    path.write_text(json.dumps([shelf.message(shelf.mine(f"{number:02}")) for number in range(FILES)]))
    chance = random.Random(kills)
    for seed in range(kills // 2):
        pair = [worker(shelf, path, 2 * seed), worker(shelf, path, 2 * seed + 1)]
        for one in pair:
            time.sleep(chance.uniform(0, 0.03))
            one.send_signal(signal.SIGKILL)
            one.communicate()
    last = worker(shelf, path, -1)
    last.communicate()
    assert last.returncode == 0
    wanted = [shelf.mine(f"{number:02}") for number in range(FILES)]
    wanted += [key for key in wanted if key.endswith("0")]
    assert sorted(shelf.found()) == sorted(wanted)
    keys = [row["key"] for row in shelf.db.owner.execute("select input #>> '{document,key}' as key from millrace.job")]
    assert sorted(keys) == sorted({*wanted})
