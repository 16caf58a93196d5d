"""The development server's page in headless Chromium, and models with unusual names and signatures."""

import contextlib
import shutil

import tensorflow as tf
from served_models import until

try:
    from selenium import webdriver
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
except ModuleNotFoundError:
    webdriver = None

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = not (webdriver and CHROMIUM and DRIVER)
"""Whether the browser or its driver is not installed."""

NASTY = ("<script>document.title = 'taken'</script>", "<img src=x onerror=\"document.title='taken'\">", 'it\'s "&amp;"')
"""Class names of the model `nasty`."""

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def export_unusual_models(base):
    """Writes `nasty`, a text classifier with the classes `NASTY`; `sums`, for the JSON form only; and `sizes`, which
    scores an image file with its length.
    """

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "text")])
    def nasty(text):
        classes = tf.tile(tf.constant(NASTY)[None], [tf.size(text), 1])
        return {"classes": classes, "scores": tf.tile([[0.25, 0.5, 0.125]], [tf.size(text), 1])}

    @tf.function(
        input_signature=[tf.TensorSpec((None, 3), tf.float32, "numbers"), tf.TensorSpec((), tf.int32, "times")]
    )
    def sums(numbers, times):
        return {"sums": tf.reduce_sum(numbers, axis=1) * tf.cast(times, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def sizes(image_bytes):
        sizes = tf.cast(tf.strings.length(image_bytes), tf.float32)[:, None]
        return {"classes": tf.fill(tf.shape(sizes), "size"), "scores": sizes}

    tf.saved_model.save(tf.Module(), str(base / "nasty" / "1"), signatures={"serving_default": nasty})
    tf.saved_model.save(tf.Module(), str(base / "sums" / "1"), signatures={'it\'s "odd" & 100%': sums})
    tf.saved_model.save(tf.Module(), str(base / "sizes" / "1"), signatures={"it's 100%d": sizes})


@contextlib.contextmanager
def chromium(profile):
    """Yields a browser; `profile` is its profile folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


class Page:
    """The page of a server; only displayed elements are found.

    Attributes:
        expected: texts that may appear in the browser's console.
    """

    def __init__(self, browser, server):
        self.browser, self.expected = browser, []
        self.origin = f"http://127.0.0.1:{server.rest_port}"

    def open(self, model=""):
        self.browser.get("about:blank")
        self.browser.get(f"{self.origin}/#{model}")
        if model:
            until(lambda: self.all("h2")[:1] and self.one("h2").text == model)

    def all(self, css):
        return [found for found in self.browser.find_elements(By.CSS_SELECTOR, css) if found.is_displayed()]

    def one(self, css):
        return until(lambda: self.all(css))[0]

    def texts(self, css):
        """Returns the texts of displayed elements, all read at the same time."""
        return self.run(
            """return [...document.querySelectorAll(arguments[0])].filter((found) => found.checkVisibility())
              .map((found) => found.innerText)""",
            css,
        )

    def wait(self, condition):
        """Waits for a condition; elements that are replaced meanwhile are looked up again."""

        def holds():
            try:
                return condition()
            except StaleElementReferenceException:
                return False

        return until(holds)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def status(self):
        """Waits until no request is running and returns the status text."""
        return until(lambda: not self.all("form.busy") and self.one(".status").text)

    def write(self, css, text):
        field = self.one(css)
        field.clear()
        field.send_keys(text)
