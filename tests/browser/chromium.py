"""Find a Chromium for the tests here, or install one: `make test-browser`.

One that is there is taken; root on Debian gets Debian's; everyone else gets Playwright's own, in their cache.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

RELEASE = Path("/etc/os-release")


def find():
    """Return the path of the Chromium that is installed, or None."""
    return shutil.which("chromium") or shutil.which("chromium", path="/usr/bin")


def install():
    """Install a Chromium if there is none."""
    if find():
        return
    if os.geteuid() == 0 and RELEASE.exists() and "ID=debian" in RELEASE.read_text().splitlines():
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=True)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


if __name__ == "__main__":
    install()
