"""Markdown to a page of HTML that stands alone, for the report."""

from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto;
  padding: 0 1.5rem; max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.87rem; }
th, td { padding: 0.35rem 0.6rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #555; vertical-align: bottom; }
td { border-bottom: 1px solid #ddd; }
code { font-size: 0.9em; background: #f3f3f3; padding: 0 0.2em; }
li { margin: 0.2rem 0; max-width: 60rem; } p { max-width: 60rem; }
.wide { overflow-x: auto; }
@media print { body { margin: 0; max-width: none; } }
"""


def page(markdown: str, title: str) -> str:
    """A self-contained page: CommonMark with tables, which scroll where they are wider than it.

    HTML within the Markdown is shown as text.
    """
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = renderer.render(markdown)
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    head = renderer.renderInline(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{head}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
