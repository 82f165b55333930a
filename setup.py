"""Put the workflow into the wheel, as memaudit/_home; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# With MANIFEST.in, which puts the same files into a source distribution. workflow/scripts/memaudit
# is a link to the package and stays out.
CARRIED = (
    "Snakefile",
    "config/*.*",
    "data/annotations/*",
    "data/digits/*",
    "data/sources.yaml",
    "envs/*.*",
    "profiles/*/config.yaml",
    "workflow/Snakefile",
    "workflow/*/*.*",
)


class BuildWithWorkflow(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # memaudit.study.home finds the checkout
            return
        for pattern in CARRIED:
            for source in sorted(Path().glob(pattern)):
                target = Path(self.build_lib, "memaudit", "_home", source)
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))


setup(cmdclass={"build_py": BuildWithWorkflow})
