"""The tree of an image: what the function's code reaches, in layers, the same each time, and it starts."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from infra.image import __main__ as command
from infra.image.tree import LAYERS, TASK, assemble
from infra.package.closure import closure
from infra.package.staging import Face, PackageError
from infra.package.targets import HERE, TARGETS

ROOT = Path(__file__).resolve().parents[3]
MB = 1024 * 1024


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one function, an image, that needs one small distribution and a model."""
    capability = tmp_path / "functions" / "toy"
    (capability / "node_modules" / "big").mkdir(parents=True)
    (capability / "worker.py").write_text("import cronsim\nfrom functions.toy import heart\nhandler = heart.beat\n")
    (capability / "heart.py").write_text("def beat(event, context):\n    return event\n")
    (capability / "node_modules" / "big" / "model").write_bytes(b"m" * MB)
    (capability / "data.yml").write_text("{install: make, files: {worker: [node_modules/big/model]}}")
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    image = {"uri": "registry/toy@sha256:00", "command": ["functions/toy/worker.handler"]}
    functions = {"toy": {"image": image}, "zipped": {"handler": "functions/toy/worker.handler"}}
    (tmp_path / "serverless.yml").write_text(json.dumps({"functions": functions}))
    return tmp_path


def face(checkout: Path) -> Face:
    return Face("toy", "functions/toy/worker.handler", closure(checkout, "functions/toy/worker.handler"))


def files(folder: Path) -> set[str]:
    """Every file below, but bytecode."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in found if not name.endswith(".pyc")}


def test_what_changes_at_another_pace_is_another_layer(checkout: Path, tmp_path: Path) -> None:
    tree = assemble(checkout, TARGETS["arm64"], face(checkout), tmp_path / "images" / "toy")
    assert files(tree.folder / "code") == {"functions/toy/worker.py", "functions/toy/heart.py"}
    assert files(tree.folder / "data") == {"functions/toy/node_modules/big/model"}
    assert "cronsim/__init__.py" in files(tree.folder / "dependencies")
    assert not (tree.folder / TASK).exists(), "only what is for this machine is put together here"
    assert [layer.name for layer in tree.layers] == list(LAYERS)
    for layer in tree.layers:
        found = [path for path in (tree.folder / layer.name).rglob("*") if path.is_file()]
        assert layer.files == len(found)
        assert layer.bytes == sum(path.stat().st_size for path in found)


def test_the_same_content_gives_the_same_times_and_modes_wherever_it_was_gathered(checkout: Path) -> None:
    told = []
    for number in (1, 2):
        tree = assemble(checkout, TARGETS["arm64"], face(checkout), checkout / f"images {number}" / "toy")
        found = {path.relative_to(tree.folder).as_posix(): path for path in tree.folder.rglob("*")}
        told.append(
            {
                name: (
                    path.stat().st_mtime,
                    stat.filemode(path.stat().st_mode),
                    path.read_bytes() if path.is_file() else b"",
                )
                for name, path in found.items()
            }
        )
    assert told[0] == told[1]
    assert {mode for _, mode, _ in told[0].values()} <= {"-rw-r--r--", "-rwxr-xr-x", "drwxr-xr-x"}


def test_what_is_for_this_machine_can_be_started_from_one_folder(checkout: Path, tmp_path: Path) -> None:
    tree = assemble(checkout, TARGETS[HERE], face(checkout), tmp_path / "images" / "toy")
    task = tree.folder / TASK
    assert files(task) == set.union(*(files(tree.folder / layer) for layer in LAYERS))
    assert (task / "functions/toy/worker.py").samefile(tree.folder / "code" / "functions/toy/worker.py")


def test_what_was_gathered_before_stays_until_all_is_there(checkout: Path) -> None:
    folder = checkout / "images" / "toy"
    assemble(checkout, TARGETS["arm64"], face(checkout), folder)
    known = face(checkout)
    (checkout / "functions" / "toy" / "heart.py").unlink()
    with pytest.raises(PackageError, match="went away"):
        assemble(checkout, TARGETS["arm64"], known, folder)
    assert (folder / "code" / "functions/toy/heart.py").is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


def test_the_command_says_what_each_layer_weighs(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ROOT", checkout)
    assert command.main(["--target", "amd64"]) == 0
    said = capsys.readouterr().out
    assert "toy for x86_64, in " in said
    assert "data               1.0 MB      1 files" in said
    assert "of Lambda's 10,240 MB" in said
    assert files(checkout / "dist" / "images" / "x86_64" / "toy" / "data")


@pytest.mark.parametrize(
    ("function", "complaint"), [("zipped", "is packed as a zip"), ("nonsense", "no function nonsense")]
)
def test_what_is_no_image_is_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str, complaint: str
) -> None:
    monkeypatch.setattr(command, "ROOT", checkout)
    assert command.main([function]) == 1
    assert complaint in capsys.readouterr().err


def test_the_dockerfile_takes_every_layer_and_no_other() -> None:
    dockerfile = (ROOT / "infra" / "image" / "Dockerfile").read_text()
    copied = [line for line in dockerfile.splitlines() if line.startswith("COPY --from=tree")]
    assert copied == [f"COPY --from=tree /tree/{name}/ ${{LAMBDA_TASK_ROOT}}/" for name in LAYERS]
