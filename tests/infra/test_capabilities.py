"""A capability whose packages are missing is named, with the command that installs it."""

from __future__ import annotations

import pytest

from infra.capabilities import Missing, missing, present

REQUIREMENTS = [
    "httpx>=0.28",
    "fastapi>=0.165; extra == 'http'",
    'onnxruntime>=1.20; extra == "ocr-worker"',
    "pypdfium2>=5 ; extra == 'ocr-worker'",
    "playwright>=1.5; extra == 'browser-worker'",
    "wasmtime>=50; extra == 'code-sandbox-worker'",
]


def test_only_what_lacks_a_package_is_missing() -> None:
    assert missing(REQUIREMENTS, lambda name: name != "onnxruntime") == [
        Missing("ocr", ("onnxruntime",), "make install-ocr")
    ]


def test_the_command_is_the_makefiles() -> None:
    assert [one.command for one in missing(REQUIREMENTS, lambda name: False)] == [
        "make install-browser",
        "make install-code",
        "make install-ocr",
    ]


@pytest.mark.parametrize(
    ("lacking", "rest"),
    [
        (set(), ["browser", "code_exec", "ocr"]),
        ({"pypdfium2", "wasmtime"}, ["browser"]),
        ({"playwright"}, ["code_exec", "ocr"]),
    ],
)
def test_what_lacks_nothing_is_present_under_the_name_that_node_types_know(lacking: set[str], rest: list[str]) -> None:
    assert present(REQUIREMENTS, lambda name: name not in lacking) == rest


def test_all_that_the_development_environment_declares_is_looked_at() -> None:
    assert missing(installed=lambda name: True) == []
