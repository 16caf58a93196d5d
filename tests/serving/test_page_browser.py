"""The page of the development server in headless Chromium, compared with the signatures."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
from exported_models import CLASSES
from page_in_browser import MISSING, NASTY, Page, chromium, export_unusual_models
from served import image_files, more_text_models, strings, tiny_models
from served_models import digits, publish, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING, reason="selenium, chromium or chromedriver is not installed"),
]

IMAGE = image_files(1)[0]
ENTER, ARROW_RIGHT = "\ue007", "\ue014"
"""Keys, as WebDriver names them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    base = tmp_path_factory.mktemp("page") / "models"
    for folder in (tiny_models(tmp_path_factory), more_text_models(tmp_path_factory)):
        shutil.copytree(folder, base, dirs_exist_ok=True)
    export_unusual_models(base)
    return base


@pytest.fixture(scope="module")
def server(models):
    with serving(model_base_path=str(models)) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(browser, server):
    browser.get_log("browser")
    page = Page(browser, server)
    yield page
    found = [line["message"] for line in browser.get_log("browser")]
    assert [line for line in found if not any(text in line for text in page.expected)] == []


def signature(server, model, inputs):
    """Returns the outputs of the default signature, dict of arrays by name; strings are decoded."""
    with server.manager.use(model) as servable:
        answer = servable.run("", inputs)
    as_text = np.vectorize(lambda value: value.decode(errors="replace"), otypes=[object])
    return {key: as_text(value) if value.dtype == object else value for key, value in answer.items()}


def image_url(server, seed, model="drawings", **inputs):
    """Returns the PNG file of a seed, and of further inputs, as a data URL."""
    with server.manager.use(model) as servable:
        file = servable.run("image_bytes", {"seed": np.array([seed]), **inputs})["image_bytes"][0]
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def shown_bars(page):
    return [tuple(bar.text.splitlines()) for bar in page.all(".bars li")]


def give_image(page, way, path):
    """Selects the file `path`, or drops or pastes one."""
    if way == "select":
        path.write_bytes(IMAGE)
        page.run("return document.querySelector('.panel:not([hidden]) input[type=file]')").send_keys(str(path))
        return
    page.run(
        """const [b64, type, target] = arguments;
        const transfer = new DataTransfer();
        const bytes = Uint8Array.from(atob(b64), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        target.dispatchEvent(type === "drop" ? new DragEvent(type, { ...options, dataTransfer: transfer })
          : new ClipboardEvent(type, { ...options, clipboardData: transfer }));""",
        base64.b64encode(IMAGE).decode(),
        way,
        page.one(".drop" if way == "drop" else "body"),
    )


@pytest.mark.parametrize("way", ["select", "drop", "paste"])
def test_an_image_gets_the_classes_and_scores_of_the_signature(page, server, tmp_path, way):
    page.open("images")
    give_image(page, way, tmp_path / "it's.png")
    status = page.status()
    assert "Answered in" in status and status.endswith(" ms.")
    answer = signature(server, "images", {"image_bytes": strings([IMAGE])})
    pairs = sorted(zip(answer["scores"][0], answer["classes"][0], strict=True), reverse=True)
    assert shown_bars(page) == [(name, f"{100 * score:.1f} %") for score, name in pairs]
    page.wait(lambda: page.run("return arguments[0].naturalWidth", page.one(".thumbnail")) == 12)
    assert page.one(".file").text == ("it's.png" if way == "select" else "dropped.png")


def test_a_mask_gets_the_tokens_of_the_signature_and_a_click_fills_it(page, server):
    page.open("words")
    page.write("textarea", "the [MASK] list [MASK]." + ENTER)
    page.status()
    answer = signature(server, "words", {"text": strings([b"the [MASK] list [MASK]."])})
    choices = [[text.splitlines() for text in page.texts(f".mask:nth-child({mask}) .choice")] for mask in (1, 2)]
    expected = [
        [[token, f"{100 * score:.1f} %"] for token, score in zip(tokens[:8], scores[:8], strict=True)]
        for tokens, scores in zip(answer["tokens"][0], answer["scores"][0], strict=True)
    ]
    assert choices == expected
    page.all(".mask:nth-child(2) .choice")[2].click()
    token = expected[1][2][0]
    filled = f" {token}" if not token.startswith("##") else token[2:]
    assert page.one("textarea").get_attribute("value") == f"the [MASK] list{filled}."
    page.wait(lambda: len(page.all(".mask")) == 1)
    call = 'fillMask("a [MASK] walk [MASK]!", 1, "##ing")'
    script = f'import("/page/text_forms.js").then((forms) => arguments[0](forms.{call}))'
    assert page.browser.execute_async_script(script) == "a [MASK] walking!"


