"""What is said of an image before anything is submitted; Apptainer itself is in tests/cluster."""

import os

import pytest

from genenet.cluster.container import _reason, check_container
from genenet.core import version
from genenet.core.errors import InputError


def test_without_apptainer_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="neither apptainer nor singularity is on the PATH"):
        check_container("image.sif", "", [])


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (
            "INFO: hello\ngenenet: error: the image holds genenet 1\n",
            "the image holds genenet 1",
        ),
        (
            "\x1b[31mFATAL:   \x1b[0m could not open image x.sif: image format not recognized\n",
            "can't be run: could not open image x.sif: image format not recognized",
        ),
        ("sh: 1: genenet: not found\n", "can't be run: sh: 1: genenet: not found"),
        ("", "can't be run: it prints no reason"),
    ],
)
def test_the_reason_is_genenets_or_apptainers(messages, reason):
    assert _reason(messages) == reason


def test_an_image_of_the_launchers_genenet_is_fine(monkeypatch):
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/genenet.sif")
    monkeypatch.delenv(version.LAUNCHER, raising=False)
    version.check_launcher()
    monkeypatch.setenv(version.LAUNCHER, "")
    version.announce_launcher()
    version.check_launcher()
    assert os.environ[version.LAUNCHER].startswith(version.__version__)


def test_an_image_of_another_genenet_is_refused(monkeypatch):
    monkeypatch.setenv(version.LAUNCHER, "9.9 (source 00000000)")
    version.check_launcher()  # outside of an image there is only one
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/genenet.sif")
    with pytest.raises(
        InputError, match=r"the image /images/genenet\.sif holds genenet .*build the image again"
    ):
        version.check_launcher()
