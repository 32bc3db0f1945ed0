"""A results folder written by hand, as a report reads it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import tifffile

from genenet.config.settings import ImageFiles, ReportSettings
from genenet.core.atomic_files import write_json
from genenet.core.paths import ResultPaths
from genenet.ensembles.description import FORMAT
from genenet.ensembles.ranking import write_ranking
from genenet.genes.genome import Genome
from genenet.report.report import write_report
from genenet.training.outcome_reader import read_outcomes
from tests.support.stores import write_store

HOSTILE = '<script>alert("x")</script>'


CLASSES = ["background", HOSTILE, "$granule_{"]


SHAPE = (3, 20, 30)


SCORES = {
    "ari": 0.7123,
    "mean_iou": 0.5432,
    "accuracy": 0.8,
    "iou": [0.9, 0.4321, None],
    "confusion": [[6, 2, 0], [1, 3, 0], [0, 0, 0]],
}


FAILED = {"status": "diverged", "reason": "the loss was <nan> at iteration 5"}


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.rows: dict[
            str, list[list[str]]
        ] = {}  # the texts of the cells of each row, by the id of the table
        self.table = ""
        self.source = text
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.table = dict(attrs).get("id") or ""
        elif tag == "tr":
            self.rows.setdefault(self.table, []).append([])
        elif tag in ("td", "th"):
            self.rows[self.table][-1].append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem != "script":
            self.words.append(data)
        if self.rows.get(self.table) and self.rows[self.table][-1]:
            self.rows[self.table][-1][-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.table = ""

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def images(self) -> list[dict[str, str | None]]:
        """Slices, without the pictures of genomes and the viewer's."""
        return [image for image in self.all("img") if image.get("class") == "slice"]

    @property
    def sources(self) -> list[str]:
        names = ("src", "srcset", "href", "data", "poster", "action")
        return [a[name] or "" for _, a in self.tags for name in names if name in a]


def ok(ari: float | None, **more: object) -> dict[str, object]:
    validation = {"ari": ari, "mean_iou": 0.4, "accuracy": 0.75, "iou": [0.9, 0.3, None]}
    return {
        "status": "ok",
        "iterations": 30,
        "best_iteration": 20,
        "seconds": 12.3,
        "validation": validation,
        **more,
    }


@dataclass
class Search:
    """A results folder; ``runs`` are the scores by name, best first after ranking."""

    root: Path
    runs: dict[str, dict[str, object]] = field(
        default_factory=lambda: {
            "r0/000": ok(0.7),
            "r0/001": ok(0.5),
            "r0/002": FAILED,
            "baselines/unet2015": ok(0.6),
        }
    )
    ari: float | None = 0.7123
    n_members: int = 1

    @property
    def paths(self) -> ResultPaths:
        return ResultPaths(self.root / "results")

    def write(self) -> None:
        for index, (run, outcome) in enumerate(self.runs.items()):
            scores = {"name": run, "genome": f"{index:012x}", "n_parameters": 1234 * (index + 1), **outcome}
            write_json(self.paths.run(run).scores, scores)
            rows = ["iteration,training_loss,learning_rate,validation_ari,seconds"]
            if outcome["status"] == "ok":
                rows += ["10,1.5,0.01,0.31,1.0", "20,1.1,0.01,nan,2.0", "30,1.0,0.01,0.5,3.0"]
            self.paths.run(run).history.write_text("\n".join(rows) + "\n")
            values = {"n_convkernels": 4 + index, "norm": index % 2, "n_stacks": 1, "input_size": 60}
            Genome(run, {"net": values}).write(Path(self.paths.genome(run)))
        outcomes = read_outcomes(self.paths, list(self.runs))
        write_ranking(Path(self.paths.ranking), outcomes)
        self.write_ensemble([o.run for o in outcomes if o.is_ok and not o.is_baseline])

    def write_ensemble(self, ranked: list[str]) -> None:
        rows = [f"{size},{run},{self.ari or 'nan'},0.4" for size, run in enumerate(ranked, start=1)]
        Path(self.paths.curve).write_text("\n".join(["size,added,validation_ari,mean_iou", *rows]) + "\n")
        members = [
            {"run": run, "genome": "0" * 12, "validation_ari": 0.7, "folder": f"members/{i:02d}"}
            for i, run in enumerate(ranked[: self.n_members])
        ]
        for member in members:
            genome = Genome(member["run"], {"net": {"n_stacks": 1, "input_size": 60}})
            genome.write(Path(self.paths.ensemble) / member["folder"] / "genome.json")
        description = {
            "format": FORMAT,
            "classes": CLASSES,
            "voxel_size_nm": [40, 10, 10],
            "normalisation": {"mode": "volume", "mean": 0.0, "deviation": 1.0},
            "selected_on": ["validation.tif"],
            "members": members,
            "baselines": {},
        }
        scores = {**SCORES, "ari": self.ari}
        write_json(Path(self.paths.ensemble) / "ensemble.json", {**description, "validation": scores})

    def segment(self, name: str, shape: tuple[int, int, int] = SHAPE, labels: bool = True) -> ImageFiles:
        """Write a volume and its segmentation, whose middle slice is all class 1."""
        image = np.random.default_rng(0).integers(0, 65535, shape, np.uint16)
        truth = np.zeros(shape, np.uint8)
        truth[:, :2] = 255  # ignored
        found = np.zeros(shape, np.uint8)
        found[shape[0] // 2] = 1
        uncertainty = np.full((1, *shape), 128, np.uint8)
        write_store(Path(self.paths.store(name)), found, uncertainty, classes=CLASSES)
        for kind, array in (("image", image), ("labels", truth)):
            tifffile.imwrite(self.root / f"{name}-{kind}.tif", array, photometric="minisblack")
        files = [[self.root / f"{name}-{kind}.tif"] for kind in ("image", "labels")]
        return ImageFiles(image=files[0], labels=files[1] if labels else None, region=None)

    def control(self, name: str, **facts: object) -> str:
        """Write the scores of a control of two trainings, the second of which has failed; return its name."""
        own = f"controls/{name}_2"
        write_json(self.paths.run(own).scores, FAILED)
        scores = {"ari": 0.6543, "mean_iou": 0.5678}
        first = {"run": "r0/000", "status": "ok", "seconds": 12.3, "validation": {"ari": 0.7}}
        trainings = [{**first, "test": {"ari": 0.55, "mean_iou": 0.5}}, {"run": own, **FAILED}]
        values = {"control": name, "trainings": trainings, "validation": scores, "test": scores, **facts}
        write_json(Path(self.paths.control(name)), {"format": "genenet.control/1", **values})
        return name

    def page(self, *controls: str, **volumes: ImageFiles) -> Page:
        out = self.root / "report.html"
        write_report(self.paths.results, ReportSettings(volumes=volumes, controls=list(controls)), out)
        return Page(out.read_text(encoding="utf-8"))
