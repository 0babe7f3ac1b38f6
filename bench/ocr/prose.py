"""Text for pages: sentences, names, amounts, dates, codes. All of it comes from one seeded generator.

Sentences are grammatical, since both engines' models have learned what language looks like; numbers, codes and
addresses stand among them, since there no model can guess.
"""

from __future__ import annotations

from random import Random


def _list(text: str) -> tuple[str, ...]:
    """What stands between the bars; a line of the source ends where a bar does."""
    return tuple(part for line in text.strip().splitlines() for part in line.strip().removesuffix("|").split("|"))


SUBJECTS = _list(
    """
    the committee|our supplier|the night shift|a careful reader|the harbour office|her younger brother|
    the archive|every second visitor|the new engine|a retired teacher|the river|this agreement|the insurer|
    one of the passengers|the bakery|the survey|my neighbour|the laboratory|a small company|the orchestra|
    the landlord|the warehouse|the council|nobody
    """
)
VERBS = _list(
    """
    confirmed|has delivered|quietly replaced|will inspect|refused|described|never received|had expected|measured|
    photographed|returned|is going to publish|usually checks|carried|postponed|acknowledged|sketched|
    has questioned|exceeded|forwarded|rebuilt|counted|would prefer|signed
    """
)
OBJECTS = _list(
    """
    the quarterly figures|a damaged parcel|seven wooden boxes|the original drawings|an unusual request|
    the spare keys|half of the payment|the lighthouse|two copies of the form|the previous invoice|
    a list of questions|the kitchen window|the whole shipment|a letter without a stamp|the bridge|every exhibit|
    the quiet garden|a bicycle|the last paragraph|the oxygen valves|a jar of quince jelly|the express train|
    fresh evidence|the schedule
    """
)
ENDS = _list(
    """
    before the end of March|without further notice|at the request of the buyer|on a rainy afternoon|
    for the third time|because the road was closed|in spite of the weather|while the others waited|
    under the terms of clause {n}|within {n} working days|at a price of {amount}|as agreed on {date}|
    near the old quay|after a long discussion|with reference to {code}|(see page {n})|for no obvious reason|
    by {name}|and left at {time}|since {year}
    """
)
OPENERS = (
    "However, ",
    "Meanwhile, ",
    "In {year}, ",
    "According to {name}, ",
    "Nevertheless, ",
    "For example, ",
    "At {time}, ",
    *[""] * 9,
)
FIRST = _list(
    """
    Anna|Boris|Chiara|Daniel|Elif|Fatima|George|Hanna|Ivan|Julia|Kofi|Laura|Marek|Nadia|Oscar|Priya|Quentin|Rosa|
    Samuel|Tove
    """
)
LAST = _list(
    """
    Berg|Castillo|Dubois|Eriksen|Fischer|Greene|Haddad|Ivanov|Jensen|Kowalski|Lindqvist|Moreau|Novak|Okafor|
    Petrov|Quist|Weber
    """
)
GOODS = _list(
    """
    Hex bolts M8|Copper wire 2.5 mm|Desk lamp|Paper A4 80 g|Toner black|USB cable 2 m|Safety gloves|Filter coffee|
    Whole milk 1 l|Rye bread|Cherry jam|Olive oil|Wall paint white|Ball bearing 6204|Hourly labour|Site visit|
    Annual licence|Oak board|Green tea|Shower gel|Batteries AA|Door hinge|Garden hose|Envelope C5|Notebook ruled|
    Fuse 16 A|Sea salt|Apple juice|Cable ties|Packing tape
    """
)
STREETS = _list(
    """
    Harbour Street|Mill Lane|Station Road|Kings Avenue|Old Quay|Church Hill|Garden Walk|North Parade
    """
)
TOWNS = _list(
    """
    Norwich|Bergen|Porto|Leipzig|Galway|Tartu|Lyon|Utrecht|Graz|Malmo
    """
)
MONTHS = _list(
    """
    January|February|March|April|May|June|July|August|September|October|November|December
    """
)


def amount(rng: Random, most: float = 4000) -> str:
    """Money: `1,204.50`."""
    return f"{rng.uniform(1, most):,.2f}"


def date(rng: Random) -> str:
    """A date in one of three ways."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1998, 2026)
    return rng.choice(
        (f"{day} {MONTHS[month - 1]} {year}", f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}")
    )


def code(rng: Random) -> str:
    """A reference that nobody can guess: `KX-20418/7`."""
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(2))
    return f"{letters}-{rng.randint(10000, 99999)}/{rng.randint(1, 9)}"


def name(rng: Random) -> str:
    """A person."""
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def _filled(rng: Random, text: str) -> str:
    slots = {
        "n": str(rng.randint(2, 99)),
        "amount": f"{rng.choice(('EUR', 'USD', '$', 'GBP'))} {amount(rng)}".replace("$ ", "$"),
        "date": date(rng),
        "code": code(rng),
        "name": name(rng),
        "time": f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
        "year": str(rng.randint(1890, 2026)),
    }
    return text.format(**slots)


def sentence(rng: Random) -> str:
    """One sentence of eight to twenty words."""
    opener = _filled(rng, rng.choice(OPENERS))
    subject, verb, object_ = (rng.choice(words) for words in (SUBJECTS, VERBS, OBJECTS))
    parts = f"{opener}{subject} {verb} {object_} {_filled(rng, rng.choice(ENDS))}"
    if rng.random() < 0.3:
        more = (rng.choice(words) for words in (SUBJECTS, VERBS, OBJECTS))
        parts += f"{rng.choice((', and', '; yet', ', but'))} {' '.join(more)}"
    return parts[0].upper() + parts[1:] + rng.choice(".....?!")


def paragraph(rng: Random, sentences: int) -> str:
    """Sentences in a row."""
    return " ".join(sentence(rng) for _ in range(sentences))


def address(rng: Random) -> list[str]:
    """A name, a street and a town."""
    return [
        name(rng),
        f"{rng.randint(1, 240)} {rng.choice(STREETS)}",
        f"{rng.randint(10000, 99999)} {rng.choice(TOWNS)}",
    ]
