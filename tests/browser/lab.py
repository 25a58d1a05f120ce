"""JupyterLab in a browser: the server, and a notebook that is operated as a reader does."""

import ast
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

ROOT = Path(__file__).parent.parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
# Seconds for the server or a page to come up, for a notebook to run on the smoke profile, for an instrument to answer.
START, RUN, ANSWER = 90, 480, 12
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # each cell is in the page, seen or not
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # nobody is there to answer
}
# What the console may say; the reason stands beside it. All else is ours.
EXCUSED = (
    ("Failed to execute 'removeChild'", "JupyterLab 4.6 takes a theme's styles away twice if the next follows at once"),
)
PANEL = "const panel = [...jupyterapp.shell.widgets('main')].find(widget => widget.sessionContext && widget.content);"
CELLS = f"""() => {{ {PANEL}
    return [...panel.content.model.cells]
        .filter(cell => cell.type === 'code' && cell.sharedModel.getSource().trim())
        .map(cell => ({{
            source: cell.sharedModel.getSource(), count: cell.executionCount, outputs: cell.outputs.toJSON()
        }}));
}}"""
ASK = f"""async ([code, value]) => {{ {PANEL}
    const request = {{code, user_expressions: {{value}}, store_history: false}};
    const reply = await panel.sessionContext.session.kernel.requestExecute(request).done;
    return reply.content.user_expressions.value.data['text/plain'];
}}"""
# An error behind a control is in no cell: the kernel only tells it.
LISTEN = f"""() => {{ {PANEL}
    window.kernelErrors = [];
    panel.sessionContext.session.kernel.iopubMessage.connect((_, {{header, content}}) => {{
        if (header.msg_type === 'error') kernelErrors.push(content.ename + ': ' + content.evalue);
        if (content.name === 'stderr' && content.text.includes('Traceback')) kernelErrors.push(content.text);
    }});
}}"""
STATUS = f"() => {{ {PANEL} return panel?.sessionContext.session?.kernel?.status; }}"
FINISHED = f"""() => {{ const cells = ({CELLS})(), status = ({STATUS})();
    const failed = cells.some(cell => cell.outputs.some(output => output.output_type === 'error'));
    return status === 'dead' || status === 'idle' && (failed || cells.every(cell => cell.count !== null));
}}"""


class Server:
    """JupyterLab on a copy of the notebooks in `folder`, with settings, kernels and a port of its own."""

    def __init__(self, folder):
        shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("runs", ".*"))
        for name, setting in SETTINGS.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(setting), encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.log, self.token = folder, folder / "log", secrets.token_hex(16)

    def __enter__(self):
        command = [sys.executable, "-m", "jupyterlab", str(self.folder / "notebooks"), "--no-browser", "--allow-root"]
        options = ["--expose-app-in-browser", "--ip=127.0.0.1", f"--port={self.address.rpartition(':')[2]}"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, *options], env=self.environment(), stdout=log, stderr=log)
        deadline = time.monotonic() + START
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.process.terminate()  # it shuts its kernels down
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def environment(self):
        """Return the server's environment: nothing of what the person who runs this has set for Jupyter."""
        folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
        folders |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
        own = {name: str(self.folder / folder) for name, folder in folders.items()}
        profile = os.environ.get("NIN_PROFILE", "smoke")
        return {**os.environ, **own, "JUPYTER_TOKEN": self.token, "NIN_PROFILE": profile}

    def request(self, method, path):
        """Ask the server's own interface, and return its answer, decoded."""
        headers = {"Authorization": f"token {self.token}"}
        answer = requests.request(method, f"{self.address}/api/{path}", headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def answers(self):
        """Say whether the server is up."""
        try:
            return bool(self.request("GET", "status"))
        except requests.RequestException:
            return False

    def shut_kernels_down(self):
        """End every kernel: each holds memory."""
        for session in self.request("GET", "sessions"):
            self.request("DELETE", f"sessions/{session['id']}")


class Notebook:
    """A notebook, open in a page of JupyterLab: what a reader does there, and what there is to see."""

    def __init__(self, page, server, name):
        self.page, self.server, self.name, self.errors = page, server, name, []
        page.set_default_timeout(1000 * ANSWER)
        page.on("console", lambda message: message.type == "error" and self.note(message.text, message.location))
        page.on("pageerror", lambda error: self.note(f"{error.name}: {error.message}", error.stack))

    def note(self, text, where):
        """Keep an error of the console, unless it is excused."""
        if not any(re.search(pattern, text) for pattern, _ in EXCUSED):
            self.errors.append(f"{os.environ['PYTEST_CURRENT_TEST']}: {text} ({where})")

    def open(self):
        """Open the notebook in a workspace of its own and wait for its kernel."""
        workspace = self.name.replace("/", "-")
        path = f"lab/workspaces/{workspace}/tree/{self.name}.ipynb?reset&token={self.server.token}"
        self.page.goto(f"{self.server.address}/{path}")
        self.wait_for(f"() => window.jupyterapp && ({STATUS})() === 'idle'", START)
        self.page.evaluate("jupyterapp.shell.collapseLeft()")
        self.page.evaluate(LISTEN)

    def wait_for(self, script, seconds, argument=None):
        """Wait until a script in the page, a function of the argument, is true."""
        self.page.wait_for_function(script, arg=argument, timeout=1000 * seconds, polling=200)

    def choose(self, *menus):
        """Choose an entry of JupyterLab's menus: choose("Run", "Run All Cells")."""
        for menu in menus:
            self.page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel").get_by_text(menu, exact=True).click()

    def run_all(self):
        """Take the committed outputs away, choose Run All, and wait until each cell has run or one has failed."""
        self.choose("Edit", "Clear Outputs of All Cells")
        self.choose("Run", "Run All Cells")
        self.wait_for(FINISHED, RUN)
        self.ran = self.cells()

    def run_cell(self, text, wait=True):
        """Run, once more, the cell with this text."""
        before = self.count(text)
        self.page.locator(".jp-CodeCell").filter(has_text=text).locator(".cm-content").press("Control+Enter")
        if wait:
            self.wait_for(FINISHED, RUN)
            assert self.count(text) > before

    def count(self, text):
        """Return the number in front of the cell with this text: the how manieth that the kernel ran."""
        return next(cell["count"] for cell in self.cells() if text in cell["source"])

    def ask(self, code, value):
        """Run code in the notebook's kernel, beside its cells, and return the literal that `value` then is."""
        return ast.literal_eval(self.page.evaluate(ASK, [code, value]))

    def set_theme(self, name):
        """Change JupyterLab's theme, and wait until it is there."""
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
        light = "true" if "Light" in name else "false"
        self.page.locator(f"body[data-jp-theme-light={light}]").wait_for(state="attached")  # a body is never "visible"

    def cells(self):
        """Return the code cells as the page has them: dictionaries with source, count and outputs."""
        return self.page.evaluate(CELLS)

    def outputs(self):
        """Return the outputs of all cells, as Run All has left them."""
        return [output for cell in self.ran for output in cell["outputs"]]

    def kernel_errors(self):
        """Return the errors that the kernel has told of, those behind a control included."""
        return self.page.evaluate("kernelErrors")
