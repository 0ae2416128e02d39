"""The guide for those who come from gunicorn is complete."""

import pathlib
import re
import subprocess

from gunicorn.config import KNOWN_SETTINGS
from serving import PROGRAM

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "from-gunicorn.md"


SETTINGS = {setting.name: setting for setting in KNOWN_SETTINGS}


def rows():
    """The table of settings: names, what is said of them in one word, and the rest."""
    for line in GUIDE.read_text().splitlines():
        if re.match(r"\| `\w", line):
            _, names, word, remark, _ = line.split("|")
            yield re.findall(r"`(\w+)`", names), word.strip(), remark


def run(*words, cwd):
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, cwd=cwd, check=False)


def test_every_setting_of_gunicorn_is_in_the_guide():
    named = [name for names, _, _ in rows() for name in names]
    assert len(named) == len(set(named))
    assert set(named) == {setting.name for setting in KNOWN_SETTINGS}


def test_a_setting_has_its_flags_if_the_guide_says_so(tmp_path):
    flags = set(re.findall(r"(?<![\w-])--?[\w-]+", run("--help", cwd=tmp_path).stdout))
    for names, word, _ in rows():
        theirs = {flag for name in names for flag in SETTINGS[name].cli or []}
        assert word in ("same", "other", "no"), names
        assert theirs <= flags if word == "same" else word == "other" or not theirs & flags, names


def test_the_guide_says_what_a_setting_is_called_in_a_file(tmp_path):
    file = tmp_path / "rserve.toml"

    def is_known(name):
        file.write_text(f"{name} = true\n")
        return "no setting" not in run("--check-config", cwd=tmp_path).stderr

    assert not is_known("nothing")
    for names, word, remark in rows():
        said = [name for listed in re.findall(r"[Ii]n a file (`\w+`(?:, `\w+`)*)", remark) for name in re.findall(r"\w+", listed)]
        assert all(map(is_known, said)), said
        if word == "same" and not said:
            # What is for the command line alone has no name in a file, and what has no flag need have none.
            assert all(is_known(name) for name in names if SETTINGS[name].cli and name not in ("check_config", "print_config")), names
