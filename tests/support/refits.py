"""A selected ensemble whose members are trained anew on all labelled images, as files."""

from pathlib import Path

from genenet.config.settings import SelectSettings, TrainSettings
from genenet.config.stages import REFIT_REPEAT
from genenet.core.atomic_files import read_json, write_json
from genenet.core.paths import ResultPaths
from genenet.ensembles.refit import RefitReceipt, read_receipt
from genenet.genes.genome import Genome, read_genome
from genenet.genes.plan import plan
from genenet.networks.network import Network
from genenet.networks.weights import save_weights
from genenet.training.prepared import open_prepared
from tests.support import runs

NET = {"n_convkernels": 2, "n_stacks": 1, "n_convlayers": 1, "input_size": 40}


class Selected:
    """A search whose ensemble of three members has been selected, and whose members are trained anew."""

    def __init__(self, folder, mode="volume"):
        self.paths, self.mode = ResultPaths(folder / "results"), mode
        data = Path(self.paths.data("refit")).parent
        data.mkdir(parents=True)
        for split, seed in (("train", 1), ("refit", 2)):
            runs.write_split(data, split, (1, 48, 48), seed)
        self.settings = SelectSettings(normalisation=mode, ensemble={"refit": True})
        train_ = open_prepared(Path(self.paths.data("train")))
        members = []
        for rank in range(3):
            run, place = f"r0/{5 - rank:03d}", Path(self.paths.selected) / f"members/{rank:02d}"
            genome = Genome(run, {"net": {**NET, "n_convkernels": 2 + rank}})
            genome.write(place / "genome.json")
            self.write_weights(genome, place / "model.safetensors")
            entry = {"folder": f"members/{rank:02d}", "run": run, "genome": genome.id, "weight": 1.0 + rank}
            members.append(entry)
            self.refitted(rank, genome)
        description = {
            "format": "genenet.ensemble/1",
            "classes": runs.CLASSES,
            "voxel_size_nm": [40, 10, 10],
            "normalisation": {"mode": mode, "mean": train_.mean, "deviation": train_.deviation},
            "validation": {"ari": 0.5},
            "class_voxels": {"train": [1, 0, 0][: len(runs.CLASSES)], "validation": [1] * len(runs.CLASSES)},
            "members": members,
        }
        write_json(Path(self.paths.selected) / "ensemble.json", description)

    def write_weights(self, genome, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        network = Network(plan(genome.net, len(runs.CLASSES)))
        save_weights(network.state_dict(), genome.id, path)

    def trained(self, rank, iterations=6, **net):
        """Write what the refit of a rank reads: a genome with these values, and its scores. Returns the genome."""
        path = Path(self.paths.selected) / "ensemble.json"
        description = read_json(path)
        entry = description["members"][rank]
        run, place = entry["run"], path.parent / entry["folder"]
        genome = Genome(run, {"net": {**NET, "n_convkernels": 2 + rank, **net}})
        for copy in (Path(self.paths.genome(run)), place / "genome.json"):
            genome.write(copy)
        self.write_weights(genome, place / "model.safetensors")
        entry["genome"] = genome.id
        write_json(path, description)
        scores = {"status": "ok", "iterations": iterations, "validation": {"ari": 0.5}}
        write_json(self.paths.run(run).scores, scores)
        return genome

    def settings_of_refits(self, **training):
        """Write the settings of refits; returns their path. The iterations are each member's own."""
        small = {"iterations": 99, "batch_size": 2, "threads": 1, "validation_interval": 3, "device": "cpu"}
        values = {**small, "precision": "float32", "stopping": {"weights": "last"}, **training}
        settings = TrainSettings(seed=1, repeat=REFIT_REPEAT, normalisation=self.mode, training=values)
        path = Path(self.paths.settings("refit"))
        write_json(path, settings.model_dump(mode="json"))
        return path

    def fold(self, rank, n):
        """Replace the member of a rank by those of its folds, each with other weights."""
        path = Path(self.paths.selected) / "ensemble.json"
        description = read_json(path)
        entry = description["members"].pop(rank)
        place = path.parent / entry["folder"]
        genome = read_genome(place / "genome.json")
        for fold in range(n):
            of_fold = {"folder": f"members/{rank}_{fold}", "run": f"{entry['run']}/folds/{fold}"}
            copy = path.parent / of_fold["folder"]
            genome.write(copy / "genome.json")
            self.write_weights(genome, copy / "model.safetensors")
            share = {"weight": entry["weight"] / n, "validation_ari": 0.1 * fold}
            description["members"].insert(rank + fold, {**entry, **of_fold, **share})
        write_json(path, description)
        scores = {"status": "ok", "iterations": 6, "validation": {"ari": 0.4}, "folds": n}
        write_json(self.paths.run(entry["run"]).scores, scores)

    def refitted(self, rank, genome):
        self.write_weights(genome, self.paths.run(f"refit/{rank:03d}").weights)
        self.receive(rank, member=genome.name, genome=genome.id, status="ok")

    def receive(self, rank, **values):
        write_json(Path(self.paths.refit(f"{rank:03d}")), RefitReceipt(**values).model_dump(mode="json"))

    def fail(self, rank, status="failed"):
        receipt = read_receipt(Path(self.paths.refit(f"{rank:03d}")))
        values = {**receipt.model_dump(), "status": status, "reason": "the disk is full"}
        self.receive(rank, **values)

    def ensemble_is_new(self):
        """Whether each member of the written ensemble has its new weights."""
        found = []
        for rank in range(3):
            new = self.paths.run(f"refit/{rank:03d}").weights.read_bytes()
            old = (Path(self.paths.selected) / f"members/{rank:02d}/model.safetensors").read_bytes()
            has = (Path(self.paths.ensemble) / f"members/{rank:02d}/model.safetensors").read_bytes()
            assert has in (new, old)
            assert new != old
            found.append(has == new)
        return found
