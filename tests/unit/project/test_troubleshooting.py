"""Each piece of advice of docs/troubleshooting.md is run: here, or by the test that is named here."""

import ast
import os
import re
from pathlib import Path

import pytest
import yaml

from genenet.config.model import check_config, read_config
from genenet.config.stages import settings_json
from genenet.core.errors import InputError
from genenet.genes.generation import draw
from genenet.genes.genome import Genome
from genenet.genes.inspection import inspect
from genenet.networks.device import set_threads
from tests.support.configs import ROOT, changed

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
ENTRIES = re.findall(r"^- (\*\*`.+`\*\*)\\$", PAGE, re.MULTILINE)
FILES = {"path": "a.tif", "labels": "b.tif"}
LARGE = {"n_stacks": 4, "n_convlayers": 2}


def regions(**net):
    return {"net": {"n_convkernels": [2, 4], **net}}


CONFIG = [  # what the message holds, a key with a wrong value, and a value that the page advises
    ("unknown key; did you mean", "training", {"iteration": 10}, {"iterations": 10}),
    ("is missing", "data.train", [{"path": "a.tif"}], [FILES]),
    (
        "give either path: or phantom:",
        "data.train",
        [{**FILES, "phantom": {"shape": [2, 64, 64], "seed": 1}}],
        [FILES],
    ),
    (
        "region along",
        "data.train",
        [{**FILES, "region": [[5, 5], None, None]}],
        [{**FILES, "region": [[0, 5], None, None]}],
    ),
    ("must not contain spaces", "results", "my results", "my_results"),
    ("must not contain braces", "results", "{lab}", "/data/lab (1)'s".replace(" ", "_")),
    ("unknown hyperparameter", "search.regions", regions(n_kernels=3), regions()),
    ("no such level; use one of", "search.regions", {"nets": {}}, regions()),
    (
        "has no room, since net.",
        "search.regions",
        {"net": {"n_convlayers": 2}, "stack": {"n_convlayers": [-1, 1]}},
        {"net": {"n_convlayers": [1, 3]}, "stack": {"n_convlayers": [-1, 1]}},
    ),
]
ELSEWHERE = {  # the beginning of an entry, and the test that meets its message and does what it advises
    "…: not a YAML file": "unit/config/test_model.py::test_not_yaml_and_not_there",
    "…: part … of … is unfinished": "unit/segmentation/test_part.py::test_an_rgb_volume_is_given_up_and_retried",
    "…: no such file": "unit/cluster/test_launch.py::test_an_image_that_isnt_there_is_one_line",
    "…: its shape …": "unit/cli/test_command_line.py::test_bad_images",
    "labels are …": "unit/training/test_prepare.py::test_refused",
    "label … (…": "unit/volumes/test_values.py::test_labels_that_mean_nothing",
    "all voxels are ignored": "unit/training/test_prepare.py::test_refused_masks",
    "is an RGB image": "unit/cli/test_command_line.py::test_bad_images",
    "is a picture with a colour table": "unit/volumes/test_values.py::test_labels_and_mask_with_colour_tables",
    "has … dimensions": "unit/volumes/test_base.py::test_errors_of_tiff",
    "holds NaN": "unit/volumes/test_statistics_of_masks.py::test_what_is_wrong_inside_is_found",
    "is truncated": "unit/volumes/test_formats.py::test_errors_of_mrc",
    "… isn't read": "unit/volumes/test_format_table.py::test_other_formats_are_named",
    "has … time points": "unit/volumes/test_axes_and_places.py::test_time_is_read_as_z_with_a_warning",
    "is MRC": "unit/volumes/test_axes_and_places.py::test_mrc_beside_other_formats_needs_a_word",
    "its … metadata": "unit/volumes/test_what_files_say.py::test_pages_that_the_metadata_leave_out_are_read",
    "its … metadata describe … slices, but it has …; it": (
        "unit/volumes/test_what_files_say.py::test_more_images_are_described_than_there_are"
    ),
    "its axis": "unit/volumes/test_axes_and_places.py::test_unknown_names_are_refused_with_those_that_are_known",
    "has voxels of … nm": "unit/volumes/test_what_files_say.py::test_a_stack_of_different_voxel_sizes_is_refused",
    "stands where …": "unit/volumes/test_what_files_say.py::test_files_in_the_shells_order",
    "its image lies in … files": "unit/volumes/test_base.py::test_multi_file_ome_with_a_missing_file",
    "says that its voxels are …": "unit/volumes/test_axes_and_places.py::test_a_print_resolution_is_not_believed",
    "is stored in pieces of …": "unit/volumes/test_what_files_say.py::test_a_zarr_with_huge_chunks",
    "such a file has at most": "unit/ensembles/test_hostile_files.py::test_a_genome_that_is_none_is_one_short_line",
    "smaller than every genome": "unit/training/test_prepare.py::test_refused",
    "reading DM files": "unit/volumes/test_format_table.py::test_doctor_names_the_extra_of_a_library_that_is_missing",
    "… but torch … sees none": "cluster/test_messages.py::test_a_gpu_that_slurm_grants_and_torch_does_not_see",
    "the loss was …": "unit/training/test_trainer.py::test_a_training_that_diverges_publishes_that",
    "a batch of …": "unit/training/test_trainer.py::test_out_of_memory_tries_halves_and_then_publishes_that",
    "images don't fit": "unit/training/test_prepared_images.py::test_what_fits_nowhere_is_one_line",
    "given up after …": "unit/search/test_retry.py::test_it_is_trained_when_the_cause_is_gone",
    "another process works here": "unit/core/test_lock.py::test_one_at_a_time",
    "another process has taken over": (
        "unit/training/test_endings.py::test_who_was_suspended_and_lost_the_lock_stops_before_it_writes"
    ),
    "… belongs to other settings": "unit/training/test_checkpoint.py::test_one_of_other_settings_is_set_aside",
    "no ranking yet": "unit/cli/test_command_line.py::test_other_mistakes",
    "not an ensemble": "unit/ensembles/test_description.py::test_other_contents_are_refused_with_one_line",
    "these are weights of genome": "unit/cli/test_command_line.py::test_weights_of_another_genome",
    "has voxels of …": "unit/segmentation/test_suitability.py::test_rescaled_it_has_the_ensembles_voxels",
    "bring them to the same range": (
        "unit/segmentation/test_suitability.py::test_other_values_than_those_of_the_training_images"
    ),
    "segmentation.memory_mb …": (
        "unit/networks/test_tiling.py::test_less_memory_makes_smaller_tiles_and_too_little_is_an_error"
    ),
    "… of … blocks are missing": (
        "unit/segmentation/test_job.py::test_what_is_there_is_kept_and_what_is_missing_is_said"
    ),
    "another run is writing it": (
        "unit/segmentation/test_writers.py::test_a_run_with_other_settings_says_who_is_writing"
    ),
    "no space left": "unit/cli/test_command_line.py::test_no_space_left_on_the_device",
    "Snakemake … is too old": "unit/cluster/test_environment.py::test_an_old_snakemake_is_refused_with_the_reason",
    "…: the file's time": "workflow/test_times.py::test_an_image_of_the_future_is_refused_with_what_helps",
    "… finished trainings": "workflow/test_times.py::test_a_project_copied_without_its_times_is_not_trained_again",
    "another Snakemake works": "workflow/test_submit.py::test_a_lock_that_a_killed_snakemake_left",
    "… isn't writable": "unit/cluster/test_environment.py::test_a_home_that_cant_hold_snakemakes_cache",
    "container: neither apptainer": "unit/cluster/test_container.py::test_without_apptainer_it_says_so",
    "container: …: no such file": "cluster/test_messages.py::test_a_missing_image_and_one_that_is_none",
    "can't be seen from inside": "cluster/test_messages.py::test_images_that_the_container_does_not_see",
    "the image … holds genenet": "cluster/test_messages.py::test_an_image_of_another_genenet",
    "Slurm doesn't take jobs": (
        "cluster/test_messages.py::test_what_slurm_would_refuse_is_said_before_anything_is_submitted"
    ),
    "… wasn't tried": (
        "unit/cluster/test_slurm_plugin.py::test_with_other_versions_arrays_are_off_and_one_line_says_so"
    ),
    "--cluster slurm": "unit/cluster/test_launch.py::test_a_cluster_that_cant_be",
}


