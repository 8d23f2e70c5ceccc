"""Options and arguments that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[str, typer.Argument(help="A TOML file, or the name of one in backtests/.")]
RecipeNames = Annotated[
    str, typer.Argument(help="As for run; of guards several, with commas or as in 'loan_*_h120'.")
]
Settings = Annotated[list[str], typer.Option("--set", help="KEY=VALUE, such as agent.fast=10.")]
Out = Annotated[Path | None, typer.Option(help="Folder to write to; results/NAME-ID otherwise.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch data.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON value to stdout.")]
