"""The page in a real browser, without any network: what people would see."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from results_examples import BUILD, HOSTILE, write_run
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from harness.model import GuestKind
from harness.report import write_reports

pytestmark = pytest.mark.browser

Browser = webdriver.Chrome


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program, "apt-get install chromium"
    assert driver, "apt-get install chromium-driver"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for switch in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as opened:
        yield opened


def show(browser: Browser, reports: Path, **changes: object) -> None:
    browser.get(write_reports(write_run(reports, **changes)).as_uri())


def shown(browser: Browser, selector: str) -> list[WebElement]:
    return [one for one in browser.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]


def test_the_answer_the_banner_and_five_sheets_stand_on_the_first_screen(
    browser: Browser, tmp_path: Path
) -> None:
    show(browser, tmp_path)
    (title,) = shown(browser, "#answer h1")
    assert title.text == "3 of 26 tests failed on simulated guests."
    assert browser.title.startswith(title.text)
    sheets = shown(browser, ".sheet")
    assert [one.get_attribute("data-driver") for one in sheets] == [
        "xenbus",
        "xeniface",
        "xenvif",
        "xennet",
        "xenvbd",
    ]
    for one in [title, *shown(browser, ".banner"), *sheets]:
        assert one.rect["y"] + one.rect["height"] <= 1000
    kinds = [one.get_attribute("data-kind") for one in shown(browser, ".banner")]
    assert kinds == ["simulated", "synthetic"]


def test_every_place_that_names_a_guest_names_its_kind(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, kind=GuestKind.STAND_IN)
    for selector in (".fold summary .head", "tr.measurement", "th.guest", ".sheet"):
        places = shown(browser, selector)
        assert places
        assert all(one.find_elements(By.CSS_SELECTOR, ".tag.stand-in") for one in places), selector


def test_a_failure_unfolds_to_its_evidence_without_javascript(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    first, second, *_ = browser.find_elements(By.CSS_SELECTOR, "details.fold")
    screen = first.find_element(By.CSS_SELECTOR, "figure.image img")
    assert screen.is_displayed()
    assert (screen.get_property("naturalWidth"), screen.get_property("naturalHeight")) == (320, 200)
    assert "*** STOP: 0x000000D1" in first.find_element(By.CSS_SELECTOR, "pre.tail").text
    body = second.find_element(By.CSS_SELECTOR, ".body")
    assert not body.is_displayed()
    second.find_element(By.CSS_SELECTOR, "summary").click()
    assert body.is_displayed()
    assert "test_payload_integrity[win2019-x64]" in body.text


def test_a_mark_in_the_grid_leads_to_its_test_also_when_that_is_folded(
    browser: Browser, tmp_path: Path
) -> None:
    show(browser, tmp_path)
    for mark in (".grid .mark.broken", ".grid .mark.passed"):
        link = browser.find_element(By.CSS_SELECTOR, mark)
        target = browser.find_element(By.ID, str(link.get_attribute("href")).partition("#")[2])
        assert not target.is_displayed()
        browser.execute_script("arguments[0].click()", link)
        assert target.is_displayed()


def test_a_log_opens_at_its_last_line(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    log = browser.find_element(By.CSS_SELECTOR, "pre.tail")
    low = browser.execute_script(
        "const t = arguments[0], last = t.firstElementChild.getBoundingClientRect().bottom;"
        "return last - t.getBoundingClientRect().bottom",
        log,
    )
    assert log.get_property("scrollHeight") > log.get_property("clientHeight")
    assert low <= 0


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, hostile=HOSTILE)
    assert browser.find_elements(By.TAG_NAME, "script") == []
    reason = browser.find_element(By.CSS_SELECTOR, ".fold .reason").text
    assert reason.startswith("<script>alert('x')</script> \"quoted\" & ünïcödé")
    assert reason.endswith("${7*7} {{ 7*7 }}")
    assert "\u202e" not in reason
    (warning,) = shown(browser, "#warnings + .card td")
    assert warning.text.startswith("<script>alert('x')</script> \"quoted\" & ünïcödé")


def test_the_browser_has_no_complaint_and_asks_for_nothing_but_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    browser.get_log("performance")
    browser.get_log("browser")
    show(browser, tmp_path)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert [url for url in asked if not url.startswith(("data:", "file:///"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1


def test_the_page_fits_a_narrow_window_without_scrolling_sideways(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    narrow = {"width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 420


def test_print_unfolds_every_failure(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path)
    bodies = browser.find_elements(By.CSS_SELECTOR, ".fold .body")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    heights = [one.rect["height"] for one in bodies]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert all(height > 0 for height in heights)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_light_and_dark(browser: Browser, tmp_path: Path, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    show(browser, tmp_path)
    for selector in ("body", ".card .soft", ".pill.failed", ".pill.passed", ".pill.broken", ".tag.simulated"):
        assert contrast(browser, selector) >= 4.5, selector
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_green_run_of_windows_guests_has_no_banner(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, kind=GuestKind.WINDOWS, build=BUILD, failing=False)
    assert shown(browser, ".answer.good")
    assert shown(browser, ".banner") == []
    assert shown(browser, "#failures") == []


def contrast(browser: Browser, selector: str) -> float:
    """The contrast ratio of WCAG 2 between a text and what lies behind it."""
    colours = browser.execute_script(
        "let one = document.querySelector(arguments[0]); const ink = getComputedStyle(one).color;"
        "while (getComputedStyle(one).backgroundColor === 'rgba(0, 0, 0, 0)') one = one.parentElement;"
        "return [ink, getComputedStyle(one).backgroundColor]",
        selector,
    )
    first, second = sorted((luminance(one) for one in colours), reverse=True)
    return (first + 0.05) / (second + 0.05)


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
