"""The API as the command line sees it: JSON in, JSON out, problem documents as :class:`~infra.cli.exits.Failure`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from infra.cli.exits import Exit, Failure

#: Longer than the 25 s that the API holds a long poll, shorter than the 30 s of the gateway plus a slow link.
TIMEOUT_SECONDS = 40.0


#: What would steer a terminal or hide text in it: control characters and changes of writing direction.
UNSEEN = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0x061C,
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    )
    if chr(code) not in "\n\t"
}


class Api:
    """A client bound to one address and one token. Use it as a context manager.

    With ``for_people`` every string in an answer has its control characters made visible: what a webhook's sender wrote
    must not steer the terminal of whoever looks at the run.
    """

    def __init__(self, url: str, token: str | None, *, for_people: bool = False) -> None:
        self.url = url.rstrip("/")
        self._for_people = for_people
        headers = {"accept": "application/json", "user-agent": "millrace-cli"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            self._client = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Failure(
                f"{url!r} is not an address, or the token is not one: {error}.", exit_code=Exit.USAGE
            ) from None

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        return self.send("GET", path, query=query)

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Everything in a paged list."""
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, limit=200, **query)
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return

    def post(self, path: str, body: Any = None) -> Any:
        return self.send("POST", path, body=body)

    def patch(self, path: str, body: Any) -> Any:
        return self.send("PATCH", path, body=body)

    def send(self, method: str, path: str, *, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        """The decoded answer (None for an empty one). A refusal, a failure or no answer is a :class:`Failure`."""
        parameters = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = self._client.request(method, path, params=parameters, json=body)
        except httpx.HTTPError as error:
            raise Failure(
                f"Nothing answers at {self.url}: {str(error) or type(error).__name__}.",
                remedy="Start the local stack with `millrace dev`, or give --url (MILLRACE_URL).",
                exit_code=Exit.UNREACHABLE,
            ) from error
        if response.is_success:
            answer = _json(response) if response.content else None
            return visible(answer) if self._for_people else answer
        failure = refusal(response)
        raise Failure(**visible(vars(failure))) if self._for_people else failure


def visible(value: Any) -> Any:
    """A JSON value whose strings hold nothing that a terminal would obey."""
    if isinstance(value, str):
        return value.translate(UNSEEN)
    if isinstance(value, list):
        return [visible(item) for item in value]
    if isinstance(value, dict):
        return {visible(key): visible(item) for key, item in value.items()}
    return value


def refusal(response: httpx.Response) -> Failure:
    """The problem document of an answer, or what can be said of an answer that has none."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    message = problem.get("detail") or problem.get("title") or problem.get("message") or response.reason_phrase
    remedy = problem.get("remedy")
    if response.status_code == 401 and not remedy:
        remedy = "Give a token with --token (MILLRACE_TOKEN); `millrace token` prints the local stack's."
    if wait := response.headers.get("retry-after"):
        remedy = f"{remedy or 'Try again'} (in {wait} s)"
    return Failure(
        f"{message} (HTTP {response.status_code})",
        remedy=remedy,
        exit_code=Exit.REFUSED if response.status_code < 500 else Exit.FAILED,
        errors=[error for error in problem.get("errors") or [] if isinstance(error, dict)],
        problem=problem or {"status": response.status_code, "title": message},
    )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise Failure(
            f"{response.request.url} answered {response.status_code} with something that is not JSON.",
            remedy="Check that --url is the address of a Millrace API.",
            exit_code=Exit.UNREACHABLE,
        ) from error
