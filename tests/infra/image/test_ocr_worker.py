"""The reader's image starts from its tree alone, under Lambda's own runtime client, and reads a picture."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from infra.image.tree import TASK, Tree, assemble
from infra.local.runtime import Function, FunctionSettings
from infra.package.build import Face, faces, install
from infra.package.closure import ClosureError
from infra.package.distributions import RUNTIME, read_lock
from infra.package.measure import isolated
from infra.package.targets import HERE, TARGETS
from shared.storage import DirectoryStorage
from tests.cluster import TestDatabase, User
from tests.infra.local.conftest import Workbench
from tests.infra.package.test_packed_faces import IMPORT_ALL
from tests.intake import event as payload

ROOT = Path(__file__).resolve().parents[3]
NAME = "ocr-worker"
SECRET = "s" * 40
MB = 1024 * 1024


@pytest.fixture(scope="module")
def face() -> Face:
    try:
        [found] = faces(ROOT, [NAME], images=True)
    except ClosureError as error:  # npm brings the model of the second engine
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="module")
def tree(face: Face, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return assemble(ROOT, TARGETS[HERE], face, tmp_path_factory.mktemp("images") / NAME)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Lambda's own image has."""
    folder = tmp_path_factory.mktemp("runtime") / "packages"
    lock = read_lock(ROOT)
    install(folder, TARGETS[HERE], [f"{name}=={pin}" for name in sorted(RUNTIME) for pin in lock.pins[name]], lock)
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    workbench = Workbench(tmp_path)
    yield workbench
    workbench.close()


def test_each_layer_holds_what_it_should(tree: Tree) -> None:
    layers = {layer.name: layer for layer in tree.layers}
    assert 150 * MB < layers["dependencies"].bytes < 450 * MB
    assert [path.name for path in (tree.folder / "data").rglob("*") if path.is_file()] == ["eng.traineddata.gz"]
    assert layers["code"].bytes < 5 * MB
    shipped = {name.split(" ")[0] for name in tree.distributions}
    assert "opencv_python_headless" in shipped
    assert not shipped & {"opencv_python", "fastapi", "boto3"}


def test_everything_that_its_code_names_is_there(tree: Tree, face: Face, runtime: Path) -> None:
    task = tree.folder / TASK
    command, environment = isolated(task, runtime)
    names = [name for name in (*face.closure.modules, *face.closure.imports) if name != "shared.storage.supabase"]
    ran = subprocess.run(
        [*command, "-c", IMPORT_ALL, *names], cwd=task, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "site-packages" not in ran.stdout


def test_it_reads_a_picture_that_a_bell_tells_of(
    tree: Tree, runtime: Path, bench: Workbench, db: TestDatabase, user: User, tmp_path: Path
) -> None:
    storage = DirectoryStorage(tmp_path / "objects", SECRET.encode())
    key = f"{user.id}/invoice.png"
    storage.put("ocr-documents", key, picture("Grease the axle of the wheel"), "image/png")
    [job] = db.owner.execute(
        "select millrace.enqueue_job(%s, 'ocr', %s, null) as id",
        [user.id, {"document": {"bucket": "ocr-documents", "key": key}}],
    ).fetchall()
    task = tree.folder / TASK
    command, environment = isolated(task, runtime)
    settings = FunctionSettings(
        name=NAME,
        handler=tree.handler,
        timeout=60.0,
        root=task,
        environment=environment
        | {
            "MILLRACE_DATABASE_URL": db.url("millrace_engine"),
            "MILLRACE_DOORBELL": f"socket:{tmp_path / 'bells'}",
            "MILLRACE_STORAGE": f"directory:{tmp_path / 'objects'}",
            "MILLRACE_STORAGE_SECRET": SECRET,
            "OMP_NUM_THREADS": "1",
        },
        command=(*command, "-m", "awslambdaric"),
    )
    function = bench.adopt(lambda: Function(settings, bench.logs))
    bells = payload("sqs_bells")
    bells["Records"] = bells["Records"][:1]
    bells["Records"][0]["body"] = json.dumps({"id": str(job["id"])})
    outcome = bench.invoke(function, bells)
    assert outcome.error is None, outcome.error
    assert json.loads(outcome.payload) == {"batchItemFailures": []}
    [row] = db.owner.execute("select status, result, error from millrace.job where id = %s", [job["id"]]).fetchall()
    assert row["status"] == "completed", row["error"]
    [read] = db.owner.execute("select extracted_text from ocrresult where job_id = %s", [job["id"]]).fetchall()
    assert "Grease the axle of the wheel" in read["extracted_text"]


def picture(text: str) -> bytes:
    """One line of black text on white, as PNG."""
    image = Image.new("RGB", (900, 200), "white")
    ImageDraw.Draw(image).text((60, 70), text, fill="black", font=ImageFont.load_default(48))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