HERE = [
    "none of 1000 draws",
    "net: … is too small",
    "ignore_label …",
    "training.threads is …",
    "too many files",
]
NOT_RUN = [
    "… trainings were successful",  # workflow runs with too few are in no test of their own yet
    "a tile doesn't fit",  # needs a GPU whose memory others use
]


@pytest.mark.parametrize(("message", "key", "wrong", "right"), CONFIG)
def test_advice_about_the_config(message, key, wrong, right):
    with pytest.raises(InputError, match=re.escape(message)):
        check_config(changed(key, wrong))
    check_config(changed(key, right))
    assert message in PAGE


def test_ids_beyond_the_classes_may_be_ignored():
    with pytest.raises(InputError, match=r"ignore_label 3 is the id of class"):
        check_config(changed("data.ignore_label", 3))
    for ignored in (255, -1, 0):
        check_config(changed("data.ignore_label", ignored))


def test_check_lists_all_unknown_keys(tmp_path):
    values = changed("training", {"iteration": 10})
    values["ensemble"] = {"sise": 3}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as raised:
        read_config(tmp_path / "config.yaml")
    assert all(f"{key}: unknown key" in str(raised.value) for key in ("iteration", "sise"))


@pytest.mark.parametrize(
    "change", [{"input_size": 200}, {"n_stacks": 1}, {"n_convlayers": 1, "n_stacks": 2}, {"padding": "same"}]
)
def test_a_genome_that_is_too_small_for_its_layers(change):
    net = {"input_size": 64, **LARGE}
    with pytest.raises(
        InputError, match=r"net: input_size 64 is too small for its layers and poolings; at least"
    ):
        inspect(Genome("x", {"net": net}), 2, 1)
    inspect(Genome("x", {"net": {**net, **change}}), 2, 1)


