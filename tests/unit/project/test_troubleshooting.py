"""Each message of docs/troubleshooting.md has a test that meets it and does what the page advises."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.configs import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
MESSAGES = re.findall(r"\*\*`(.+?)`\*\*", PAGE)
CONFIG = "unit/project/test_advice_config.py::"
IMAGES = "unit/project/test_advice_images.py::"
RUNS = "unit/project/test_advice_runs.py::"
TABLE = f"{CONFIG}test_advice_about_the_config"
SAY = "unit/volumes/test_what_files_say.py::"
AXES = "unit/volumes/test_axes.py::"
DESCRIPTION = "unit/ensembles/test_description.py::"
START = "unit/ensembles/test_start.py::"
TIMES = "workflow/test_times.py::"
HOSTILE = "unit/ensembles/test_hostile_files.py::"
ADAPTATION = "unit/ensembles/test_adaptation.py::"
SUGGESTION = "unit/labelling/test_suggestion.py::"
CORRECTIONS = "unit/labelling/test_corrections.py::"
BOXES = "unit/volumes/test_boxes.py::"
NAPARI = "unit/segmentation/test_napari.py::"
MARKS = "unit/segmentation/test_marks.py::"
CLUSTER = "cluster/test_messages.py::"

TESTS = {  # a part of each message, and the test
    "unknown key; did you mean": TABLE,
    "is missing": TABLE,
    "not a YAML file": f"{CONFIG}test_a_line_that_is_no_yaml",
    "give either path: or phantom:": TABLE,
    "region along": TABLE,
    "must not contain spaces": TABLE,
    "must not contain braces": TABLE,
    "is the id of class": f"{CONFIG}test_ids_beyond_the_classes_may_be_ignored",
    "unknown hyperparameter": TABLE,
    "no such level; use one of": TABLE,
    "has no room, since net.": TABLE,
    "none of 1000 draws is feasible": f"{CONFIG}test_regions_of_which_no_network_fits",
    "is too small for its layers and poolings; at least": f"{CONFIG}test_a_genome_that_is_too_small_for_its_layers",
    "no such folder; name the results": f"{START}test_no_search_an_unfinished_one_or_another_version_is_one_line",
    "holds neither the results of a search nor an ensemble": (
        f"{START}test_no_search_an_unfinished_one_or_another_version_is_one_line"
    ),
    "this search is unfinished, it has no ensemble yet": (
        f"{START}test_no_search_an_unfinished_one_or_another_version_is_one_line"
    ),
    "is that of another version": (f"{START}test_no_search_an_unfinished_one_or_another_version_is_one_line"),
    "another version may have written": (
        f"{START}test_no_search_an_unfinished_one_or_another_version_is_one_line"
    ),
    "or more, but the ensemble of": (
        f"{START}test_a_search_of_members_has_as_many_genomes_and_begins_with_their_weights"
    ),
    "is what this search writes": f"{START}test_a_mistake_in_the_config_is_one_line",
    "validation: is missing": "unit/config/test_folds.py::test_a_mistake_is_one_line",
    "are too few for data.folds.n": (
        "unit/volumes/test_folds.py::test_an_image_that_is_too_small_says_how_many_slabs_fit"
    ),
    "no such file": f"{IMAGES}test_paths_are_relative_to_the_folder_of_the_start",
    "isn't read;": f"{IMAGES}test_a_format_that_is_not_read",
    "not an image of a known format;": f"{IMAGES}test_a_format_that_is_not_read",
    "isn't that of": f"{IMAGES}test_swapped_axes_and_missing_slices",
    "save the class ids as integers": f"{IMAGES}test_labels_saved_as_floats",
    "so they seem to number objects": (
        "unit/init/test_objects.py::test_many_numbers_are_recognised_and_without_a_terminal_the_option_is_named"
    ),
    "is none of the": f"{IMAGES}test_an_id_without_a_class",
    "all voxels are ignored": f"{IMAGES}test_a_place_without_labels",
    "is an RGB image; convert to greyscale": f"{IMAGES}test_a_colour_image",
    "is a picture with a colour table;": f"{IMAGES}test_a_picture_in_false_colours",
    "channels;": f"{IMAGES}test_several_channels_or_images_in_a_file",
    "save one 2D or 3D image as a file": f"{IMAGES}test_several_channels_or_images_in_a_file",
    "images (": f"{IMAGES}test_several_channels_or_images_in_a_file",
    "time points, which are read as slices along z": (f"{AXES}test_time_is_read_as_z_with_a_warning"),
    "is MRC, whose first row is the bottom one": f"{IMAGES}test_mrc_and_labels_in_another_format",
    "and all are read": f"{IMAGES}test_old_metadata",
    "it is truncated, or": f"{IMAGES}test_old_metadata",
    "isn't known;": f"{AXES}test_unknown_names_are_refused_with_those_that_are_known",
    "nm (z, y, x), but": f"{SAY}test_a_stack_of_different_voxel_sizes_is_refused",
    "would in natural order": f"{SAY}test_files_in_the_shells_order",
    "its image lies in": f"{SAY}test_some_of_the_files_of_an_image_are_refused",
    "which isn't a microscope's": f"{IMAGES}test_a_resolution_for_printing",
    "holds NaN or infinite voxels": f"{IMAGES}test_padding_that_is_no_number",
    "and give no scale;": "unit/volumes/test_percentiles.py::test_percentiles_that_are_the_same_give_no_scale",
    "was prepared without the statistics": "unit/training/test_normalisation.py::"
    "test_data_that_was_prepared_for_another_normalisation_is_refused",
    "an image with contrast is needed": f"{IMAGES}test_padding_without_contrast",
    "is truncated, its voxels should reach beyond the end of the file": f"{IMAGES}test_a_copy_that_is_incomplete",
    "not one of its": f"{IMAGES}test_a_copy_that_is_incomplete",
    "is stored in pieces of": f"{IMAGES}test_chunks_that_are_too_large",
    "smaller than every genome's input: at least": f"{IMAGES}test_an_image_smaller_than_every_patch",
    "pip install 'genenet[dm]'": "unit/volumes/test_formats.py::test_without_the_library_of_dm_the_command_is_named",
    "training.threads is": f"{CONFIG}test_fewer_cores_than_threads",
    "but torch": f"{CLUSTER}test_a_gpu_that_slurm_grants_and_torch_does_not_see",
    "the loss was": f"{RUNS}test_a_learning_rate_that_is_too_high",
    "the network's output isn't finite after iteration": (
        "unit/training/test_trainer.py::test_weights_that_a_last_step_ruined_are_not_kept"
    ),
    "from now on batches are computed in two halves": (
        "unit/training/test_trainer.py::test_out_of_memory_tries_halves_and_then_publishes_that"
    ),
    "out of memory, though": "unit/training/test_memory.py::test_on_the_cpu_the_machines_memory_decides",
    "images don't fit into": f"{RUNS}test_a_larger_disk_for_temporary_files",
    "attempts without progress beyond": "unit/segmentation/test_part.py::test_an_rgb_volume_is_given_up_and_retried",
    "is unfinished:": "unit/segmentation/test_part.py::test_an_rgb_volume_is_given_up_and_retried",
    "waiting for it": "unit/core/test_lock.py::test_one_at_a_time",
    "another process has taken over, since this one was suspended for too long": (
        "unit/training/test_endings.py::test_who_was_suspended_and_lost_the_lock_stops_before_it_writes"
    ),
    "set aside as": "unit/training/test_checkpoint.py::test_one_of_other_settings_is_set_aside",
    "trainings were successful, ensemble.minimum is": f"{RUNS}test_too_few_trainings_were_successful",
    "no ranking yet": f"{RUNS}test_too_few_trainings_were_successful",
    "not an ensemble": f"{RUNS}test_the_folder_of_an_ensemble",
    "these are weights of genome": f"{RUNS}test_members_of_two_searches",
    "these weights don't fit genome": f"{RUNS}test_members_of_two_searches",
    "holds NaN or infinity": f"{HOSTILE}test_weights_fit_the_genome_and_are_finite",
    "not a weights file": f"{HOSTILE}test_a_header_is_judged_before_it_is_read",
    "leads out of the ensemble's folder": f"{DESCRIPTION}test_other_contents_are_refused_with_one_line",
    "such a file has at most": f"{HOSTILE}test_a_genome_that_is_none_is_one_short_line",
    "not a regular file": f"{HOSTILE}test_a_pipe_is_no_genome_and_nobody_waits_for_it",
    "the ensemble was trained on": f"{RUNS}test_voxels_of_another_size",
    "bring them to the same range": f"{RUNS}test_grey_values_of_another_range",
    "a tile doesn't fit in memory": f"{RUNS}test_a_tile_that_does_not_fit_in_memory",
    "a block doesn't fit in memory": f"{RUNS}test_a_block_that_does_not_fit_in_memory",
    "is too little:": f"{RUNS}test_memory_for_the_smallest_tile",
    "blocks are missing, the first at": (
        "unit/segmentation/test_job.py::test_what_is_there_is_kept_and_what_is_missing_is_said"
    ),
    "another run is writing it, with another ensemble, image or settings": (
        "unit/segmentation/test_writers.py::test_a_run_with_other_settings_says_who_is_writing"
    ),
    "exists, and a person may have labelled its boxes": f"{SUGGESTION}test_a_folder_that_exists_is_never_replaced",
    "lies inside the mask, at most": f"{SUGGESTION}test_a_region_and_a_mask_are_kept_to",
    "is left beside those that are labelled": f"{SUGGESTION}test_what_is_labelled_is_not_suggested_again",
    "an older version made it, which didn't record the image": f"{SUGGESTION}test_what_is_wrong_is_one_line",
    "suggest needs the image that was segmented": f"{SUGGESTION}test_what_is_wrong_is_one_line",
    "its classes are": f"{SUGGESTION}test_what_is_wrong_is_one_line",
    "give the config that the ensemble was made with": (
        f"{CORRECTIONS}test_the_config_says_which_label_is_ignored"
    ),
    "neither a folder of boxes": f"{CORRECTIONS}test_labels_of_another_volume_are_not_mixed",
    "not the volume of a folder of boxes": f"{BOXES}test_what_is_wrong_is_one_line",
    "none of its boxes is reviewed": f"{CORRECTIONS}test_no_reviewed_box_is_one_line",
    "isn't one of the boxes": f"{CORRECTIONS}test_all_or_some_boxes_can_be_named",
    "--reviewed: names no box": f"{CORRECTIONS}test_no_reviewed_box_is_one_line",
    "or leave it empty": f"{BOXES}test_a_table_with_a_mistake_is_one_line",
    "two lines are of": f"{BOXES}test_a_table_with_a_mistake_is_one_line",
    "save it in the size that it had": f"{CORRECTIONS}test_a_file_that_was_spoilt_is_one_line",
    "classes, which are 0 to": f"{CORRECTIONS}test_a_file_that_was_spoilt_is_one_line",
    "its volume.json has no files: and shape: of the volume": (
        f"{CORRECTIONS}test_boxes_without_a_volume_are_one_line"
    ),
    "--ignore-label": f"{CORRECTIONS}test_a_class_cant_be_ignored",
    "write --into another": f"{CORRECTIONS}test_labels_of_another_volume_are_not_mixed",
    "no space left on the device": "unit/cli/test_command_line.py::test_no_space_left_on_the_device",
    "is too old": "unit/cluster/test_environment.py::test_an_old_snakemake_is_refused_with_the_reason",
    "the file's time is in the future": f"{TIMES}test_an_image_of_the_future_is_refused_with_what_helps",
    "are older than the prepared images": (
        f"{TIMES}test_a_project_copied_without_its_times_is_not_trained_again"
    ),
    "another Snakemake works in this folder": "workflow/test_submit.py::test_a_lock_that_a_killed_snakemake_left",
    "isn't writable": "unit/cluster/test_environment.py::test_a_home_that_cant_hold_snakemakes_cache",
    "too many files for one line": f"{CONFIG}test_a_list_of_thousands_of_slices_is_given_as_a_folder",
    "neither apptainer nor singularity is on the PATH": (
        "unit/cluster/test_container.py::test_without_apptainer_it_says_so"
    ),
    "build it (make container), or set container: null": f"{CLUSTER}test_a_missing_image_and_one_that_is_none",
    "can't be seen from inside the container": f"{CLUSTER}test_images_that_the_container_does_not_see",
    "holds genenet": f"{CLUSTER}test_an_image_of_another_genenet",
    "Slurm doesn't take jobs of rule": f"{CLUSTER}test_what_slurm_would_refuse_is_said_before_anything_is_submitted",
    "wasn't tested with genenet": (
        "unit/cluster/test_slurm_plugin.py::test_with_other_versions_arrays_are_off_and_one_line_says_so"
    ),
    "contains a voxel of class": (
        "unit/training/test_object_targets.py::test_an_object_outside_of_its_classes_is_an_error"
    ),
    "objects consist of pieces that don't touch": (
        "unit/training/test_object_targets.py::test_an_object_in_two_places_is_doubted"
    ),
    "no box is marked as reviewed; write yes": f"{ADAPTATION}test_what_is_of_no_use_is_one_line",
    "one reviewed box can't show whether the new ensemble": f"{ADAPTATION}test_what_is_of_no_use_is_one_line",
    "the reviewed boxes show one class only": f"{ADAPTATION}test_what_is_of_no_use_is_one_line",
    "no voxel has a class; label some": f"{ADAPTATION}test_what_is_of_no_use_is_one_line",
    "the boxes have the classes": f"{ADAPTATION}test_what_is_of_no_use_is_one_line",
    "boxes hold the norms' statistics for": f"{ADAPTATION}test_norms_of_a_volume_need_its_statistics",
    "isn't better": f"{ADAPTATION}test_one_that_is_not_better_is_not_taken",
    "is the ensemble to be adapted; choose another name": f"{ADAPTATION}test_what_is_of_no_use_is_one_line",
    "genenet view --napari needs napari": f"{NAPARI}test_without_napari_the_command_is_named",
    "napari needs a screen": f"{NAPARI}test_without_a_screen_it_says_what_works",
    "isn't there, and isn't shown; add --image": (
        f"{NAPARI}test_the_image_that_was_segmented_is_opened_if_it_is_there"
    ),
    "so no contacts are shown": f"{MARKS}test_objects_without_their_table_are_shown_and_that_is_said",
    "not a number; correct it, or write the table anew": (
        f"{MARKS}test_a_table_of_contacts_with_a_mistake_names_the_line"
    ),
    "the table is incomplete": f"{MARKS}test_a_table_of_contacts_with_a_mistake_names_the_line",
    "not a table of comma-separated values": f"{MARKS}test_what_is_no_table_is_one_line",
    "reaches outside of the segmentation": f"{MARKS}test_boxes_that_reach_outside_are_one_line",
    "sbatch and srun aren't on the PATH": "unit/cluster/test_launch.py::test_a_cluster_that_cant_be",
}


def test_each_message_has_a_test():
    parts = {message: [part for part in TESTS if part in message] for message in MESSAGES}
    assert not [message for message, found in parts.items() if not found]
    assert {max(found, key=len) for found in parts.values()} == set(TESTS)


def strings(test):
    """Return all text in a test, in its parameters, and in the tables of its file that it uses."""
    file, _, name = test.partition("::")
    tree = ast.parse((Path(__file__).parents[2] / file).read_text())
    (function,) = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    tables = [a for a in assignments if isinstance(a.targets[0], ast.Name) and a.targets[0].id in used]
    parts = [n.value for top in (function, *tables) for n in ast.walk(top) if isinstance(n, ast.Constant)]
    return "".join(part for part in parts if isinstance(part, str)).replace("\\", "")


@pytest.mark.parametrize(("part", "test"), TESTS.items())
def test_it_meets_the_message(part, test):
    assert part in strings(test), test
