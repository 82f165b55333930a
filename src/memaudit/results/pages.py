"""Markdown to a page of HTML that stands alone, for the report."""

import re

from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  margin: 1.5rem auto; padding: 0 clamp(0.5rem, 2vw, 1.5rem); max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.8rem;
  line-height: 1.35; }
th, td { padding: 0.35rem 0.37rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #555; vertical-align: bottom; }
td { border-bottom: 1px solid #ddd; }
code { font-size: 0.9em; background: #f3f3f3; padding: 0 0.2em; }
li { margin: 0.2rem 0; max-width: 60rem; } p { max-width: 60rem; }
.whole { white-space: nowrap; }
/* a table wider than the page scrolls: its first column stays, a shadow says where there is more */
.wide { overflow-x: auto; margin: 1rem 0; padding-bottom: 0.3rem; background:
  linear-gradient(to left, #fff 2rem, #fff0) right / 4rem 100% no-repeat local,
  linear-gradient(to left, #0004, #0000) right / 0.8rem 100% no-repeat scroll; }
.wide th:first-child, .wide td:first-child { position: sticky; left: 0; background: #fff; }
@media print {
  body { margin: 0; max-width: none; font-size: 11px; }
  table { font-size: 8px; } .whole { white-space: normal; }
  .wide { overflow: visible; background: none; }
}
"""

# Numbers that belong together, and words like CIFAR-100: never broken at the end of a line.
_WHOLE = re.compile(
    r"\(?-?\d+(?:\.\d+)? (?:to|→|±|/) -?\d+(?:\.\d+)?\)?|\(?p (?:&lt;|=) \d\.\d+|\(?[A-Z]+-\d+\)?"
)


def _cell(found: re.Match[str]) -> str:
    """A cell of a table, whose text breaks where it can be read, names also after a _."""
    texts = re.split(r"(<[^>]*>)", found[0])
    for at in range(0, len(texts), 2):  # those between the tags
        texts[at] = _WHOLE.sub(r'<span class="whole">\g<0></span>', texts[at])
        texts[at] = texts[at].replace("_", "_<wbr>")
    return "".join(texts)


def page(markdown: str, title: str) -> str:
    """A self-contained page: CommonMark with tables, which scroll where they are wider than it.

    HTML within the Markdown is shown as text.
    """
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = renderer.render(markdown)
    body = re.sub(r"<t[hd]\b.*?</t[hd]>", _cell, body, flags=re.DOTALL)
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    head = renderer.renderInline(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{head}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
