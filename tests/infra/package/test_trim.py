"""What never runs stays out of a package; what might be asked for stays in."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from infra.package.trim import Trim


@pytest.fixture
def trim(tmp_path: Path) -> Trim:
    imports = {"cel_expr_python.cel", "cel_expr_python.ext.ext_math", "requests"}
    return Trim(tmp_path, imports)


@pytest.mark.parametrize(
    "path",
    [
        "pkg/module.py",
        "pkg/native.abi3.so",
        "pkg/data.json",
        "pkg.libs/libpq-e9b5c9ac.so.5.18",
        "pkg/testing.py",
        "single.py",
        "pydantic/v1alike.py",
        "pkg-1.0.dist-info/METADATA",
        "pkg-1.0.dist-info/entry_points.txt",
        "pkg-1.0.dist-info/licenses/LICENSE.txt",
        "pkg-1.0.dist-info/LICENSE",
        "cel_expr_python/cel.cpython-313-x86_64-linux-gnu.so",
        "cel_expr_python/ext/ext_math.cpython-313-x86_64-linux-gnu.so",
        "_cffi_backend.cpython-313-x86_64-linux-gnu.so",
    ],
)
def test_kept(trim: Trim, path: str) -> None:
    assert trim.keeps(PurePosixPath(path))


@pytest.mark.parametrize(
    "path",
    [
        "bin/httpx",
        ".lock",
        "pkg/tests/test_module.py",
        "pkg/__pycache__/module.cpython-313.pyc",
        "pkg/module.pyi",
        "pkg/py.typed",
        "pkg/_speedups.c",
        "pkg-1.0.dist-info/RECORD",
        "pkg-1.0.dist-info/WHEEL",
        "cel_expr_python/ext/ext_proto.cpython-313-x86_64-linux-gnu.so",
        "bazel-project/setup.py",
        "cffi/api.py",
        "pydantic/v1/main.py",
        "aws_lambda_powertools/event_handler/api_gateway.py",
    ],
)
def test_left_out(trim: Trim, path: str) -> None:
    assert not trim.keeps(PurePosixPath(path))


def test_what_the_code_imports_itself_is_never_left_out(tmp_path: Path) -> None:
    assert Trim(tmp_path, {"cffi.api"}).keeps(PurePosixPath("cffi/api.py"))
