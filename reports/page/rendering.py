"""Fills the templates of pages: one environment, and the style that all of them share."""

from __future__ import annotations

from pathlib import Path

import jinja2

from reports import formats
from reports.drawing import svg

_TEMPLATES = Path(__file__).parents[1] / "templates"


def render(template: str, **content: object) -> str:
    """Fill ``template`` with ``content``; what is not safe in HTML is escaped, and a name that is missing an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(
        **content,
        formats=formats,
        scheme_light=svg.variables(dark=False),
        scheme_dark=svg.variables(dark=True),
        figure_rules=svg.style_sheet(),
    )
