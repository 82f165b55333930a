"""Hooks of MkDocs: pages from README files outside docs/, links between them, the API."""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

from memaudit import _MODULES

ROOT = Path(__file__).resolve().parents[1]
# file in the repository: file of the site
OUTSIDE = {
    "README.md": "index.md",
    "config/README.md": "configuration.md",
    "profiles/README.md": "profiles.md",
    "data/annotations/README.md": "annotations.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/results/bench.md": "bench.md",
    "benchmarks/results/bench.png": "bench.png",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^)\s]+)\)")


def on_files(files, config):
    """Add the files outside docs/ and the page of the exported names."""
    for source, target in OUTSIDE.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    names = "\n\n".join(f"::: memaudit.{module}.{name}" for name, module in _MODULES.items())
    text = "# Python\n\n`import memaudit` exports these names, as `memaudit.NAME`.\n\n"
    files.append(File.generated(config, "api.md", content=text + names))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links between files of the repository lead to pages of the site.

    A link to a file that is not part of the site becomes its text; a link to no file is left alone,
    so that a strict build fails.
    """
    where = page.file.src_uri
    source = next((s for s, target in OUTSIDE.items() if target == where), f"docs/{where}")

    def linked(match):
        path, anchor = re.fullmatch(r"([^#]*)(#.*)?", match["target"]).groups(default="")
        if not path or ":" in path:
            return match[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        target = OUTSIDE.get(
            named, named.removeprefix("docs/") if named.startswith("docs/") else ""
        )
        if target and files.get_file_from_path(target):
            relative = posixpath.relpath(target, posixpath.dirname(where) or ".")
            return f"[{match['text']}]({relative}{anchor})"
        return match["text"] if (ROOT / named).exists() else match[0]

    return LINK.sub(linked, markdown)
