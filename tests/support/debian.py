"""Debian's packages that tests need and that may be installed: as root, and without starting services."""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


def install(packages: tuple[str, ...]) -> None:
    """Install what isn't installed; start none of the services. Without anything to do, use no network."""
    with open("/run/lock/genenet-install.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if absent := [package for package in packages if not _installed(package)]:
            apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            with _services_forbidden():
                subprocess.run([*apt, "update"], check=True, env=environment)
                subprocess.run(
                    [*apt, "install", "-y", "--no-install-recommends", *absent], check=True, env=environment
                )


def _installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


@contextlib.contextmanager
def _services_forbidden() -> Iterator[None]:
    """Debian's maintainer scripts ask policy-rc.d before they start a service; 101 means no."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
