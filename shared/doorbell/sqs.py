"""Bells as messages to Amazon SQS: the deployment's doorbell."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from shared.doorbell.port import MAX_DELAY_SECONDS

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

#: The most messages that one request takes ("SendMessageBatch", API Reference).
_BATCH = 10


def _own_client() -> SQSClient:
    from shared import aws

    return aws.client("sqs")


class SqsDoorbell:
    """One message ``{"id": ...}`` for each id, ten to a request, to the queue at ``<prefix>-<queue>``.

    SQS knows whole seconds only, so a delay is rounded up: a bell may be a second late, never early. Bells that SQS
    does not take are counted in ``missed``, by its reason, and logged once a call. If a request fails as a whole, the
    rest of the call is not tried: a queue that does not answer must not hold up whoever has its row already.
    """

    def __init__(self, prefix: str, *, open_client: Callable[[], SQSClient] = _own_client) -> None:
        """``prefix``: of the queues' URLs: ``https://sqs.<region>.amazonaws.com/<account>/<service>-<stage>``."""
        self.prefix = prefix
        self.missed: Counter[str] = Counter()
        self._client = open_client

    def ring(self, queue: str, ids: Iterable[str], delay: float = 0) -> None:
        seconds = math.ceil(min(max(delay, 0), MAX_DELAY_SECONDS))
        missed: Counter[str] = Counter()
        failure = ""
        for batch in _batches(ids):
            failed = Counter({failure: len(batch)}) if failure else self._send(queue, batch, seconds)
            if failed.total() == len(batch):
                failure = next(iter(failed))
            missed += failed
        if missed:
            from shared.telemetry import logger

            self.missed.update(missed)
            logger.warning("%d bells of %s were not taken: %s", missed.total(), queue, dict(missed))

    def _send(self, queue: str, ids: tuple[str, ...], seconds: int) -> Counter[str]:
        """How many of these SQS did not take, by reason."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client().send_message_batch(
                QueueUrl=f"{self.prefix}-{queue}",
                Entries=[
                    {"Id": str(number), "MessageBody": json.dumps({"id": id_}), "DelaySeconds": seconds}
                    for number, id_ in enumerate(ids)
                ],
            )
        except ClientError as error:
            return Counter({error.response.get("Error", {}).get("Code", "ClientError"): len(ids)})
        except BotoCoreError as error:  # no connection, no credentials, no region
            return Counter({type(error).__name__: len(ids)})
        return Counter(failed["Code"] for failed in answer.get("Failed", []))


def _batches(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    left = iter(ids)
    while batch := tuple(islice(left, _BATCH)):
        yield batch
