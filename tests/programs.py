"""System programs that some tests need: skipped by name on a person's machine, failed where CI=true."""

import os
import shutil

import pytest

PACKAGES = {
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "xmllint": "libxml2-utils",
    "tv_validate_file": "xmltv-util",
    "nginx": "nginx-light",
    "systemd-analyze": "systemd",
    "make": "make",
}
"""Debian's package of each program."""


def needs(*programs: str) -> None:
    """Skip the calling test, saying what to install, when one of the programs is missing; fail it in CI."""
    # Debian keeps nginx in /usr/sbin, which is not on every person's PATH.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    missing = [program for program in programs if not shutil.which(program, path=path)]
    if not missing:
        return
    packages = " ".join(sorted({PACKAGES.get(program, program) for program in missing}))
    reason = f"{', '.join(missing)} not found: apt-get install {packages}"
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(reason)
    pytest.skip(reason)