def test_spans_of_a_text_are_marked(page, server):
    page.open("names")
    text = "😀 a good cat! the list 中 of a cat! <b>"
    page.write("textarea", text + ENTER)
    page.status()
    answer = signature(server, "names", {"text": strings([text.encode()])})
    spans = [text[start:end] for start, end in zip(answer["starts"][0], answer["ends"][0], strict=True)]
    names = [f"{name} {100 * score:.0f} %" for name, score in zip(answer["types"][0], answer["scores"][0], strict=True)]
    expected = [f"{span}{name}" for span, name in zip(spans, names, strict=True)]
    script = "return [...document.querySelectorAll('.panel:not([hidden]) .spans mark')].map((mark) => mark.textContent)"
    assert page.run(script) == expected and len(expected) > 1
    shown = page.run("return document.querySelector('.panel:not([hidden]) .spans').textContent")
    for name in names:
        shown = shown.replace(name, "", 1)
    assert shown == text


def test_a_pair_of_texts_is_classified_and_a_text_is_rated(page, server):
    page.open("pairs")
    first, second = page.all("textarea")
    first.send_keys("the list")
    second.send_keys("a cat" + ENTER)
    page.status()
    answer = signature(server, "pairs", {"text": strings([b"the list"]), "text_pair": strings([b"a cat"])})
    pairs = sorted(zip(answer["scores"][0], answer["classes"][0], strict=True), reverse=True)
    assert shown_bars(page) == [(name, f"{100 * score:.1f} %") for score, name in pairs]
    page.open("ratings")
    page.write("textarea", "the list" + ENTER)
    page.status()
    [value] = signature(server, "ratings", {"text": strings([b"the list"])})["values"]
    assert float(page.one(".value").text) == pytest.approx(value, rel=1e-4)


def test_lines_are_ranked_by_their_similarity_to_a_query(page, server):
    page.open("meanings")
    query, lines = page.all("textarea")
    texts = ["a good cat", "the list of lists", "<b>a cat", "of"]
    lines.send_keys("\n".join([texts[0], "", *texts[1:]]))
    query.send_keys("the list" + ENTER)
    page.status()
    rows = signature(server, "meanings", {"text": strings([text.encode() for text in ["the list", *texts]])})[
        "embedding"
    ]
    expected = sorted(zip(rows[1:] @ rows[0], texts, strict=True), reverse=True)
    assert shown_bars(page) == [(text, f"{100 * score:.1f} %") for score, text in expected]


def test_class_names_of_a_text_do_not_become_markup(page):
    page.open("nasty")
    page.write("textarea", "x" + ENTER)
    page.status()
    assert shown_bars(page) == [(NASTY[1], "50.0 %"), (NASTY[0], "25.0 %"), (NASTY[2], "12.5 %")]
    assert page.browser.title == "karpa_tf development server"
    assert page.run("return document.querySelectorAll('main img[onerror], main script').length") == 0


def test_a_seed_gets_its_image_by_slider_number_and_grid(page, server):
    def shows(seed):
        return page.one(".one .generated").get_attribute("src") == image_url(server, seed)

    page.open("drawings")
    page.wait(lambda: shows(0))
    page.one("input[type=range]").send_keys(ARROW_RIGHT * 7)
    page.wait(lambda: shows(7))
    assert page.one("input[type=number]").get_attribute("value") == "7"
    link = page.one("a[download]")
    assert (link.get_attribute("download"), link.get_attribute("href")) == ("seed_7.png", image_url(server, 7))
    page.write("input[type=number]", "-12345678901")
    page.wait(lambda: shows(-12345678901))
    page.write("input[type=number]", "0")
    page.one(".actions .quiet").click()
    page.wait(lambda: len(page.all(".grid .generated")) == 16)
    sources = [image.get_attribute("src") for image in page.all(".grid .generated")]
    assert sources == [image_url(server, seed) for seed in range(16)]
    page.all(".grid button")[5].click()
    page.wait(lambda: shows(5))


def test_a_labeled_seed_gets_the_image_of_the_class(page, server):
    def shows(seed, label):
        expected = image_url(server, seed, "labeled_drawings", labels=np.array([label]))
        return page.one(".one .generated").get_attribute("src") == expected

    page.open("labeled_drawings")
    page.wait(lambda: shows(0, 0))
    assert [option.text for option in page.all("select option")] == list(CLASSES)
    page.all("select option")[2].click()
    page.wait(lambda: shows(0, 2))
    page.one("input[type=range]").send_keys(ARROW_RIGHT)
    page.wait(lambda: shows(1, 2))


