"""Convert Markdown to self-contained HTML pages of the report."""

import re

from markdown_it import MarkdownIt

from memaudit.templates import render

# Numbers that belong together, and words such as CIFAR-100: never broken at the end of a line.
_WHOLE = re.compile(
    r"\(?-?\d+(?:\.\d+)? (?:to|→|±|/) -?\d+(?:\.\d+)?\)?|\(?p (?:&lt;|=) \d\.\d+|\(?[A-Z]+-\d+\)?"
)


def _cell(found: re.Match[str]) -> str:
    """Mark where a table cell may break: between words, and in names after a _."""
    texts = re.split(r"(<[^>]*>)", found[0])
    for at in range(0, len(texts), 2):  # those between the tags
        texts[at] = _WHOLE.sub(r'<span class="whole">\g<0></span>', texts[at])
        texts[at] = texts[at].replace("_", "_<wbr>")
    return "".join(texts)


def page(markdown: str, title: str) -> str:
    """Return an HTML page of CommonMark with tables, which scroll; HTML is shown as text."""
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = re.sub(
        r"<t[hd]\b.*?</t[hd]>", _cell, renderer.render(markdown), flags=re.DOTALL
    ).replace("<table>", '<div class="wide"><table>')
    body = body.replace("</table>", "</table></div>")
    return render("page.html", title=renderer.renderInline(title), body=body)
