"""What a function is told by its environment: small mix-ins, composed into one model per function.

Every variable is ``MILLRACE_<FIELD>``. A face writes ``class Settings(DatabaseSettings, DoorbellSettings)`` and calls
``Settings.load()`` at cold start: whatever is missing or wrong is reported at once, by the variables' names. The
environment is read there and nowhere else. Each field says what it is for, with its bounds; the settings reference in
``docs`` is made from these models.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

PREFIX = "MILLRACE_"


class SettingsError(Exception):
    """The environment lacks what this function needs. The message names every variable and what is wrong with it."""


class Settings(BaseModel):
    """Base of every settings model: frozen, prefixed, silent about variables that it does not know.

    ``pydantic-settings`` would do the same and more; importing it costs each cold start another 60 ms.
    """

    # Built when loaded: a face composes several of these, and only the composition is ever filled.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)
    prefix: ClassVar[str] = PREFIX  #: of the variables' names

    def __init__(self, **given: Any) -> None:
        """Each field from its variable, one that is empty counting as unset; ``given`` goes before the environment."""
        variables = {name: os.environ.get(self.prefix + name.upper()) for name in type(self).model_fields}
        super().__init__(**{name: value for name, value in variables.items() if value} | given)

    @classmethod
    def load(cls) -> Self:
        """This model from the environment, read once per process. Raises :class:`SettingsError`."""
        return _load(cls)  # type: ignore[return-value]  # functools.cache forgets the type


@functools.cache
def _load(model: type[Settings]) -> Settings:
    try:
        return model()
    except ValidationError as error:
        lines = []
        for mistake in error.errors(include_url=False, include_input=False, include_context=False):
            name = model.prefix + "_".join(str(part) for part in mistake["loc"]).upper()
            field = model.model_fields.get(str(mistake["loc"][0])) if mistake["loc"] else None
            said = "is not set" if mistake["type"] == "missing" else mistake["msg"]
            lines.append(f"  {name}: {said}" + (f" ({field.description})" if field and field.description else ""))
        # From None: pydantic's own message would show the values, secrets among them.
        raise SettingsError(f"{model.__module__}.{model.__name__} lacks settings:\n" + "\n".join(lines)) from None


def forget() -> None:
    """Read the environment anew at the next ``load()``; for tests and for the commands that set it themselves."""
    _load.cache_clear()


class DatabaseSettings(Settings):
    """Where the one Postgres is."""

    database_url: Annotated[
        SecretStr,
        Field(
            description="Postgres as a libpq URL, with the role this function logs in as; through a pooler or direct."
        ),
    ]
    database_deadline_seconds: Annotated[
        float,
        Field(
            default=10.0,
            gt=0,
            le=900,
            description="How long one statement may take before its connection is closed and the caller told to retry.",
        ),
    ]
    database_connect_seconds: Annotated[
        int, Field(default=5, ge=1, le=60, description="How long opening the connection may take.")
    ]


class MigrationSettings(Settings):
    """Where migrations go: they need a direct or session address, not the transaction pooler."""

    migration_url: Annotated[
        SecretStr | None,
        Field(
            default=None,
            description="Address of Postgres for migrations, as the owner; without it MILLRACE_DATABASE_URL is used.",
        ),
    ]


class DoorbellSettings(Settings):
    """How sleepers are woken."""

    doorbell: Annotated[
        str,
        Field(
            default="none",
            pattern=r"^(none|socket:.+|sqs:https?://[^\s?#]+[^\s?#/])$",
            description=(
                "`socket:<directory>` on a laptop, `sqs:<URL prefix>` on AWS (a queue's URL is `<prefix>-<queue>`), "
                "`none` to leave waking to the tick."
            ),
        ),
    ]


class IdentitySettings(Settings):
    """Whose tokens are believed: one of the key set's address and the shared secret must be given."""

    jwt_secret: Annotated[
        SecretStr | None, Field(default=None, min_length=32, description="Shared secret of HS256 tokens.")
    ]
    jwt_jwks_url: Annotated[
        str | None,
        Field(
            default=None, description="Address of the key set (JWKS) that signs the tokens, as Supabase Auth offers it."
        ),
    ]
    jwt_audience: Annotated[str, Field(default="authenticated", description="Audience that a token must name.")]
    jwt_issuer: Annotated[str | None, Field(default=None, description="Issuer that a token must name, if set.")]
    token_cache_seconds: Annotated[
        float,
        Field(
            default=5.0,
            ge=0,
            le=60,
            description="How long a platform token is believed without asking again; a revoked one works as long.",
        ),
    ]


