"""Write the table of all config keys, generated from the schema, into config/README.md."""

from pathlib import Path

from prunecurve.config import document, load_schema

PROJECT = Path(__file__).parents[2]
START, END = "<!-- keys: written by make docs -->\n", "<!-- end of keys -->\n"


def documented(text: str) -> str:
    """Return the text with the part between the two marks replaced by the table."""
    before, rest = text.split(START)
    table = document(load_schema(PROJECT / "workflow" / "schemas" / "config.schema.yaml"))
    return before + START + "\n" + table + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    page = PROJECT / "config" / "README.md"
    page.write_text(documented(page.read_text(encoding="utf-8")), encoding="utf-8")
