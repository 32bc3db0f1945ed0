"""What the documents say is so: commands, messages, links, the notebook."""

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from genenet.cli.commands import app

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "containers/README.md"]
)
COMMAND = re.compile(r"(?:^|[\s/])genenet ((?:--)?[a-z][^|;&#>`]*)")
EVERYWHERE = {"--debug", "--log", "--help", "--version"}


def test_all_commands_are_loaded():
    import genenet.cli.main  # noqa: F401

    assert {"segment", "draw"} <= set(group().commands)


def group():
    import genenet.cli.main  # noqa: F401

    return typer.main.get_command(app)


def fenced(page):
    """Commands in blocks of shell lines, with continued lines joined, and those in running text."""
    text = page.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    lines = [line.partition(" #")[0] for b in blocks for line in b.replace("\\\n", " ").splitlines()]
    return [m for line in lines for m in COMMAND.findall(line)]


def inline(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [m for span in spans for m in COMMAND.findall(span)]


CASES = [
    (page.relative_to(ROOT), kind, found)
    for page in PAGES
    for kind, parse in (("block", fenced), ("text", inline))
    for found in parse(page)
    if not found.startswith("genenet")
]


def problem(words, whole):
    """Return what is wrong with a command line, without running it; ``whole``: nothing may be missing."""
    if words[0] in EVERYWHERE:
        return None
    command = group().commands.get(words[0])
    if command is None:
        return f"no command {words[0]}"
    words = [word for word in words[1:] if word != "--debug"]
    if whole:
        try:
            command.make_context(words[0] if words else "", list(words))
        except Exception as error:  # typer brings a click of its own
            return f"{type(error).__name__}: {getattr(error, 'message', error)}"
        return None
    known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | EVERYWHERE
    unknown = [w for w in words if w.startswith("--") and w.partition("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize(("page", "kind", "line"), CASES)
def test_command_lines_can_be_parsed(page, kind, line):
    words = shlex.split(line)
    wrong = problem(words, whole=kind == "block" and "--help" not in words)
    assert wrong is None, f"{page}: genenet {line}: {wrong}"


def test_there_are_many_and_wrong_ones_are_found():
    assert len(CASES) > 40
    assert problem(["segmnet"], whole=False) == "no command segmnet"
    assert "--ensmble" in problem(["segment", "--ensmble", "x"], whole=False)
    assert problem(["segment", "--ensemble", "x", "i.tif"], whole=True)


def strings():
    """All text in the package's source, what is filled in left out."""
    for path in (ROOT / "genenet").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%[\d.]*[sdgf]", "\0", node.value)


def test_the_messages_explained_are_those_of_the_code():
    everything = "\n".join(strings())
    for message in re.findall(r"\*\*`(.+?)`\*\*", (DOCS / "troubleshooting.md").read_text()):
        for part in (part.strip(" ():'") for part in re.split("…|; ", message)):
            assert part in everything, f"{message}: {part}"


def test_links_lead_somewhere():
    """Also where no site is made, as on GitHub."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.docs
@pytest.mark.process
def test_the_site_can_be_built(tmp_path):
    """With warnings as errors: a link to a page that isn't there is one."""
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-d", tmp_path / "trees"]
    done = subprocess.run([*command, DOCS, tmp_path / "site"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in DOCS.glob("*.md"):
        for title in re.findall(r"^# (.+)$", page.read_text(), re.M)[:1]:
            made = (tmp_path / "site" / page.with_suffix(".html").name).read_text()
            assert f"<h1>{title}<" in made, f"{page.name} isn't in the site: Sphinx has a page of this name"
    reference = (tmp_path / "site/python.html").read_text()
    import genenet

    for name in set(genenet.__all__) - {"__version__"}:
        assert f'id="genenet.{name}"' in reference, name
    notebook = (tmp_path / "site/notebook.html").read_text()
    assert notebook.count("data:image/png") + notebook.count("_images/") >= 2


@pytest.mark.docs
def test_the_notebook_runs(monkeypatch):
    import nbclient
    import nbformat

    assert importlib.util.find_spec("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(DOCS / "notebooks/first_hour.ipynb", as_version=4)
    done = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    text = "".join(output.get("text", "") for output in outputs)
    assert float(re.search(r"ARI on the test image: ([\d.]+)", text)[1]) > 0.8
