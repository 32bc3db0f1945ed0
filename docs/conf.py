"""Settings of the documentation site (make docs). Its pages are Markdown, which GitHub shows too."""

import json
import re
from pathlib import Path

from genenet import __version__

ROOT = Path(__file__).parents[1]

project = "genenet"
author = "The genenet developers"
copyright = "the genenet developers, MIT licence"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "notebooks"]
html_theme = "furo"
html_title = f"genenet {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
highlight_language = "none"

myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page of the repository may begin with a lower heading
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "NDArray": "NDArray"}
napoleon_use_ivar = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

# Links of files that lie elsewhere in the repository, as they are called here
MOVED = {
    "docs/": "",
    "../containers/README.md": "containers.md",
    "CONTRIBUTING.md": "contributing.md",
    "CITATION.cff": "../CITATION.cff",
}


def site_links(text: str) -> str:
    """Let relative links lead to the pages of this site."""
    for old, new in MOVED.items():
        text = text.replace(f"]({old}", f"]({new}")
    return text


def from_notebook(path: Path) -> str:
    """Return a notebook's cells and outputs as Markdown; pictures lie in the page."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += [_output(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts)


def _output(output: dict) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![what the cell above draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
    text = "".join(output.get("text", data.get("text/plain", [])))
    return f"```text\n{text.rstrip()}\n```"


def _put_in(match: re.Match[str]) -> str:
    path = ROOT / "docs" / match[1]
    return from_notebook(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


def read_source(app, docname: str, source: list[str]) -> None:
    """Put in the files that ``<!-- show: PATH -->`` names, and adapt links to the site."""
    source[0] = site_links(re.sub(r"<!-- show: (\S+) -->", _put_in, source[0]))


def setup(app) -> None:
    """Register the hook that reads the pages; Sphinx calls this function."""
    app.connect("source-read", read_source)
