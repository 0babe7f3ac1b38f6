"""When a schedule fires next: 5-field cron in an IANA time zone, over ``cronsim``.

The fields are minute, hour, day of month, month, day of week; ``@hourly``, ``@daily`` (``@midnight``), ``@weekly``,
``@monthly`` and ``@yearly`` (``@annually``) are short for them. ``L``, ``LW`` and ``FRI#2`` are understood.

Daylight saving is what Debian's cron does. A job at a fixed time that falls into the hour that is skipped fires once,
right after the gap; one that falls into the hour that comes twice fires in the first of them only. A job with a
wildcard minute or hour follows real time, so ``*/30 * * * *`` fires through both.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from shared.errors import Invalid

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_LONGEST = 256  #: characters; a list of every minute has 169


class CronError(Invalid):
    """The schedule cannot be read, or never fires."""

    slug = "invalid-schedule"


def next_fire(expression: str, timezone: str, after: datetime) -> datetime:
    """The first instant strictly after ``after`` (aware) at which ``expression`` fires in ``timezone``, as aware UTC.

    Raises :class:`CronError` for what is not 5-field cron, an unknown zone, or a date that never comes (30 February).
    """
    if after.tzinfo is None:
        raise ValueError("'after' must be an aware datetime")
    from cronsim import CronSim, CronSimError

    fields = _fields(expression)
    zone = _zone(timezone)
    try:
        ticks = CronSim(fields, after.astimezone(zone))
        # cronsim computes a fixed time on the wall clock. Started inside the hour that comes twice, it may name the
        # first of the two, which is past: hence the loop.
        while True:
            wall = next(ticks)
            fire = wall.astimezone(UTC)
            if ticks.fixup_tz is None and fire.astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
                # A wildcard job was given a time that the clock skips (midnight, where summer time starts at
                # midnight): look again in real time from the gap on.
                ticks = CronSim(fields, (fire - timedelta(seconds=1)).astimezone(zone))
            elif fire > after:
                return fire
    except CronSimError as error:
        raise CronError(f"Not a schedule: {str(error).lower()} in {expression!r}.") from None
    except (StopIteration, OverflowError):
        raise CronError(f"The schedule {expression!r} never fires.") from None


def check(expression: str, timezone: str) -> None:
    """Raise :class:`CronError` unless ``expression`` fires some day in ``timezone``."""
    next_fire(expression, timezone, datetime(2000, 1, 1, tzinfo=UTC))


def _fields(expression: str) -> str:
    """The five fields of ``expression``, its alias resolved."""
    if len(expression) > _LONGEST:
        raise CronError(f"A schedule has at most {_LONGEST} characters.")
    text = expression.strip()
    if text.startswith("@"):
        try:
            return ALIASES[text.lower()]
        except KeyError:
            raise CronError(f"{text!r} is not known.", remedy=f"Use one of {', '.join(ALIASES)}.") from None
    if (count := len(text.split())) != 5:
        raise CronError(
            f"A schedule has 5 fields (minute, hour, day of month, month, day of week); this has {count}.",
            remedy="Leave out seconds and years." if count > 5 else None,
        )
    return text


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # zoneinfo's own error for an unknown name is a KeyError; a directory or a path outside is one of the others
        raise CronError(f"{name!r} is not an IANA time zone.", remedy="Use a name such as Europe/Berlin.") from None
