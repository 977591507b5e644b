"""A copy of the project that commands run in."""

import re
import shutil
import subprocess
from pathlib import Path

LEFT_OUT = ("dvc.lock", "metrics/")


class Project:
    """A copy of the project in a folder of its own: a git repository with DVC."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, fails: bool = False) -> str:
        """Runs a command there; returns what it printed on both streams."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}:\n{done.stdout}"
        return done.stdout

    def commit(self, message: str) -> None:
        """Commits everything that git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "-q", "-m", message)

    def changes(self) -> list[str]:
        """Paths that differ from the last commit."""
        lines = self.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()
        return [line[3:] for line in lines]


def copy_project(source: Path, folder: Path, params: str) -> Project:
    """Copies the sources of a project to a new git repository without results, committed."""
    folder.mkdir()
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=source, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if not name.startswith(LEFT_OUT) and (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)
    (folder / "params.yaml").write_text(params)
    project = Project(folder)
    project.run("git", "init", "-q", "-b", "main")
    project.commit("The project without results")
    return project


def ran(output: str) -> set[str]:
    """Stages that a DVC command says it ran (or would run)."""
    return set(re.findall(r"^(?:> )?Running stage '([^']+)'", output, re.MULTILINE))
