"""Run the notebooks from top to bottom: `make chapter` into build/, `make notebooks` in place.

With --frameworks, those of the appendix, each with its framework's kernel, in place. The profile is `quick`, unless
NIN_PROFILE says otherwise.

The source of notebook NN_topic is notebooks/NN_topic.md. One that trains writes its history to runs/NN_topic.json in
its working directory: what came out is read from there.
"""

import argparse
import asyncio
import base64
import contextlib
import copy
import hashlib
import io
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
METADATA = {
    "jupytext": {"formats": "ipynb,md:myst"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
# nbconvert's pages leave out what `nin_helpers.plots` says of a figure to those who cannot see it.
FIGURE = """\
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}">
</div>
{%- endblock data_png -%}
"""
PAGE = "{%- extends 'lab/index.html.j2' -%}\n" + FIGURE


class ChapterError(Exception):
    """A run that did not get to the end; the message says where and why."""


class StoppedError(Exception):
    """A run that was stopped from outside, by Ctrl-C for one."""


def main(arguments=None):
    """Run the command line; return 0, 1 after an error, which is printed, or 130 after Ctrl-C."""
    options = parse(arguments)
    os.environ["NIN_PROFILE"] = os.environ.get("NIN_PROFILE") or "quick"
    start = time.perf_counter()
    try:
        sources = find_sources(options.only, options.frameworks)
        folder = sources[0].parent if options.in_place else ROOT / "build"
        for number, source in enumerate(sources, 1):
            run(source, folder, f"[{number}/{len(sources)}] {source.stem}", options)
    except ChapterError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except (StoppedError, KeyboardInterrupt):
        print("\nstopped; the notebooks that were finished before are kept", file=sys.stderr)
        return 130
    print(f"\nAll ran from top to bottom in {time.perf_counter() - start:.0f} s.")
    print("\n".join(closing_lines(folder, sources)))
    return 0


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Run the chapter's notebooks from top to bottom.")
    parser.add_argument("--in-place", action="store_true", help="write notebooks/*.ipynb instead of pages in build/")
    parser.add_argument("--frameworks", action="store_true", help="run notebooks/frameworks/*.md instead, in place")
    parser.add_argument("--only", default="", help="the notebooks whose name starts so, such as 03 (default: all)")
    parser.add_argument("--cell-timeout", type=int, default=3600, help="seconds that a cell may take (default: 3600)")
    options = parser.parse_args(arguments)
    options.in_place |= options.frameworks  # what they import lies beside them
    return options


def find_sources(only, frameworks=False):
    """Return the paths of the notebooks' sources in reading order, those that start with `only`."""
    pattern = "frameworks/[a-z]*.md" if frameworks else "[0-9][0-9]_*.md"
    sources = [path for path in sorted(NOTEBOOKS.glob(pattern)) if path.name.startswith(only)]
    if not sources:
        raise ChapterError(f"no notebook in {NOTEBOOKS} starts with {only!r}")
    return sources


def run(source, folder, label, options):
    """Execute one notebook in `folder` and write what came out there; what an earlier run left goes first."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    history_path(folder, source).unlink(missing_ok=True)
    if not options.in_place:
        for suffix in (".ipynb", ".html"):
            (folder / source.name).with_suffix(suffix).unlink(missing_ok=True)
    notebook = read(source)
    progress = Progress(label, notebook)
    try:
        asyncio.run(execute(notebook, folder, progress, options.cell_timeout))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        message = progress.where(error, options.cell_timeout)
        if not options.in_place:  # a committed notebook is never replaced by half of one
            message += f"\n\nWhat ran before it: {write(notebook, folder / source.name)}"
        raise ChapterError(message) from error
    finally:
        progress.show(last=True)
    write(notebook, folder / source.name, page=not options.in_place)


def read(source):
    """Return the notebook of a .md file, without outputs; a cell keeps its id for as long as its source."""
    notebook = jupytext.read(source)
    seen = set()
    for cell in notebook.cells:
        text, repeats = cell.cell_type + cell.source, 0
        while (name := hashlib.sha256(f"{repeats}{text}".encode()).hexdigest()[:8]) in seen:
            repeats += 1
        seen.add(name)
        cell.id = name
    return notebook


async def execute(notebook, folder, progress, cell_timeout):
    """Execute the notebook's cells in the working directory `folder`, showing the progress meanwhile."""
    task, stopped = asyncio.current_task(), asyncio.Event()

    def take_signals(**_):  # from nbclient, whose handler makes it look as if the kernel had died
        with contextlib.suppress(NotImplementedError):  # Windows: Python's own KeyboardInterrupt
            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, lambda: (stopped.set(), task.cancel()))

    client = NotebookClient(
        notebook,
        kernel_name=notebook.metadata.kernelspec.name,
        timeout=cell_timeout,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # no warnings of the kernel's own among the progress
        on_notebook_start=take_signals,
        on_cell_execute=progress.next_cell,
    )
    ticker = asyncio.create_task(progress.tick())
    try:
        await client.async_execute()
    except (asyncio.CancelledError, DeadKernelError):
        if stopped.is_set():
            raise StoppedError from None
        raise
    finally:
        ticker.cancel()


class Progress:
    """Says which cell of a notebook runs, for how long: a line redrawn on a terminal, a line now and then in a log."""

    def __init__(self, label, notebook):
        self.label, self.cell, self.number = label, None, 0
        self.count = sum(
            cell.cell_type == "code" and cell.source.strip() != "" and "skip-execution" not in tags(cell)
            for cell in notebook.cells
        )
        self.terminal, self.start = sys.stdout.isatty(), time.perf_counter()

    def next_cell(self, cell, cell_index):
        """Note that `cell` starts now."""
        self.cell, self.number = cell, self.number + 1
        if self.terminal:
            self.show()

    async def tick(self):
        """Show the line, again and again."""
        while True:
            self.show()
            await asyncio.sleep(1 if self.terminal else 20)

    def show(self, last=False):
        """Print the line as it is now; on a terminal the next one goes over it, unless it is the last."""
        line = f"{self.label}: cell {self.number}/{self.count}, {time.perf_counter() - self.start:.0f} s"
        if self.terminal:
            print(f"\r{line}\033[K", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)

    def where(self, error, cell_timeout):
        """Return which notebook and cell an error came from, what it was and the cell's source."""
        source = "".join(f"\n    {line}" for line in self.cell.source.splitlines()) if self.cell else ""
        place = f"{self.label}, code cell {self.number} of {self.count}"
        return f"FAILED {place}: {reason(error, cell_timeout)}\n{source}"


def reason(error, cell_timeout):
    """Return in a few words why a notebook did not get to its end."""
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}".removesuffix(": ")
    if isinstance(error, CellTimeoutError):
        return f"it took more than {cell_timeout} s (CELL_TIMEOUT allows more)"
    return "its kernel died (out of memory?)"