def test_calls_do_not_overlap_and_the_last_one_is_executed(page):
    page.open()
    runs = page.browser.execute_async_script(
        """const [done] = arguments;
        import("/page/form.js").then(async ({ latestOnly }) => {
          const seen = [];
          let now = 0, finish;
          const run = latestOnly(() => { seen.push(now); return new Promise((resolve) => (finish = resolve)); });
          const all = [1, 2, 3].map((value) => { now = value; return run(); });
          const before = [...seen];
          finish();
          await new Promise((resolve) => setTimeout(resolve));
          finish();
          await Promise.all(all);
          done([before, seen]);
        });"""
    )
    assert runs == [[1], [1, 3]]


def test_a_model_with_other_inputs_gets_the_json_form_and_errors_of_the_server_are_shown(page):
    page.expected = ["status of 400"]
    page.open("sums")
    body = json.loads(page.one("textarea").get_attribute("value"))
    assert body == {"signature_name": 'it\'s "odd" & 100%', "inputs": {"numbers": [[0, 0, 0]], "times": 0}}
    body["inputs"] = {"numbers": [[1, 2, 3], [4, 5, 6]], "times": 2}
    page.write("textarea", json.dumps(body))
    page.one("button[type=submit]").click()
    page.status()
    assert json.loads(page.one(".reply").text) == {"outputs": [12.0, 30.0]}
    for text, answer in (('{"signature_name": "none", "inputs": {}}', "has no signature 'none'"), ("{", "is not JSON")):
        page.write("textarea", text)
        page.one("button[type=submit]").click()
        page.wait(lambda answer=answer: answer in page.one(".status").text)


def answer_of_command(page, folder):
    page.one(".shell summary").click()
    command = page.one(".shell pre").text
    return json.loads(subprocess.run(["sh", "-c", command], capture_output=True, cwd=folder, timeout=60).stdout)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
def test_the_curl_command_sends_the_same_request(page, server, tmp_path):
    page.open("words")
    page.write("textarea", "it's [MASK] \\ 中 %s")
    expected = signature(server, "words", {"text": strings(["it's [MASK] \\ 中 %s".encode()])})
    assert answer_of_command(page, tmp_path)["predictions"][0]["tokens"] == expected["tokens"][0].tolist()
    page.open("sums")
    assert answer_of_command(page, tmp_path) == {"outputs": [0.0]}
    page.open("sizes")
    give_image(page, "select", tmp_path / "it's 5%.png")
    answer = answer_of_command(page, tmp_path)
    assert answer == {"predictions": [{"classes": ["size"], "scores": [len(IMAGE)]}]}


def test_a_form_without_input_shows_what_is_missing(page):
    page.open("images")
    page.one("button[type=submit]").click()
    assert "There is no image yet" in page.status()
    page.open("words")
    page.write("textarea", "no mask" + ENTER)
    assert "The text has no [MASK]" in page.status()


def test_a_new_version_appears_and_a_refused_one_with_its_error_and_user_input_is_kept(page, server, models):
    page.open("drawings")
    page.write("input[type=number]", "41")
    first = image_url(server, 41)
    page.wait(lambda: page.one(".generated").get_attribute("src") == first)
    publish(digits(2), models / "drawings", 2)
    page.wait(lambda: page.texts("aside .chip") == ["version 2 available", "version 1 unloaded"])
    assert image_url(server, 41) != first
    page.wait(lambda: page.one(".generated").get_attribute("src") == image_url(server, 41))
    (models / "drawings" / "7").mkdir()
    (models / "drawings" / "7" / "saved_model.pb").write_text("no protobuf")
    page.wait(lambda: page.texts("aside .chip")[:2] == ["version 7 refused", "version 2 available"])
    assert "saved_model.pb" in page.one("aside .error").text
    assert page.one("input[type=number]").get_attribute("value") == "41"
    shutil.rmtree(models / "drawings" / "7")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_screen_labels_every_control_and_loads_nothing_else(page, server, tmp_path, width, scheme):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for model in server.manager.names():
            page.open(model)
            page.run("for (const closed of document.querySelectorAll('details')) closed.open = true")
            assert page.run("return document.documentElement.scrollWidth") <= width, model
            unnamed = "return [...document.querySelectorAll('input, select, textarea')].filter((x) => !x.labels.length)"
            assert page.run(unnamed) == []
            names = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
            assert f"{page.origin}/page/models" in names
            assert [name for name in names if not name.startswith((page.origin, "data:", "blob:"))] == []
            page.browser.save_screenshot(str(tmp_path / f"{model}.png"))
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_shows_when_the_server_is_down_and_when_it_is_back(browser, tmp_path):
    with serving(model_base_path=str(tmp_path)) as server:
        page = Page(browser, server)
        page.open()
        page.wait(lambda: "no models" in page.one("#summary").text)
        assert page.all("#gone") == []
    assert "does not answer" in page.one("#gone").text
    with serving(model_base_path=str(tmp_path), rest_api_port=server.rest_port):
        page.wait(lambda: page.all("#gone") == [])
        browser.get("about:blank")
