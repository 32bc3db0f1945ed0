"""Run the workflow as a user would, in a folder of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "tests" / "workflow"


def data_folder():
    """Where the real data is; None if it isn't there."""
    for place in (os.environ.get("GENENET_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "platelet").is_dir():
            return Path(place)
    return None


class Search:
    """A working folder with config files, the later laid over the earlier."""

    def __init__(self, folder, *configs):
        self.folder, self.configs = Path(folder), []
        for name in configs:
            text = (CONFIGS / name).read_text().replace("DATA/", f"{data_folder()}/")
            self.add(name, text)

    def add(self, name, text):
        """Lay one more file over those there are."""
        path = self.folder / name
        path.write_text(text)
        self.configs.append(path)

    def add_without_volumes(self, name):
        """Lay a config file over the others, but for the volumes that it segments."""
        values = yaml.safe_load((CONFIGS / name).read_text())
        del values["data"]["volumes"]
        self.add(name, yaml.safe_dump(values))

    def copied(self, folder):
        """Return a copy of the folder with all results and Snakemake's records, which a test may change."""
        copy = Search(shutil.copytree(self.folder, folder / "copy", symlinks=True))
        copy.configs = [copy.folder / path.relative_to(self.folder) for path in self.configs]
        return copy

    def arguments(self, *more):
        """Options of Snakemake, but for the profile; ``more`` may begin with targets."""
        return [*more, "--snakefile", ROOT / "workflow/Snakefile", "--configfile", *self.configs]

    def snakemake(self, *arguments, check=True):
        """Run Snakemake with the local profile; return what it printed."""
        return self.with_profile(ROOT / "profiles/local", *arguments, "--cores", "2", check=check)

    def with_profile(self, profile, *arguments, check=True, environment=None):
        """Run Snakemake; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *self.arguments(*arguments), "--profile", profile],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def planned(self, *overlays, target=None):
        """Return what a dry run would do with these overlays, for all results or one: jobs by rule."""
        before = list(self.configs)
        for index, text in enumerate(overlays):
            self.add(f"overlay{index}.yaml", text)
        output = self.snakemake(*filter(None, [target]), "--dry-run", "--quiet", "reason")
        self.configs = before
        table = re.search(r"Job stats:\n.*?\n-.*?\n(.*?)\n\n", output, re.DOTALL)
        if not table:
            assert "Nothing to be done" in output, output
            return {}
        jobs = dict(line.split()[:2] for line in table[1].splitlines())
        jobs.pop("total")
        return {rule: int(n) for rule, n in jobs.items()}

    @property
    def results(self):
        return self.folder / "results"