def tags(cell):
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def write(notebook, path, page=True):
    """Write the notebook as `path`.ipynb and, for a page, .html; nothing in it names the machine. Return the page."""
    widgets = keep_instruments(notebook)
    lighten(notebook)
    resources = {"metadata": {"name": path.stem, "path": str(NOTEBOOKS)}}
    if page:
        stills = leave_stills(copy.deepcopy(notebook))
        html, _ = HTMLExporter(raw_template=PAGE, embed_images=True).from_notebook_node(stills, resources)
        html = re.sub(r'(href="\d\d_\w+)\.ipynb', r"\1.html", html)  # from page to page
        path.with_suffix(".html").write_text(html, encoding="utf-8")
    notebook.metadata = nbformat.from_dict({**METADATA, "kernelspec": notebook.metadata.kernelspec, **widgets})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    temporary = path.with_suffix(".ipynb.part")
    nbformat.write(notebook, temporary)
    temporary.replace(path.with_suffix(".ipynb"))
    return path.with_suffix(".html")


def keep_instruments(notebook):
    """Leave of all widgets the instruments, which need no kernel; return the notebook's metadata with their states.

    The controls of a training are left out: without the kernel that made them they would be an error message. An
    instrument is named by its cell, not at random as in each run anew.
    """
    states = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    kept = {}
    for cell in notebook.cells:
        for output in list(cell.get("outputs", [])):
            view = output.get("data", {}).get(WIDGET)
            if view is None:
                continue
            state = states.get(view["model_id"])
            if state is None or state["model_module"] != "anywidget":
                cell.outputs.remove(output)
                continue
            view["model_id"], layout = f"{cell.id:0<32}", f"{cell.id:1<32}"
            kept[layout] = states[state["state"]["layout"].removeprefix("IPY_MODEL_")]
            kept[view["model_id"]] = {**state, "state": {**state["state"], "layout": f"IPY_MODEL_{layout}"}}
    return {"widgets": {STATE: {"state": kept, "version_major": 2, "version_minor": 0}}} if kept else {}


def lighten(notebook):
    """Leave each figure 256 colours, by eye all that it has, and its file is a third as large."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if "image/png" not in output.get("data", {}):
            continue
        picture, light = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))), io.BytesIO()
        if picture.mode != "P":
            few = picture.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE)
            few.save(light, "PNG", optimize=True)
            output.data["image/png"] = base64.b64encode(light.getvalue()).decode()


def leave_stills(notebook):
    """Leave of each instrument its still, for pages that run no script; return the notebook."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    notebook.metadata.pop("widgets", None)
    return notebook


def history_path(folder, source):
    """Return where the notebook of `source` writes the history of its training."""
    return folder / "runs" / f"{source.stem}.json"


def closing_lines(folder, sources):
    """Return what came out: of each training, and where the pages or the notebooks are."""
    lines = []
    for path in (history_path(folder, source) for source in sources):
        if path.exists():
            lines += result_lines(json.loads(path.read_text(encoding="utf-8")))
    name, suffix = ("notebooks", ".ipynb") if folder == sources[0].parent else ("pages", ".html")
    files = [(folder / source.name).with_suffix(suffix) for source in sources]
    return (lines or ["  training       none here"]) + [
        f"  {'' if i else name:15}{file}" for i, file in enumerate(files)
    ]


def result_lines(history):
    """Return what a training's history says of data, device and test accuracy; the stand-in is named loudly."""
    name = {"fashion_mnist": "Fashion-MNIST"}.get(history["data"], history["data"])
    lines = [
        f"  data           {name}, {history['train_images']:,} training images",
        f"  device         {history['device']} ({history['device_name']}), {history['precision']}",
        f"  test accuracy  {history['test_accuracy']:.4f} on {history['test_images']:,} test images, after "
        f"{history['training_seconds']:.0f} s of training",
    ]
    if history["stand_in"]:
        loud = "*** STAND-IN DATA, not Fashion-MNIST: notebooks/README.md, under Data, says how to get the real ***"
        lines.insert(0, f"  {loud}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
