"""The Runtime API speaks with processes of our own user only."""

from __future__ import annotations

import os
import socket

import pytest

from infra.local.peers import is_ours


def test_a_connection_is_known_by_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, peer = server.accept()
        with accepted:
            assert is_ours(peer, accepted.getsockname())
            uid = os.getuid()
            monkeypatch.setattr(os, "getuid", lambda: uid + 1)
            assert not is_ours(peer, accepted.getsockname())
            monkeypatch.undo()
            assert not is_ours(("127.0.0.1", 1), accepted.getsockname())
        client.close()
