"""Draw the picture of docs/labelling.md, boxes of a phantom: python docs/labelling_picture.py (takes a minute)."""

import tempfile
from pathlib import Path

import torch
from PIL import Image

import genenet
from genenet.config.labelling import SuggestionSettings
from genenet.config.settings import ImageFiles
from genenet.ensembles.ensemble import load_ensemble
from genenet.labelling.segmented import Segmenting
from genenet.labelling.suggestion import DISAGREEMENT, SuggestionJob
from genenet.phantoms.phantom import CLASSES, write_phantom
from genenet.segmentation.receipts import show_nothing
from genenet.volumes.boxes import OVERVIEW

CPU = torch.device("cpu")
REGIONS = {
    "net": {"n_convkernels": [8, 16], "n_stacks": [1, 3], "input_size": [64, 128], "log_learning_rate": -2.5}
}


def write_ensemble(folder: Path) -> None:
    """Train a small ensemble."""
    train, validation = (
        genenet.make_phantom((4, 256, 256), seed=1),
        genenet.make_phantom((2, 256, 256), seed=2),
    )
    trained = [
        genenet.train(
            genenet.random_genome(REGIONS, seed=1, index=index),
            *train,
            validation=validation,
            classes=CLASSES,
            iterations=400,
        )
        for index in range(3)
    ]
    genenet.make_ensemble(trained, voxel_size_nm=(40, 10, 10), size=3).save(folder)


def main() -> None:
    """Write docs/images/boxes.png."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_ensemble(folder / "ensemble")
        write_phantom((12, 320, 320), 7, folder / "volume.tif", folder / "truth.tif")
        ensemble = load_ensemble(folder / "ensemble")
        source = ImageFiles(image=[folder / "volume.tif"], labels=None, region=None)
        volume = Segmenting(ensemble, CPU, folder / "volume.ome.zarr").run(source, show_nothing)
        settings = SuggestionSettings(n=4, size=(4, 128, 128))
        for row in SuggestionJob(volume, ensemble, settings, CPU, folder / "boxes", DISAGREEMENT).run():
            print(row.box, row.reason)
        picture = Image.open(folder / "boxes" / OVERVIEW).convert("RGB")
        small = picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128)  # a quarter of the bytes
        small.save(Path(__file__).parent / "images/boxes.png", optimize=True)


if __name__ == "__main__":
    main()
