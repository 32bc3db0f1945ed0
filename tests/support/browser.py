"""A real browser without a window, for tests that look at pages: Debian's Chromium, driven by its chromedriver."""

import os
import shutil
from contextlib import contextmanager

from tests.support import debian
from tests.support.required import lacking

PACKAGES = ("chromium", "chromium-driver")
PROGRAMS = ("chromium", "chromedriver")


def require_browser():
    """Install the browser if that is possible; skip the test, or fail it if a browser is required."""
    if all(map(shutil.which, PROGRAMS)):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        debian.install(PACKAGES)
        return
    reason = f"no {' or '.join(PROGRAMS)}, and not root on Debian to install them"
    lacking(reason, "GENENET_REQUIRE_BROWSER")


@contextmanager
def browser(width=1200, height=900, dark=False):
    """Give a driver of a window of this size; its console is read by ``driver.get_log("browser")``."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        yield driver
    finally:
        driver.quit()
