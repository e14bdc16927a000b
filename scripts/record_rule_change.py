"""Record the life of a rule in the terminal: edit, plan, publish, load, take back.

Runs the commands on a private home with the sample, and writes docs/images/rule-change.svg:
what stands there is what the commands printed. `make pictures` runs it.
"""

import os
import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTH = 118

RULE = """\
  - id: discounted
    comment: Whether any discount was given.
    kind: derive
    column: discounted
    type: boolean
    expression: retail_disc + coupon_disc + coupon_match_disc > 0
    examples:
      - {in: {retail_disc: 1, coupon_disc: 0, coupon_match_disc: 0}, out: {discounted: true}}
"""

STEPS = (
    "etl-assets rules show campaign_sales > campaign_sales.yaml",
    "cat discounted.yaml >> campaign_sales.yaml   # the edit",
    "etl-assets rules plan campaign_sales.yaml --key CJ15 --html plan.html",
    "etl-assets rules publish campaign_sales.yaml --yes --comment 'What was discounted.' > plan.txt",
    "etl-assets refresh --key CJ15",
    "etl-assets rules rollback campaign_sales 1 --yes --comment 'Not wanted after all.' > plan.txt",
    "etl-assets rules history campaign_sales",
    "etl-assets refresh --key CJ15",
    "etl-assets loads --key CJ15 --dataset campaign_sales",
)


def main() -> int:
    """Run the steps and write the picture; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="etl-assets-recording-") as folder:
        place = Path(folder)
        binaries = Path(sys.executable).parent
        environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith("ETL_ASSETS_")},
            "ETL_ASSETS_HOME": str(place / "var"),
            "PATH": f"{binaries}:{os.environ['PATH']}",
        }
        built = subprocess.run(["etl-assets", "demo"], env=environment, cwd=place, check=False,
                               capture_output=True, text=True)  # fmt: skip
        if built.returncode:
            print(built.stderr, file=sys.stderr)
            return 1
        (place / "discounted.yaml").write_text(RULE, encoding="utf-8")
        console = Console(width=WIDTH, record=True, file=StringIO(), force_terminal=True)
        for step in STEPS:
            console.print(Text.assemble(("$ ", "bold green"), (step, "bold")))
            done = subprocess.run(["sh", "-c", step], env=environment, cwd=place, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
            shown = done.stdout.rstrip()
            if shown:
                console.print(Text(shown))
            console.print()
            if done.returncode:
                print(f"{step} failed: {shown}", file=sys.stderr)
                return 1
        IMAGES.mkdir(parents=True, exist_ok=True)
        file = IMAGES / "rule-change.svg"
        picture = console.export_svg(title="A rule, from edit to rollback")
        without_fonts = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
        file.write_text(without_fonts, encoding="utf-8")  # nothing is fetched to show it
        print(f"docs/images/{file.name}: {file.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
