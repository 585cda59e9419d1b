"""The dashboard's HTML; everything from a device is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment

from skerry.hub.dashboard.overview import DeviceView

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Skerry hub</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25rem .6rem; text-align: left; }
tr { border-bottom: 1px solid #ddd; } h2 { margin: 2rem 0 .3rem; }
.running { color: #0a7a2f; } .failed, .backoff, .unhealthy, .dead { color: #b00020; } .quiet { color: #666; }
#events td:last-child { font-family: monospace; word-break: break-all; }
</style></head><body>
<h1>Skerry hub</h1>
{% for device in devices %}
<section id="device-{{ device.name }}">
<h2>{{ device.name }}</h2>
<p class="quiet">{{ "connected" if device.connected else "not connected" }}
{%- if not device.enabled %}, disabled{% endif %}{% if device.iot_edge %}, edge device{% endif %},
last activity {{ device.last_activity }}</p>
{% if device.modules %}
<table><thead><tr><th>Module</th><th>State</th><th>Image</th><th>Detail</th></tr></thead><tbody>
{% for module in device.modules %}
<tr><td>{{ module.name }}</td><td class="{{ module.runtime_status }}">{{ module.runtime_status }}</td>
<td>{{ module.image }}</td><td>{{ module.detail }}</td></tr>
{% endfor %}
</tbody></table>
{% endif %}
</section>
{% else %}<p>No devices yet.</p>
{% endfor %}
<h2>Messages</h2>
<table><thead><tr><th>Time</th><th>From</th><th>Content</th></tr></thead><tbody id="events"></tbody></table>
<script>
const SHOWN = 50, CHARS = 500, rows = document.getElementById("events");
const source = new EventSource("/events?from=latest");
source.onmessage = (message) => {
  const event = JSON.parse(message.data);
  const row = rows.insertRow(0);
  const from = event.moduleId ? event.deviceId + "/" + event.moduleId : event.deviceId;
  const content = typeof event.body === "string" ? event.body : JSON.stringify(event.body);
  for (const text of [event.enqueuedTime, from, content.slice(0, CHARS)]) row.insertCell().textContent = text;
  while (rows.rows.length > SHOWN) rows.deleteRow(-1);
};
</script>
</body></html>
"""

_template = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE)


def render(devices: Sequence[DeviceView]) -> str:
    """The page as text."""
    return _template.render(devices=devices)
