"""A finished search of one small network, and a folder of another search that starts from it, as files."""

import json
import shutil
from pathlib import Path

from genenet.config.start import READ
from genenet.core.atomic_files import write_json
from genenet.core.paths import ResultPaths
from genenet.ensembles.ranking import write_ranking
from genenet.ensembles.start import read_start, start_of, write_start
from genenet.genes.genome import Genome, read_genome
from genenet.training.outcome_reader import read_outcome
from genenet.training.run import TrainingRun
from tests.support import runs

PLAIN = {**runs.GENOME, "dropout_rate": 0.0}


class Searches:
    """A finished search of one network in ``old``, and one in ``new`` that starts from it."""

    def __init__(self, folder):
        runs.make(folder, genome=PLAIN, iterations=20, validation_interval=5, optimiser={"ema_decay": 0.9})
        self.open(folder)
        read_genome(folder / "genome.json").write(self.before.genome("r0/000"))
        assert self.training("r0/000", self.before, starts=False).run()
        self.finish()

    def open(self, folder):
        self.folder, self.old = folder, folder / "old"
        self.before, self.now = ResultPaths(self.old), ResultPaths(folder / "new")
        self.settings = json.loads((folder / "train.json").read_text())
        return self

    def finish(self):
        """Write the ranking and the ensemble, as the selection does, and the settings of the stages before."""
        prepared = {"images": [], "classes": runs.CLASSES, "ignore_label": 9, "voxel_size_nm": [40, 10, 10]}
        selected = {"normalisation": "volume", "ensemble": {"max_size": 4, "size": 3, "metric": "mean_iou"}}
        for stage, values in {"train": self.settings, "prepare_train": prepared, "select": selected}.items():
            write_json(Path(self.before.settings(stage)), values)
        write_ranking(Path(self.before.ranking), [read_outcome(self.before, "r0/000")])
        place = Path(self.before.ensemble) / "members/00"
        place.mkdir(parents=True)
        shutil.copyfile(self.before.genome("r0/000"), place / "genome.json")
        shutil.copyfile(self.before.run("r0/000").weights, place / "model.safetensors")
        entry = {"folder": "members/00", "run": "r0/000", "genome": read_genome(place / "genome.json").id}
        values = {
            "format": READ,
            "classes": runs.CLASSES,
            "voxel_size_nm": [40, 10, 10],
            "normalisation": {"mode": "volume", "mean": 0, "deviation": 1},
            "selected_on": ["validation.tif"],
            "members": [entry],
        }
        (place.parents[1] / "ensemble.json").write_text(json.dumps(values))

    def start(self, folder=None, **values):
        """Write start.json; ``values`` are what it says instead."""
        path = Path(self.now.start)
        write_start(folder or self.old, path)
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        return read_start(path)

    def training(self, run, paths=None, starts=True, results=True, **training):
        paths = paths or self.now
        settings = self.folder / f"{paths.results.name}_{run.replace('/', '_')}.json"
        values = {**self.settings, "training": {**self.settings["training"], **training}}
        settings.write_text(json.dumps({**values, **({"starts": True} if starts else {})}))
        data = [self.folder / f"{split}.zarr.zip" for split in ("train", "validation")]
        start = (lambda genome: start_of(paths, run, genome)) if results else None
        return TrainingRun(Path(paths.genome(run)), *data, settings, paths.run(run), start_of=start)

    def genome(self, run, **values):
        Genome(run, {"net": {**PLAIN, **values}}).write(self.now.genome(run))
