import json

import pytest

from genenet.cluster.container import given_images
from genenet.config.model import Config, check_config, read_config
from genenet.config.planned_runs import runs
from genenet.config.stages import image_files, stage_settings
from genenet.core.errors import InputError
from genenet.genes.domains import Integers, Interval
from tests.support.configs import DEFAULT, PHANTOM, ROOT, changed


def test_the_default_is_fine():
    config = read_config(ROOT / "config.yaml")
    assert config.preset == "modern"
    assert config.search.regions["net"]["padding"] == "same"
    assert config.search.n_genomes >= 6
    assert len(config.data.classes) == 7


def test_the_schema_for_editors_is_up_to_date():
    stored = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert stored == Config.model_json_schema(), "run: genenet schema > workflow/schemas/config.schema.json"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("training.iteratons", 5, "config: training.iteratons: unknown key; did you mean iterations?"),
        ("serach", {}, "config: serach: unknown key; did you mean search?"),
        ("training.iterations", 0, "config: training.iterations: input should be greater than 0, not 0"),
        ("training.iterations", "many", "config: training.iterations: input should be a valid integer"),
        (
            "training.device",
            "gpu",
            "config: training.device: input should be 'auto', 'cuda' or 'cpu', not 'gpu'",
        ),
        ("data.train", [], "config: data.train: list should have at least 1 item"),
        ("data.train", [{"path": "a.tif"}], "labels: is missing"),
        ("data.train", [{"labels": "a.tif"}], "give either path: or phantom:"),
        (
            "data.train",
            [{"phantom": {"shape": [1, 2], "seed": 1}}],
            "data.train.0.phantom.shape.2: is missing",
        ),
        ("data.train", [{"pth": "a.tif"}], "config: data.train.0.pth: unknown key; did you mean path?"),
        (
            "data.train",
            [{"path": "a.tif", "labels": "b.tif", "region": [[5, 5], None, None]}],
            "region along z is empty: [5, 5]; use [start, stop], start < stop",
        ),
        ("data.ignore_label", 1.5, "config: data.ignore_label: input should be a valid integer"),
        (
            "data.ignore_label",
            3,
            "ignore_label 3 is the id of class 'alpha granule'; use an id of at least 7",
        ),
        (
            "data.train",
            [{"path": "a.tif", "labels": "b.tif", "weight": 0}],
            "config: data.train.0.weight: input should be greater than 0, not 0",
        ),
        (
            "data.train",
            [{"path": "a.tif", "labels": "b.tif", "weight": float("inf")}],
            "config: data.train.0.weight: input should be a finite number, not inf",
        ),
        (
            "data.test",
            [{"path": "a.tif", "labels": "b.tif", "weight": 1}],
            "config: data: test.0.weight: is for images of data.train only",
        ),
        (
            "data.test",
            [
                {"phantom": {"shape": [12, 320, 320], "seed": 3}},
                {"phantom": {"shape": [12, 320, 320], "seed": 1}},
            ],
            "config: data: test.1: shares voxels with train.0, and scores on test images must be of voxels that "
            "nothing was learned from or chosen on; give another image, or regions that are apart",
        ),
        (
            "data.test",
            [{"phantom": {"shape": [4, 320, 320], "seed": 2}, "region": [None, None, [0, 90]]}],
            "config: data: test.0: shares voxels with validation.0",
        ),
        (
            "training.refit_iterations",
            500,
            "config: training.refit_iterations: has no effect without ensemble.refit: true; add that, or leave it out",
        ),
        (
            "ensemble.strategy",
            "best_objects",
            "config: ensemble.strategy: best_objects compares objects, but no image has instances:; add them, or use "
            "best_n",
        ),
        (
            "data.validation",
            [{"path": "a.tif", "labels": "b.tif"}, {"path": "a.tif", "labels": "b.tif", "weight": 2}],
            "config: data: validation.1.weight: is for images of data.train only",
        ),
        (
            "data.train",
            [{"path": "a.tif", "labels": "b.tif", "mask": []}],
            "data.train.0.mask: list should have",
        ),
        ("data.volumes", {"a": {"path": "a.tif", "weight": 2}}, "data.volumes.a.weight: unknown key"),
        ("data.classes", ["a", "a"], "classes: two classes have the same name"),
        ("data.volumes", {"a b": {"path": "x.tif"}}, "config: data.volumes.a b"),
        ("search.regions", {"nett": {}}, "config: search: regions.nett: no such level; use one of net, path"),
        (
            "search.regions",
            {"net": {"n_convkernel": 3}},
            "config: search: regions.net.n_convkernel: unknown hyperparameter; did you mean n_convkernels?",
        ),
        (
            "search.regions",
            {"net": {"n_convkernels": [9, 3]}},
            "[9, 3] is not a region: the first must be the lowest",
        ),
        (
            "search.regions",
            {"net": {"n_convkernels": [1, 2000]}},
            "2000 is outside of what can be built: 1 to 1024",
        ),
        ("search.regions", {"net": {"kernel_width": [3, 17]}}, "regions.net.kernel_width: 17 is outside"),
        ("search.regions", {"layer": {"kernel_width": [-1, 1]}}, "[-1, 1] must go in steps of 2"),
        (
            "search.regions",
            {"stack": {"input_size": [0, 1]}},
            "regions.stack.input_size: is read at net genes",
        ),
        (
            "search.regions",
            {"net": {"n_convlayers": 2}, "stack": {"n_convlayers": [0, 1]}},
            "regions.stack.n_convlayers: has no room, since net.n_convlayers is fixed; give net a region",
        ),
        ("ensemble", {"size": 12}, "config: ensemble: size 12 is more than max_size 10; raise max_size"),
        ("ensemble.minimum", 50, "ensemble.minimum 50 is more than search.n_genomes 6"),
        ("results", "my results", "config: results: 'my results' must not contain spaces"),
        ("results", "{lab}", "config: results: '{lab}' must not contain braces, which are wildcards"),
        (
            "search.regions",
            {"net": {"n_convkernels": [1, float("inf")]}},
            "inf is too large; allowed: 1 to 1024",
        ),
        ("baselines.unet2015", {"input_size": 100}, "baselines.unet2015.input_size: input should be greater"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_would_be_right(path, value, said):
    with pytest.raises(InputError) as error:
        check_config(changed(path, value))
    lines = str(error.value).splitlines()
    assert said in lines[0]
    assert len(lines) == 1


def of_a(start, stop):
    return [{"path": "a.tif", "labels": "b.tif", "region": [None, [0, 90], [start, stop]]}]


def test_regions_of_one_file_that_are_apart_share_no_voxels():
    values = changed("data.train", of_a(0, 50))
    values["data"] |= {"validation": of_a(50, 70), "test": of_a(70, 90)}
    assert check_config(values).data.warnings == []
    values["data"]["test"] = of_a(69, 90)
    with pytest.raises(InputError, match=r"config: data: test\.0: shares voxels with validation\.0"):
        check_config(values)
    values["data"] |= {"validation": of_a(49, 69)}
    (line,) = check_config(values).data.warnings
    assert line.startswith(
        "data.validation.0: shares voxels with data.train.0, so networks are ranked and chosen on"
    )


def test_not_yaml_and_not_there(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match=r"bad\.yaml: not a YAML file"):
        read_config(tmp_path / "bad.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(InputError, match=r"empty\.yaml: holds no keys"):
        read_config(tmp_path / "empty.yaml")
    with pytest.raises(InputError, match="nowhere.yaml: no such file"):
        read_config(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="a folder; give the YAML file of the search, such as config.yaml"):
        read_config(tmp_path)


def test_regions_are_intervals_or_options():
    regions = check_config(
        changed(
            "search.regions",
            {
                "net": {
                    "n_convkernels": 8,
                    "log_learning_rate": [-3, -2],
                    "kernel_width": [3, 7],
                    "pooling": "conv",
                }
            },
        )
    ).search.feasible_regions()["net"]
    assert regions == {
        "n_convkernels": Integers(range(8, 9)),
        "log_learning_rate": Interval(-3.0, -2.0),
        "kernel_width": Integers(range(3, 8, 2)),
        "pooling": Integers((1,)),
    }


def stages_of(config):
    return ["prepare_train", "prepare_validation", "prepare_test", "generate", "baseline_unet2015"] + [
        "train", "select", "segment_demo", "evaluate_demo", "report"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "differ"),
    [
        ("search.n_genomes", 9, set()),
        ("ensemble.size", 2, {"select"}),
        ("segmentation.memory_mb", 64, {"segment_demo"}),
        ("training.iterations", 7, {"train"}),
        ("search.regions.net.n_convkernels", [2, 3], {"generate"}),
        ("container", "x.sif", set()),
        ("baselines.unet2015.n_convkernels", 4, {"baseline_unet2015"}),
        ("data.test", [{"phantom": {"shape": [1, 64, 64], "seed": 9}}], {"prepare_test"}),
        ("data.train", [PHANTOM | {"weight": 2.5}], {"prepare_train"}),
        ("data.train", [PHANTOM | {"mask": "mask.tif"}], {"prepare_train"}),
    ],
)
def test_a_setting_is_in_the_files_of_its_stages_only(path, value, differ):
    before, after = check_config(DEFAULT), check_config(changed(path, value))
    found = {s for s in stages_of(before) if stage_settings(before, s) != stage_settings(after, s)}
    assert found == differ


def test_phantoms_become_files_and_runs_have_names():
    config = check_config(DEFAULT)
    files = image_files(config, config.data.train[0])
    assert [str(p) for p in files.image] == ["results/phantoms/12x320x320-seed1/image.tif"]
    assert runs(config)[0] == "r0/000"
    assert runs(config)[-1] == "baselines/unet2015"


@pytest.mark.parametrize("mask", ["m.tif", ["m.tif", "n.tif"]])
def test_masks_are_files_that_are_read(mask):
    labelled = {"path": "a.tif", "labels": "b.tif", "mask": mask, "weight": 2}
    config = check_config(changed("data.train", [labelled]))
    files = image_files(config, config.data.train[0])
    read = ["a.tif", "b.tif", *([mask] if isinstance(mask, str) else mask)]
    assert [str(path) for path in files.all] == read
    assert [str(path) for path in given_images(config)] == read
    assert files.weight == 2
    assert len(image_files(config, config.data.validation[0]).all) == 2
