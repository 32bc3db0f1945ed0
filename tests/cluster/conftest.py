"""Real clusters for all tests of this folder, and one image; elsewhere the tests say what is missing."""

import tempfile
from pathlib import Path

import pytest

from tests.support import container, debian
from tests.support import slurm as slurm_module
from tests.support.required import lacking

WITHOUT_IMAGE = ("test_faults.py", "test_slurm_rounds.py")  # each is half as long as all others


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Let three workers run these tests, each with a cluster of its own, and one of them with the image."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            group = item.path.stem if item.path.name in WITHOUT_IMAGE else "cluster-image"
            item.add_marker(pytest.mark.xdist_group(group))
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def slurm():
    """A running Slurm cluster: two nodes with two GPUs each."""
    reasons = slurm_module.missing()
    if reasons:
        reason = f"the cluster can't run here: {', '.join(reasons)}"
        lacking(reason, "GENENET_REQUIRE_CLUSTER")
    debian.install(slurm_module.PACKAGES)
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        slurm_module.Slurm(Path(folder) / "c") as cluster,
    ):
        yield cluster


@pytest.fixture(scope="session")
def image(slurm):
    """An image with this genenet, and Apptainer on the PATH to run it."""
    debian.install(container.PACKAGES)
    container.install_apptainer()
    return container.build_image()
