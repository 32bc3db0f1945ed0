"""The report in a real browser: it opens without a word in the console, and what moves does."""

from pathlib import Path

import numpy as np
import pytest

from genenet.core.atomic_files import write_json
from tests.support.browser import browser, require_browser
from tests.support.results import HOSTILE, SHAPE, Search

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
ROOTS = """
const found = [];
const walk = (node) => {
  for (const element of node.querySelectorAll("*")) {
    found.push(element);
    if (element.shadowRoot) walk(element.shadowRoot);
  }
};
walk(document);
return found.filter((element) => element.matches(arguments[0]));
"""  # also in the shadow trees of Bokeh's elements


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report's address."""
    require_browser()
    search = Search(tmp_path_factory.mktemp("search"))
    search.write()
    files = {name: search.segment(name) for name in ("demo", "more")}
    scores = {"ari": 0.5, "mean_iou": 0.4, "accuracy": 0.3, "iou": [1, 1, 1]}
    write_json(Path(search.paths.volume_scores("demo")), scores)
    search.page(search.control("best"), **files, **{HOSTILE: files["demo"]})
    return (search.root / "report.html").as_uri()


def opened(driver, address):
    """Open a page and wait until its plots are there."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(address)
    shown = "return window.Bokeh && Bokeh.documents.length > 0 && Bokeh.documents.every((d) => d.is_idle)"
    WebDriverWait(driver, 30).until(lambda d: d.execute_script(shown))


@pytest.fixture(scope="module")
def driver(page):
    with browser() as driver:
        opened(driver, page)
        yield driver


def complaints(driver):
    """Warnings and errors in the console; Bokeh only tells its log level."""
    return [entry for entry in driver.get_log("browser") if entry["level"] not in ("INFO", "DEBUG")]


def elements(driver, selector):
    return driver.execute_script(ROOTS, selector)


def test_nothing_is_said_in_the_console_and_nothing_is_loaded(driver):
    assert complaints(driver) == []
    loaded = driver.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [name for name in loaded if not name.startswith(("data:", "blob:"))] == []
    assert len(elements(driver, "canvas")) >= 3


def ranked(driver):
    return [row.text for row in elements(driver, "#runs tbody td:nth-child(2)")]


def test_a_click_on_a_columns_head_sorts(driver):
    assert ranked(driver) == ["r0/000", "baselines/unet2015", "r0/001", "r0/002"]
    head = next(e for e in elements(driver, "#runs th button") if e.text == "Parameters")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", head)
    head.click()
    assert ranked(driver) == ["r0/000", "r0/001", "r0/002", "baselines/unet2015"]
    head.click()
    assert ranked(driver)[0] == "baselines/unet2015"


def test_what_has_no_score_stays_last_whichever_way_a_table_is_sorted(driver):
    head = next(e for e in elements(driver, "#runs th button") if e.text == "ARI")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", head)
    head.click()
    assert ranked(driver) == ["r0/001", "baselines/unet2015", "r0/000", "r0/002"]
    head.click()
    assert ranked(driver) == ["r0/000", "baselines/unet2015", "r0/001", "r0/002"]


def set_range(driver, viewer, part, value):
    control = viewer.find_element("css selector", f"[data-part={part}]")
    driver.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", control, value
    )


def pixel(driver, viewer):
    """The colour in the middle of the slice, as it is seen."""
    stage = viewer.find_element("css selector", ".sheet")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    driver.execute_async_script(
        "const done = arguments[1]; Promise.all([...arguments[0].querySelectorAll('img')]"
        ".filter((i) => !i.hidden).map((i) => i.decode())).then(() => requestAnimationFrame(() => done()))",
        viewer,
    )
    import imagecodecs

    picture = np.asarray(imagecodecs.png_decode(stage.screenshot_as_png))
    return picture[picture.shape[0] // 2 + 3, picture.shape[1] // 2 + 3, :3].astype(int)


def choose(viewer, layer):
    viewer.find_element("css selector", f"input[value={layer}]").click()


def test_the_viewer_shows_slices_layers_opacity_and_zoom(driver):
    viewer = driver.find_elements("css selector", ".viewer")[0]
    number = viewer.find_element("css selector", "[data-part=number]")
    assert number.text == f"2 of {SHAPE[0]}"
    set_range(driver, viewer, "opacity", 100)
    segmented = pixel(driver, viewer)  # the middle slice is all class 1
    assert np.abs(segmented - (0xE6, 0x9F, 0x00)).max() < 8
    choose(viewer, "errors")
    assert np.abs(pixel(driver, viewer) - (230, 25, 75)).max() < 8
    choose(viewer, "nothing")
    grey = pixel(driver, viewer)
    assert np.ptp(grey) < 8
    choose(viewer, "segmentation")
    set_range(driver, viewer, "opacity", 50)
    assert np.abs(pixel(driver, viewer) - (segmented + grey) / 2).max() < 8
    set_range(driver, viewer, "opacity", 100)
    set_range(driver, viewer, "slice", 0)
    assert number.text == f"1 of {SHAPE[0]}"
    assert np.ptp(pixel(driver, viewer)) < 8  # background: nothing over the image
    sheet = viewer.find_element("css selector", ".sheet")
    width = sheet.size["width"]
    set_range(driver, viewer, "zoom", 400)
    assert sheet.size["width"] == pytest.approx(4 * width, rel=0.05)


def test_the_wheel_turns_slices_where_the_stage_was_clicked(driver):
    viewer = driver.find_elements("css selector", ".viewer")[1]
    stage = viewer.find_element("css selector", ".stage")
    number = viewer.find_element("css selector", "[data-part=number]")
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: arguments[1], cancelable: true}))"
    driver.execute_script(wheel, stage, 100)
    assert number.text == "2 of 3"
    driver.execute_script("arguments[0].focus({preventScroll: true})", stage)
    driver.execute_script(wheel, stage, 100)
    assert number.text == "3 of 3"
    stage.send_keys(",")
    assert number.text == "2 of 3"


def test_the_table_of_controls_is_read_without_scrolling(driver):
    """On a wide page; the reason of a failure is wrapped and in the colour of failures."""
    box = elements(driver, "#controls .scroll")[0]
    assert driver.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", box)
    (note,) = elements(driver, "#compared .bad")
    assert note.text.startswith("controls/best_2 diverged: the loss was")
    assert [row.text for row in elements(driver, "#compared tbody td:nth-child(2)")] == [
        "0.712",
        "0.700",
        "0.600",
        "0.654",
    ]


@pytest.mark.parametrize(("width", "dark"), [(400, False), (400, True), (1200, True)])
def test_it_fits_phones_and_dark_pages(page, width, dark):
    with browser(width, 800, dark) as driver:
        opened(driver, page)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, ground.strip("rgb()").split(","))) < 200) == dark
        assert complaints(driver) == []
