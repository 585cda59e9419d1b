"""The live page's document and script: what a browser shows of frames and their predictions."""

HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Skerry live</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="live.css"></head>
<body><header><h1>Live</h1><p id="state" role="status">connecting</p></header>
<main><figure><img id="frame" alt="latest frame"><figcaption id="label"></figcaption></figure>
<section><ol id="predictions"></ol><dl id="facts"></dl></section></main>
<script src="live.js"></script></body></html>
"""

CSS = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 1rem; color: #123; background: #f6f8fa; }
header { display: flex; gap: 1rem; align-items: baseline; }
main { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; } img { max-width: 640px; width: 100%; background: #dde; min-height: 8rem; }
figcaption { font-size: 1.4rem; } dl { display: grid; grid-template-columns: auto 1fr; gap: 0 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
"""

# Text is set as text: a label is a model's, and nobody's markup.
SCRIPT = """
"use strict";
const at = id => document.getElementById(id);
const events = new EventSource("stream");
events.onopen = () => at("state").textContent = "live";
events.onerror = () => at("state").textContent = "reconnecting";
events.addEventListener("frame", event => {
  const {number, image, document: found, dropped} = JSON.parse(event.data);
  if (image) at("frame").src = "data:image/jpeg;base64," + image;
  const best = found.label;
  at("label").textContent = best == null ? "nothing above the threshold" : best;
  at("predictions").replaceChildren(...(found.predictions || []).map(each => {
    const item = document.createElement("li");
    item.textContent = each.label + " " + (100 * each.score).toFixed(1) + " %";
    return item;
  }));
  const facts = {frame: number, "not shown": dropped, time: found.time, model: found.model,
    milliseconds: found.latencyMs && found.latencyMs.total};
  at("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value != null)
    .flatMap(([name, value]) => ["dt", "dd"].map((tag, place) => {
      const part = document.createElement(tag);
      part.textContent = place ? value : name;
      return part;
    })));
});
"""