class StorageSettings(Settings):
    """Where objects are."""

    storage: Annotated[
        str,
        Field(
            default="directory:.millrace/objects",
            pattern=r"^(directory:.+|s3:[a-z0-9][a-z0-9.-]{1,41}|supabase:https?://[^\s?#]+)$",
            description=(
                "Where objects are kept: `directory:<path>`, `s3:<prefix>` (bucket names are `<prefix>-<bucket>`) or "
                "`supabase:<project's URL>`."
            ),
        ),
    ]
    storage_kms_key: Annotated[
        str | None,
        Field(default=None, description="KMS key that S3 encrypts objects with; S3's own keys when unset."),
    ]
    supabase_key: Annotated[
        SecretStr | None,
        Field(
            default=None,
            validate_default=True,
            description="Secret (service) key of the Supabase project; needed where objects are kept there.",
        ),
    ]
    storage_secret: Annotated[
        SecretStr | None,
        Field(default=None, min_length=32, description="Key that signs the expiring URLs of a directory store."),
    ]
    storage_url: Annotated[
        str,
        Field(
            default="http://127.0.0.1:8787",
            description="Address under which the signed URLs of a directory store are served.",
        ),
    ]

    @field_validator("supabase_key")
    @classmethod
    def _needed_on_supabase(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if key is None and str(info.data.get("storage", "")).startswith("supabase:"):
            raise PydanticCustomError("missing", "is not set")
        return key


class UploadSettings(Settings):
    """What may be uploaded, and how."""

    buckets: Annotated[
        str,
        Field(
            pattern=r"^[a-z-]+ [0-9]+( [a-z]+/[a-z0-9.+*-]+)*(,[a-z-]+ [0-9]+( [a-z]+/[a-z0-9.+*-]+)*)*$",
            description=(
                "The buckets of infra/buckets.yml: of each the name, the largest object in bytes and the media types "
                "it takes (none: any), with blanks between and commas between buckets."
            ),
        ),
    ]
    upload_seconds: Annotated[
        int,
        Field(
            default=3600, ge=60, le=7200, description="How long a file may be uploaded to the addresses it was given."
        ),
    ]
    upload_part_bytes: Annotated[
        int,
        Field(
            default=32 * 1024 * 1024,
            ge=5 * 1024 * 1024,
            le=100 * 1024 * 1024,
            description="Bytes of one part of a large upload.",
        ),
    ]
    upload_whole_bytes: Annotated[
        int,
        Field(
            default=100 * 1000 * 1000,
            ge=5 * 1024 * 1024,
            le=100 * 1024 * 1024,
            description="Largest file that is uploaded in one request; a larger one comes in parts.",
        ),
    ]


class SecretSettings(Settings):
    """What opens the sealed secrets."""

    secret_key_file: Annotated[
        Path | None,
        Field(
            default=None, description="Key file of the sealed secrets on a laptop: outside the repository, mode 0600."
        ),
    ]
    secret_kms_key: Annotated[
        str | None,
        Field(
            default=None,
            description="KMS key (id, ARN or alias) under which secrets are sealed; goes before a key file.",
        ),
    ]


class OutboundSettings(Settings):
    """Whom workflows may call."""

    outbound_allow: Annotated[
        str,
        Field(
            default="",
            pattern=r"^\s*([^,\s]+:\d+(\s*,\s*[^,\s]+:\d+)*)?\s*$",
            description="Local peers that may be called though they are private: `host:port`, comma between.",
        ),
    ]


class InvocationSettings(Settings):
    """How a function calls another one and waits for its answer."""

    functions: Annotated[
        str,
        Field(
            default="none",
            pattern=r"^(none|lambda:[A-Za-z0-9_-]{1,40}|local:http://127\.0\.0\.1:\d{1,5})$",
            description=(
                "`lambda:<prefix>` on AWS (a function's name is `<prefix>-<function>`), `local:<address>` of the local "
                "stack, `none` where no function calls another."
            ),
        ),
    ]
    functions_token: Annotated[
        SecretStr | None, Field(default=None, min_length=32, description="What the local stack's functions show it.")
    ]


class CodeSettings(Settings):
    """How much code an owner may run."""

    code_runs_per_hour: Annotated[
        int, Field(default=2_000, ge=1, le=1_000_000, description="Runs of code that one owner may start in an hour.")
    ]
    code_cpu_seconds_per_hour: Annotated[
        int,
        Field(
            default=3_600, ge=1, le=1_000_000, description="Processor time that one owner's code may take in an hour."
        ),
    ]
    code_test_seconds: Annotated[
        float,
        Field(default=60.0, ge=1, le=90, description="Time that all tests of a tool may take when it registers."),
    ]
    code_links_seconds: Annotated[
        int, Field(default=900, ge=60, le=604_800, description="How long the address of a returned file works.")
    ]


class LimitSettings(Settings):
    """How large things may be."""

    body_limit_bytes: Annotated[
        int,
        Field(
            default=1024 * 1024,
            ge=1024,
            le=4_000_000,
            description="Largest request body; a larger one is answered 413.",
        ),
    ]
    payload_inline_bytes: Annotated[
        int,
        Field(
            default=64 * 1024,
            ge=1024,
            le=1024 * 1024,
            description="Largest JSON value kept in a row; a larger one goes to a bucket and the row refers to it.",
        ),
    ]
    payload_limit_bytes: Annotated[
        int,
        Field(
            default=32 * 1024 * 1024,
            ge=64 * 1024,
            le=512 * 1024 * 1024,
            description="Largest JSON value kept at all, in a row or in a bucket.",
        ),
    ]


class GraphSettings(Settings):
    """How large a workflow's graph may be."""

    graph_nodes: Annotated[int, Field(default=500, ge=1, le=10_000, description="Most nodes in one workflow.")]
    graph_edges: Annotated[int, Field(default=2_000, ge=1, le=40_000, description="Most edges in one workflow.")]
    graph_bytes: Annotated[
        int,
        Field(default=1024 * 1024, ge=1024, le=4_000_000, description="Largest graph, as compact JSON."),
    ]


class ExpressionSettings(Settings):
    """How much one CEL expression may be, read and make. In memory, JSON takes about four times its bytes."""

    expression_characters: Annotated[
        int, Field(default=8192, ge=256, le=65_536, description="Longest expression, in characters.")
    ]
    expression_input_bytes: Annotated[
        int,
        Field(
            default=16 * 1024 * 1024,
            ge=64 * 1024,
            le=256 * 1024 * 1024,
            description="Most data that one expression reads.",
        ),
    ]
    expression_result_bytes: Annotated[
        int,
        Field(
            default=4 * 1024 * 1024,
            ge=64 * 1024,
            le=64 * 1024 * 1024,
            description="Largest result that one expression makes; a value that is there already may be larger.",
        ),
    ]
    expression_work_bytes: Annotated[
        int,
        Field(
            default=64 * 1024 * 1024,
            ge=1024 * 1024,
            le=1024 * 1024 * 1024,
            description="Most that one expression reads and makes while it runs: its memory, and so its time.",
        ),
    ]


class NodeSettings(Settings):
    """What one step of a workflow may take."""

    list_items: Annotated[
        int,
        Field(default=10_000, ge=1, le=1_000_000, description="Most items that a map, filter, reduce or split reads."),
    ]
    wait_days: Annotated[int, Field(default=366, ge=1, le=3_660, description="Longest wait of a delay, in days.")]
    http_response_bytes: Annotated[
        int,
        Field(default=1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest answer to an http_request."),
    ]


class TelemetrySettings(Settings):
    """What a function says about itself."""

    log_level: Annotated[
        str,
        Field(
            default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$", description="Least level that is logged."
        ),
    ]
    metrics_namespace: Annotated[
        str,
        Field(
            default="", max_length=255, description="CloudWatch namespace of the metrics; none are written without one."
        ),
    ]


class EngineSettings(Settings):
    """How runs are driven."""

    lease_seconds: Annotated[
        float,
        Field(default=60.0, ge=1, le=900, description="How long a worker holds a run or a job without a checkpoint."),
    ]
    step_seconds: Annotated[
        float,
        Field(default=60.0, gt=0, le=800, description="Time of one attempt of a step whose node does not say."),
    ]
    job_seconds: Annotated[
        float,
        Field(default=3600.0, gt=0, le=86_400, description="Time of one attempt of a job whose node does not say."),
    ]
    run_parallel: Annotated[
        int, Field(default=8, ge=1, le=64, description="Effects of one run that may be under way at once.")
    ]
    worker_threads: Annotated[
        int, Field(default=32, ge=1, le=256, description="Effects that one worker may have under way at once.")
    ]
    step_output_bytes: Annotated[
        int,
        Field(
            default=2 * 1024 * 1024,
            ge=1024,
            le=16 * 1024 * 1024,
            description="Largest output of one step, as JSON. A trigger hands on a whole request body.",
        ),
    ]
    run_context_bytes: Annotated[
        int,
        Field(
            default=4 * 1024 * 1024,
            ge=1024,
            le=64 * 1024 * 1024,
            description="Largest sum of a run's step outputs, which its expressions may read.",
        ),
    ]
    stop_margin_seconds: Annotated[
        float,
        Field(default=3.0, ge=0.1, le=60, description="How long before the function's own deadline a worker stops."),
    ]


class JobSettings(Settings):
    """What tenants may ask of capabilities."""

    jobs_open: Annotated[
        int,
        Field(default=1000, ge=1, le=100_000, description="Jobs that one tenant may have under way; more are refused."),
    ]
    job_input_bytes: Annotated[
        int,
        Field(
            default=256 * 1024,
            ge=1024,
            le=1024 * 1024,
            description="Largest input of a job that a tenant asks for, as JSON.",
        ),
    ]


class ApiSettings(Settings):
    """What the API tells its callers."""

    public_url: Annotated[
        str | None,
        Field(
            default=None,
            pattern=r"^https?://[^/\s]+$",
            description="Address that others reach this installation at; the request's own when unset.",
        ),
    ]


class CapabilitySettings(Settings):
    """What the installation can do."""

    capabilities: Annotated[
        str,
        Field(
            default="",
            pattern=r"^([a-z_]+(,[a-z_]+)*)?$",
            description=(
                "Deployed capabilities, with commas between; a workflow that needs another is refused, and stored "
                "files make jobs of these only."
            ),
        ),
    ]

    @property
    def deployed(self) -> frozenset[str]:
        """The capabilities' names."""
        return frozenset(name for name in self.capabilities.split(",") if name)


class StoredFileSettings(Settings):
    """How stored files start workflows."""

    storage_triggers: Annotated[
        int,
        Field(default=100, ge=1, le=1_000, description="Most storage triggers that one owner may have for one bucket."),
    ]


class IntakeSettings(Settings):
    """How webhooks are taken in."""

    webhook_cache_seconds: Annotated[
        float,
        Field(default=5.0, ge=0, le=60, description="How long a subscription is kept between deliveries."),
    ]
    webhook_refusals_per_minute: Annotated[
        int,
        Field(
            default=60,
            ge=1,
            le=10_000,
            description="Refused deliveries written down per subscription and minute; above it they are answered 429.",
        ),
    ]
    webhook_waiters: Annotated[
        int,
        Field(
            default=10,
            ge=0,
            le=1_000,
            description="Callers that may wait at one subscription (`?wait=`) when it does not say; others get 202.",
        ),
    ]


class TickSettings(Settings):
    """How often what was forgotten is looked for, and how long what is past is kept."""

    tick_seconds: Annotated[
        float,
        Field(default=60.0, ge=0.1, le=300, description="Seconds between two ticks: 60 on AWS, 1 on a laptop."),
    ]
    tick_limit: Annotated[
        int,
        Field(default=500, ge=1, le=10_000, description="Runs, jobs and schedules that one look may find, of each."),
    ]
    bell_seconds: Annotated[
        float,
        Field(default=5.0, ge=0.1, le=300, description="How long a bell may be under way before it is rung again."),
    ]
    delivery_days: Annotated[
        int,
        Field(default=30, ge=1, le=3650, description="How long the ledger of webhook deliveries goes back, in days."),
    ]
    run_days: Annotated[
        int,
        Field(
            default=0,
            ge=0,
            le=3650,
            description="Days after which ended runs are deleted, with all they left; 0: never.",
        ),
    ]


class OcrSettings(Settings):
    """How documents are read by jobs."""

    ocr_part_pages: Annotated[
        int,
        Field(default=4, ge=1, le=1000, description="Pages of one part of a longer document; parts run in parallel."),
    ]
    ocr_page_bytes: Annotated[
        int,
        Field(
            default=512 * 1024,
            ge=1024,
            le=16 * 1024 * 1024,
            description="Largest page, as JSON, kept in a row while the rest is read; a larger one goes to a bucket.",
        ),
    ]
    ocr_output_bytes: Annotated[
        int,
        Field(
            default=1024 * 1024,
            ge=16 * 1024,
            le=16 * 1024 * 1024,
            description="Most that a document gives the next step of a run, as JSON; the rest is left to the API.",
        ),
    ]


class ReaderSettings(Settings):
    """How much of a document is read, and with what."""

    ocr_document_bytes: Annotated[
        int,
        Field(default=200 * 1024 * 1024, ge=1024, le=1024**3, description="Largest document that is read."),
    ]
    ocr_pages: Annotated[
        int,
        Field(default=2_000, ge=1, le=100_000, description="Most pages of one document; one with more is refused."),
    ]
    ocr_image_pixels: Annotated[
        int,
        Field(
            default=80_000_000,
            ge=1_000_000,
            le=500_000_000,
            description="Most pixels of an image that is decoded: a page of A3 at 600 dpi has 70 million.",
        ),
    ]
    ocr_dpi: Annotated[
        int,
        Field(default=200, ge=72, le=400, description="Resolution at which a PDF's page is drawn to be recognised."),
    ]
    ocr_threads: Annotated[
        int,
        Field(default=0, ge=0, le=64, description="Threads of recognition; 0: as many as there are cores."),
    ]
    ocr_page_seconds: Annotated[
        float,
        Field(
            default=60.0,
            gt=0,
            le=800,
            description="Time of one page, after which it is not tried again by another way; what was found counts.",
        ),
    ]
    ocr_tessdata: Annotated[
        Path | None,
        Field(
            default=None,
            description="Folder of Tesseract's `eng.traineddata`; that of `make install-ocr` when unset.",
        ),
    ]


class SandboxSettings(Settings):
    """How untrusted code is run."""

    sandbox_parallel: Annotated[
        int, Field(default=2, ge=1, le=64, description="Programs that one sandbox runs at once; others wait.")
    ]
    sandbox_warm: Annotated[
        int,
        Field(default=2, ge=0, le=64, description="Idle processes that are ready for the next programs, per language."),
    ]
    sandbox_memory_mb: Annotated[
        int, Field(default=512, ge=32, le=1024, description="Most memory that one program may ask for, in MB.")
    ]
    sandbox_fresh: Annotated[
        str | None,
        Field(
            default=None,
            pattern=r"^(fork|spawn)$",
            description="How a program's process is made: `fork` from a prepared one (Linux), else `spawn`.",
        ),
    ]
    sandbox_cache: Annotated[
        Path | None,
        Field(
            default=None,
            description="Private folder for interpreters compiled at first start; in the temporary folder when unset.",
        ),
    ]