@pytest.mark.parametrize("change", [{"input_size": [200, 240]}, {"n_stacks": 1}, {"kernel_width": 3}])
def test_regions_of_which_no_network_fits(change):
    net = {"n_stacks": [2, 3], "input_size": 72, "kernel_width": 9}
    with pytest.raises(InputError, match=r"none of 1000 draws is feasible \("):
        draw(check_config(changed("search.regions", {"net": net})).search.feasible_regions(), 1, 0)
    draw(check_config(changed("search.regions", {"net": {**net, **change}})).search.feasible_regions(), 1, 0)


def test_fewer_cores_than_threads(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with pytest.raises(Exception, match=r"training.threads is 2, but this job may use 1 core\(s\)"):
        set_threads(2)
    set_threads(1)


def test_a_list_of_thousands_of_slices_is_given_as_a_folder(tmp_path):
    files = [str(tmp_path / f"a slice with a long name {index:05d}.tif") for index in range(3000)]
    config = check_config(changed("data.train", [{"path": files, "labels": files}]))
    with pytest.raises(
        InputError, match="settings of prepare_train: too many files for one line; give the folder"
    ):
        settings_json(config, "prepare_train")
    folder = check_config(changed("data.train", [{"path": str(tmp_path), "labels": str(tmp_path)}]))
    settings_json(folder, "prepare_train")


def test_every_entry_is_run_somewhere():
    beginnings = [*ELSEWHERE, *(message for message, *_ in CONFIG), *HERE, *NOT_RUN]
    for entry in ENTRIES:
        assert any(beginning in entry for beginning in beginnings), entry
    assert len(ENTRIES) >= 50
    for beginning in [*ELSEWHERE, *HERE, *NOT_RUN]:
        assert f"`{beginning}" in PAGE, f"{beginning}: no such entry"


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_tests_named_exist(test):
    file, _, name = test.partition("::")
    tree = ast.parse((Path(__file__).parents[2] / file).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert name in functions
