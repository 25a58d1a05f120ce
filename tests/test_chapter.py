"""`make chapter` and `make notebooks`: a notebook is run, and what came out is told."""

import base64
import io
import json
import shutil
import sys

from PIL import Image
from repository import ROOT, run

HISTORY = {"data": "digits", "stand_in": True, "train_images": 1300, "device": "cpu", "device_name": "x86_64 cpu"}
HISTORY |= {"precision": "fp32", "test_accuracy": 0.9722, "test_images": 360, "training_seconds": 3.5}

# A cell's picture: a ramp from black to red, in true colours, and what is to be left of them.
RAMP = """import io
from IPython.display import display
from PIL import Image

ramp, file = Image.linear_gradient("L"), io.BytesIO()
Image.merge("RGBA", [ramp, *[Image.new("L", ramp.size)] * 2, Image.new("L", ramp.size, 255)]).save(file, "PNG")
display({"image/png": file.getvalue()}, raw=True, metadata={"image/png": {"alt": "a <line>"}})"""


def write_notebook(folder, *cells):
    """Write notebooks/01_tiny.md with these code cells, and the runner beside it."""
    shutil.copytree(ROOT / "tools", folder / "tools")
    (folder / "notebooks").mkdir()
    header = "---\njupytext:\n  formats: ipynb,md:myst\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n"
    blocks = "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
    (folder / "notebooks" / "01_tiny.md").write_text(f"{header}\n# Tiny\n{blocks}", encoding="utf-8")


def run_chapter(folder, *arguments):
    return run(sys.executable, str(folder / "tools" / "chapter.py"), *arguments)


def test_chapter_runs_a_notebook_and_says_what_came_out(tmp_path):
    write_notebook(
        tmp_path,
        ":tags: [skip-execution, nbval-skip]\n\n1 / 0",
        RAMP,
        f"import json, pathlib\n_ = pathlib.Path('runs/01_tiny.json').write_text(json.dumps({HISTORY}))",
    )
    result = run_chapter(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "[1/1] 01_tiny: cell 2/2" in result.stdout
    for words in ("STAND-IN", "0.9722 on 360 test images", "cpu (x86_64 cpu), fp32", str(tmp_path / "build")):
        assert words in result.stdout
    assert "a &lt;line&gt;" in (tmp_path / "build" / "01_tiny.html").read_text(encoding="utf-8")
    assert not (tmp_path / "notebooks" / "01_tiny.ipynb").exists()


def test_chapter_names_the_cell_that_fails_and_forgets_older_results(tmp_path):
    write_notebook(tmp_path, "kept = 1", "raise KeyError('lost')", "kept = 2")
    stale = tmp_path / "build" / "runs" / "01_tiny.json"
    stale.parent.mkdir(parents=True)
    stale.write_text(json.dumps(HISTORY))
    result = run_chapter(tmp_path)
    assert result.returncode == 1
    assert "01_tiny, code cell 2 of 3: KeyError: 'lost'" in result.stderr
    assert "raise KeyError" in result.stderr
    assert not stale.exists() and "0.9722" not in result.stdout


def test_notebooks_are_executed_in_place_and_stay_the_same(tmp_path, monkeypatch):
    monkeypatch.delenv("NIN_PROFILE", raising=False)
    control = "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'a'}, 'text/plain': 'Box'}, raw=True)"
    write_notebook(tmp_path, "print(6 * 7)", "import os\n\nprint(os.environ['NIN_PROFILE'])", f"{RAMP}\n{control}")
    path = tmp_path / "notebooks" / "01_tiny.ipynb"
    assert run_chapter(tmp_path, "--in-place", "--only", "01").returncode == 0
    first = path.read_text(encoding="utf-8")
    cells = json.loads(first)["cells"]
    assert [cell.get("execution_count") for cell in cells] == [None, 1, 2, 3]
    assert [cell["outputs"][0]["text"] for cell in cells[1:3]] == [["42\n"], ["quick\n"]]
    assert [list(output["data"]) for output in cells[3]["outputs"]] == [["image/png"]], "without controls"
    light = Image.open(io.BytesIO(base64.b64decode(cells[3]["outputs"][0]["data"]["image/png"])))
    assert (light.mode, light.size) == ("P", (256, 256))
    assert all(abs(light.convert("RGB").getpixel((0, level))[0] - level) <= 2 for level in range(256))
    assert run_chapter(tmp_path, "--in-place").returncode == 0
    assert path.read_text(encoding="utf-8") == first
    assert "no notebook" in run_chapter(tmp_path, "--only", "07").stderr
