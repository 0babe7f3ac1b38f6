"""What is beside the database: sign-in, bells, storage, buckets, the keys of the sealed secrets."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

from functions.health import probes
from functions.health.probes import Failing
from infra.buckets import BucketsError, declared
from infra.doctor.finding import Finding, failing, ok, skipped
from shared.errors import MillraceError
from shared.secrets.keys import SecretError
from shared.settings import DoorbellSettings, IdentitySettings, SecretSettings, StorageSettings


def identity(settings: IdentitySettings) -> Iterator[Finding]:
    """Whether tokens can be verified."""
    from shared.auth import fetch_keys

    if settings.jwt_jwks_url:
        try:
            keys = fetch_keys(settings.jwt_jwks_url)
        except (OSError, ValueError) as error:
            yield failing(
                "sign-in",
                f"The key set at {settings.jwt_jwks_url} cannot be read: {error or type(error).__name__}.",
                "Set MILLRACE_JWT_JWKS_URL to https://<ref>.supabase.co/auth/v1/.well-known/jwks.json.",
            )
            return
        if not keys and settings.jwt_secret is None:
            yield failing(
                "sign-in",
                f"The key set at {settings.jwt_jwks_url} has no key that is known here (RS256, ES256).",
                "Move the project to asymmetric signing keys, or set MILLRACE_JWT_SECRET to its shared secret.",
            )
            return
        yield ok("sign-in", f"The key set has {len(keys)} keys.")
    elif settings.jwt_secret is not None:
        yield ok("sign-in", "Tokens are verified with the shared secret.")


def bells(settings: DoorbellSettings) -> Iterator[Finding]:
    """Whether a bell would be heard."""
    try:
        yield ok("bells", probes.bells(settings.doorbell))
    except Failing as deaf:
        yield failing(
            "bells",
            str(deaf),
            "Set MILLRACE_DOORBELL to where the queues are: socket:<directory> of a running `millrace dev`, or "
            "sqs:<URL prefix> of a deployed stage, with credentials that may ask for it.",
        )


def storage() -> Iterator[Finding]:
    """Whether an object can be kept, read and removed again."""
    from shared.storage import storage as opened

    key = f"doctor/{uuid.uuid4()}"
    try:
        store = opened()
        store.put(probes.BUCKET, key, b"well")
        read = store.get(probes.BUCKET, key)
        store.delete(probes.BUCKET, key)
    except MillraceError as error:
        yield failing(
            "storage",
            f"An object cannot be kept: {error.detail}",
            error.remedy or "Look at MILLRACE_STORAGE and at what its credentials may do.",
        )
    except OSError as error:
        yield failing(
            "storage",
            f"An object cannot be kept: {error.strerror or error}.",
            "Give this user the directory that MILLRACE_STORAGE names.",
        )
    else:
        if read != b"well":
            yield failing("storage", "An object is not read as it was kept.", "Look at what lies before the storage.")
        else:
            yield ok("storage", "An object was kept, read and removed.")


def buckets(settings: StorageSettings, owner_url: str | None) -> Iterator[Finding]:
    """Whether the buckets are as private and as bounded as declared."""
    from infra.review import buckets as held
    from infra.review import catalogue

    kind, _, where = settings.storage.partition(":")
    try:
        wanted = declared()
        if kind == "directory":
            found = held.in_directory(Path(where).absolute(), wanted)
        elif kind == "s3":
            from shared import aws

            found = held.on_s3(aws.client("s3"), where, wanted)
        elif owner_url is None:
            yield skipped("buckets", "They are told by the database, as its owner.")
            return
        else:
            with catalogue.connect(owner_url) as connection:
                found = held.on_supabase(connection, wanted)
                for drift in held.triggers(connection):
                    yield failing("storage trigger", f"{drift.object} {drift.says}.", "Run `millrace provision`.")
    except (MillraceError, BucketsError, psycopg.Error) as error:
        yield failing("buckets", f"They cannot be looked at: {error}", getattr(error, "remedy", None) or "See above.")
        return
    drifts = [drift for one in found for drift in one.drifts]
    for drift in drifts:
        yield failing("buckets", f"{drift.object} {drift.says}.", drift.remedy.text or "Run `millrace provision`.")
    if not drifts:
        yield ok("buckets", f"All {len(found)} are as declared.")


def keys(settings: SecretSettings, owner_url: str | None) -> Iterator[Finding]:
    """Whether the sealed secrets can be opened: the key file is private and has every key that sealed one."""
    path = settings.secret_key_file
    if settings.secret_kms_key is not None:
        yield from _kms(settings.secret_kms_key)
        return
    if path is None:
        yield failing(
            "keys",
            "Neither MILLRACE_SECRET_KMS_KEY nor MILLRACE_SECRET_KEY_FILE is set: no webhook can have a secret.",
            "Set the KMS key on AWS, or a key file outside the repository on a laptop.",
        )
        return
    used = _used(owner_url)
    if not path.exists():
        if used:
            yield failing(
                "keys", f"There is no key file {path}, and secrets were sealed.", "Bring it back from its copy."
            )
        else:
            yield ok("keys", "There is no key file yet; the first secret makes it.")
        return
    from shared.secrets.key_file import LocalKeyring

    ring = LocalKeyring(path)
    try:
        ring.current()
        for key_id in sorted(used):
            ring.data_key(key_id)
    except SecretError as error:
        yield failing(
            "keys", f"{path}: {error}", getattr(error, "remedy", None) or "Bring the file back from its copy."
        )
        return
    yield ok("keys", f"The key file is private and has the {len(used)} keys that sealed something.")


def _kms(key: str) -> Iterator[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    from shared import aws

    try:
        state = aws.client("kms").describe_key(KeyId=key)["KeyMetadata"].get("KeyState")
    except ClientError as error:
        said = error.response.get("Error", {}).get("Code", "an error")
        yield failing("keys", f"KMS answers {said} for {key}.", "Look at MILLRACE_SECRET_KMS_KEY and its key policy.")
    except BotoCoreError as error:
        yield failing("keys", f"KMS cannot be asked: {type(error).__name__}.", "Set AWS credentials and AWS_REGION.")
    else:
        if state == "Enabled":
            yield ok("keys", "The KMS key is enabled.")
        else:
            yield failing("keys", f"The KMS key is {state}.", "Enable it, or cancel its deletion.")


def _used(owner_url: str | None) -> set[str]:
    """The keys that sealed a secret; none when that cannot be asked, which is a finding of its own."""
    if owner_url is None:
        return set()
    try:
        with psycopg.connect(owner_url, autocommit=True, prepare_threshold=None, connect_timeout=5) as connection:
            return {key_id for (key_id,) in connection.execute("select distinct key_id from public.secret")}
    except psycopg.Error:
        return set()
