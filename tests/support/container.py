"""A real Apptainer on a Debian that has none, and the image that the tests' jobs run in.

`python -m tests.support.container` makes both and prints the image's path. What was made is kept in
$GENENET_CACHE or /var/cache/genenet-tests, under the hash of what it was made from.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# not below /root: a build as an ordinary user sees its own home there
CACHE = Path(os.environ.get("GENENET_CACHE") or "/var/cache/genenet-tests")
PACKAGES = ("mmdebstrap", "patchelf", "squashfs-tools", "squashfuse", "fuse2fs", "uidmap", "binutils")
APPTAINER_PACKAGES = ("apptainer", "libc6", "libseccomp2", "libsqlite3-0")
APPTAINER_RELEASE = "sid"  # Debian 12 has no apptainer; this one needs a newer glibc, which stays private
LIBRARIES = Path("/usr/local/lib/apptainer-glibc")
STARTER = Path("/usr/lib/x86_64-linux-gnu/apptainer")
PROGRAM = Path("/usr/bin/apptainer")
USER = "genenet-image"  # root can't build where it lacks CAP_SYS_RESOURCE; an ordinary user can
SOURCES = (
    *("Makefile", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"),
    *("containers/genenet.def", "genenet"),
)
PYTHON = "3.11"  # of the image's Debian
BUILD_PACKAGES = ("setuptools", "wheel")
COMMIT = "of the tests"  # the image's label
KEPT_IMAGES = 2


def run(*command: object, **options: object) -> str:
    """Run a program; its standard output, or its last words in an error."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]} (exit {done.returncode}): {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One at a time, of all processes of this machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_apptainer() -> None:
    """Put Apptainer on the PATH, with a glibc of its own."""
    with locked("apptainer"):
        if shutil.which("apptainer"):
            return
        folder = CACHE / "apptainer.new"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(LIBRARIES, ignore_errors=True)
        unpacked = {package: _unpack(package, folder) for package in APPTAINER_PACKAGES}
        for package in APPTAINER_PACKAGES[1:]:
            shutil.copytree(
                unpacked[package] / "usr/lib/x86_64-linux-gnu", LIBRARIES, symlinks=True, dirs_exist_ok=True
            )
        ours = unpacked["apptainer"]
        shutil.copytree(ours / "etc/apptainer", "/etc/apptainer", symlinks=True, dirs_exist_ok=True)
        shutil.copytree(
            ours / "usr/lib/x86_64-linux-gnu/apptainer", STARTER, symlinks=True, dirs_exist_ok=True
        )
        _let_root_keep_its_capabilities_to_itself()
        for program in (STARTER / "bin/starter", ours / "usr/bin/apptainer"):
            loader = LIBRARIES / "ld-linux-x86-64.so.2"
            run("patchelf", "--set-interpreter", loader, "--force-rpath", "--set-rpath", LIBRARIES, program)
        Path("/var/lib/apptainer/mnt/session").mkdir(parents=True, exist_ok=True)
        shutil.copy2(ours / "usr/bin/apptainer", PROGRAM)  # last: with it, all is there
        shutil.rmtree(folder)


def _let_root_keep_its_capabilities_to_itself() -> None:
    """Where root has fewer than all, as on some virtual machines, Apptainer would fail to hand all on."""
    configuration = Path("/etc/apptainer/apptainer.conf")
    full, none = (f"root default capabilities = {which}" for which in ("full", "no"))
    text = configuration.read_text()
    assert full in text, f"{configuration} doesn't say {full}"
    configuration.write_text(text.replace(full, none))


def _unpack(package: str, folder: Path) -> Path:
    """Download a package of a later Debian, without touching what this machine's apt knows; unpack it."""
    apt = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", *(f"-o{key}={value}" for key, value in options.items())]
    if not (apt / "sources.list").exists():
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (apt / "sources.list").write_text(f"deb [signed-by={key}] {_mirror()} {APPTAINER_RELEASE} main\n")
        run(*command, "update")
    run(*command, "download", package, cwd=folder)
    (file,) = folder.glob(f"{package}_*.deb")
    run("dpkg", "-x", file, folder / package)
    return folder / package


