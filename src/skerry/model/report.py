"""Predictions as one HTML page that loads nothing else: the pictures, a bar for each of the best labels."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from skerry.package.postprocess import OutputAnswer, Prediction

THUMBNAIL = 240
STYLE = """
body{font:15px/1.4 system-ui,sans-serif;margin:2rem;color:#222;background:#fafafa}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:1rem}
figure{margin:0;padding:1rem;background:#fff;border:1px solid #ddd;border-radius:8px}
img{display:block;max-width:100%;margin:0 auto .6rem}
figcaption{font-weight:600;overflow-wrap:anywhere}
.bar{position:relative;margin:.25rem 0;background:#eef;border-radius:4px;overflow:hidden}
.bar i{position:absolute;inset:0 auto 0 0;background:#9bc1ff}
.bar span{position:relative;display:flex;justify-content:space-between;padding:0 .4rem}
h2{font-size:1em;margin:.8rem 0 .2rem}
code{color:#555;overflow-wrap:anywhere}
"""


@dataclass(frozen=True, slots=True)
class Predicted:
    """One picture: its name and bytes, its best labels, how long the engine took, the other outputs."""

    name: str
    data: bytes
    best: Sequence[Prediction]
    milliseconds: float
    further: Sequence[OutputAnswer] = ()


def predictions_page(model: str, digest: str, engine: str, rows: Sequence[Predicted]) -> str:
    """The page; names and labels may hold anything, and are shown as they are."""
    title = html.escape(f"{model}: {len(rows)} pictures")
    figures = "\n".join(_figure(row) for row in rows)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{html.escape(engine)}<br><code>{html.escape(digest)}</code></p>"
        f"<main>\n{figures}\n</main></body></html>\n"
    )


def _figure(row: Predicted) -> str:
    bars = _bars(row.best)
    for answer in row.further:
        shown = _numbers(answer.predictions) if answer.kind == "regression" else _bars(answer.predictions)
        bars += f"<h2>{html.escape(answer.name)}</h2>{shown}"
    source = "data:image/jpeg;base64," + base64.b64encode(_thumbnail(row.data)).decode()
    name = html.escape(row.name)
    return (
        f'<figure><img alt="{name}" src="{source}"><figcaption>{name}</figcaption>'
        f"{bars}<small>{row.milliseconds:.1f} ms</small></figure>"
    )


def _bars(found: Sequence[Prediction]) -> str:
    return "".join(
        f'<div class="bar"><i style="width:{min(max(p.score, 0), 1):.1%}"></i>'
        f"<span><b>{html.escape(p.label)}</b>{p.score:.1%}</span></div>"
        for p in found
    )


def _numbers(found: Sequence[Prediction]) -> str:
    return "".join(f"<div><b>{html.escape(p.label)}</b> {p.score:.5g}</div>" for p in found)


def _thumbnail(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
