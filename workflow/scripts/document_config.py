"""Write the table of all config keys into config/README.md, and the schema of the config for editors."""

from pathlib import Path

from prunecurve.config.document import editor_schema, table

PROJECT = Path(__file__).parents[2]
SCHEMA = PROJECT / "workflow" / "schemas" / "config.schema.json"
START, END = "<!-- keys: written by make docs -->\n", "<!-- end of keys -->\n"


def documented(text: str) -> str:
    """Return the text with the part between the two marks replaced by the table."""
    before, rest = text.split(START)
    return before + START + "\n" + table() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    page = PROJECT / "config" / "README.md"
    page.write_text(documented(page.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(editor_schema(), encoding="utf-8")
