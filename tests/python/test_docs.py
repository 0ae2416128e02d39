"""The guide for those who come from gunicorn is complete."""

import pathlib
import re

from gunicorn.config import KNOWN_SETTINGS

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "from-gunicorn.md"


def test_every_setting_of_gunicorn_is_in_the_guide():
    rows = [line.split("|")[1] for line in GUIDE.read_text().splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(rows))
    assert len(named) == len(set(named))
    assert set(named) == {setting.name for setting in KNOWN_SETTINGS}