def _mirror() -> str:
    """Return the address that this machine gets Debian from."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(file.read_text() for file in files if file.exists())
    found = re.search(r"^(?:URIs:|deb(?: \[.*?\])?) *(\S*/debian/?)(?: |$)", text, re.MULTILINE)
    assert found, "apt's sources name no Debian mirror"
    return found[1]


def build_image() -> Path:
    """Return the image with this genenet, built if there is none yet."""
    with locked("image"):
        image = CACHE / f"genenet-{_hash(_files(ROOT / name for name in SOURCES))}.sif"
        if not image.exists():
            _build(image)
        os.utime(image)
        by_use = sorted(CACHE.glob("genenet-*.sif"), key=lambda path: path.stat().st_mtime)
        for old in by_use[:-KEPT_IMAGES]:
            old.unlink()
    return image


def _build(image: Path) -> None:
    _make_user()
    base, wheels = _base(), _wheels()
    stage = CACHE / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (stage / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, stage / "source" / name)
    for name in ("tmp", "home"):
        (stage / name).mkdir()
    run("chown", "-R", USER, stage)
    arguments = ("bootstrap=localimage", f"from={base}", "pip_options=--no-index --find-links /wheels")
    options = ["--bind", f"{wheels}:/wheels", "--mksquashfs-args", "-comp zstd -Xcompression-level 1"]
    options += [word for argument in arguments for word in ("--build-arg", argument)]
    run(
        *("runuser", "-u", USER, "--", "env", f"HOME={stage / 'home'}", f"APPTAINER_TMPDIR={stage / 'tmp'}"),
        *("make", "container", f"IMAGE={stage / 'genenet.sif'}", f"COMMIT={COMMIT}"),
        f"CONTAINER_ARGS={shlex.join(options)}",
        cwd=stage / "source",
    )
    os.replace(stage / "genenet.sif", image)
    shutil.rmtree(stage)


def _make_user() -> None:
    if USER not in Path("/etc/passwd").read_text():
        run("useradd", "--system", "--create-home", USER)
    if USER not in (Path("/etc/subuid").read_text() if Path("/etc/subuid").exists() else ""):
        run("usermod", "--add-subuids", "200000-265535", "--add-subgids", "200000-265535", USER)
    for folder in (CACHE, *CACHE.parents):  # the user must come here, but needn't see what else is there
        folder.chmod(folder.stat().st_mode | 0o011)


def _base() -> Path:
    """Return a plain Debian with Python, as a folder that belongs to the user."""
    base = CACHE / "base"
    if not base.exists():
        new = CACHE / "base.new"
        shutil.rmtree(new, ignore_errors=True)
        run("mmdebstrap", "--variant=minbase", "--include=python3,python3-venv", "bookworm", new)
        for node in (new / "dev").iterdir():  # an ordinary user can't make them
            shutil.rmtree(node) if node.is_dir() and not node.is_symlink() else node.unlink()
        run("chown", "-R", USER, new)
        os.replace(new, base)
    return base


def _wheels() -> Path:
    """Return a folder with all that genenet needs, as pinned."""
    pins = ROOT / "constraints.txt"
    wheels = CACHE / f"wheels-{_hash([pins, ROOT / 'pyproject.toml'])}"
    if not wheels.exists():
        for old in CACHE.glob("wheels*"):
            shutil.rmtree(old)
        new = CACHE / "wheels.new"
        needed = _requirements()
        run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", new, "--constraint", pins),
            *("--only-binary=:all:", "--python-version", PYTHON, *needed, *BUILD_PACKAGES),
        )
        os.replace(new, wheels)
    return wheels


def _requirements() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def _files(paths: Iterable[Path]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]


def _hash(files: Iterable[Path]) -> str:
    """Return a hash of the files' names and contents, and of this recipe."""
    digest = hashlib.sha256()
    for file in [Path(__file__), *files]:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    install_apptainer()
    print(build_image())
