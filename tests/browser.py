"""Pages as a browser lays them out, where Chromium is installed."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")

#: A page around the page, as a browser's own window cannot be as narrow as a phone: it says which
#: elements reach beyond the right edge, and which boxes hide a part of what is in them.
AROUND = """<!DOCTYPE html>
<iframe id="page" width="{width}" height="900" style="border: 0"></iframe>
<pre id="layout"></pre>
<script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const page = frame.contentDocument, edge = page.documentElement.clientWidth;
  const boxes = [...page.querySelectorAll(".scroll")];
  const beyond = [...page.querySelectorAll("body *")].filter((element) =>
    element.getBoundingClientRect().right > edge + 1 && !element.closest(".scroll"));
  const hidden = boxes.filter((element) => element.scrollWidth > element.clientWidth + 1);
  const texts = (elements) => elements.map((element) => element.textContent.trim().slice(0, 80));
  document.getElementById("layout").textContent = JSON.stringify({{
    width: edge, height: page.documentElement.scrollHeight, beyond: texts(beyond),
    hidden: texts(hidden)}});
}};
frame.srcdoc = {page};
</script>
"""


@dataclass(frozen=True)
class Layout:
    """How a page is laid out.

    Attributes
    ----------
    width, height : int
        Of the page, in pixels of CSS.
    beyond : list of str
        Elements that reach beyond the right edge of the page.
    hidden : list of str
        Boxes that have to be scrolled sideways to see all that is in them.
    """

    width: int
    height: int
    beyond: list[str]
    hidden: list[str]


def layout(page: str, width: int, folder: Path) -> Layout:
    """Lay out a page in a window of this width; skip the test where there is no browser."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium here: the page was not laid out")
    file = folder / "around.html"
    file.write_text(AROUND.format(width=width, page=json.dumps(page).replace("</", "<\\/")))
    done = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000",
         f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="layout">(.*?)</pre>', done.stdout, re.DOTALL)
    return Layout(**json.loads(html.unescape(found[1])))
