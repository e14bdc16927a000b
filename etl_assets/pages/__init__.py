"""HTML pages: one file each, without scripts or anything from elsewhere.

`base.html` holds the one style: readable on a phone, in light and dark, and by screen readers.
"""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from etl_assets.core.errors import PermanentError


def write_page(template: str, file: Path, **content: object) -> None:
    """Write a page into a file, which is replaced.

    Args:
        template: Its name in this folder.
        file: Where to write.
        content: What the template shows; everything in it is escaped.

    Raises:
        PermanentError: When the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("etl_assets", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(**content)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PermanentError(
            f"The page {file} cannot be written ({error.strerror}).", "Choose another file."
        ) from error
