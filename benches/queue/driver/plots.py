"""Bars as SVG, by hand: a row a picture, a bar a peer, the range of the repetitions as a line."""

from html import escape

from .goals import NAMES

WIDTH, LABEL, VALUE, BAR, GAP, TOP = 760, 190, 90, 20, 8, 44
COLOURS = {"ours": "#1f6feb", "peer": "#8c959f", "floor": "#d0d7de"}
STYLE = ("<style>text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:15px;font-weight:600}"
         ".axis{fill:#656d76}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{fill:#8d96a0}}</style>")


def plot(results, row):
    """The picture of one row; `None` when nothing was measured."""
    values = {peer: results.values(row, peer.name) for peer in results.peers}
    measured = [(peer, values[peer], results.median(row, peer.name)) for peer in results.peers if values[peer]]
    if not measured:
        return None
    unit, better = ("ms, p50", "shorter") if row == "pickup" else ("jobs/s", "longer")
    top = max(max(each) for _, each, _ in measured)
    measured.sort(key=lambda one: one[2], reverse=row != "pickup")
    height = TOP + len(measured) * (BAR + GAP) + GAP
    scale = (WIDTH - LABEL - VALUE) / top
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
             f'role="img" aria-label="{escape(NAMES[row])}">', STYLE,
             f'<text class="title" x="8" y="22">{escape(NAMES[row])}</text>',
             f'<text class="axis" x="{WIDTH - 8}" y="22" text-anchor="end">{unit}, {better} is better</text>']
    for place, (peer, each, middle) in enumerate(measured):
        y = TOP + place * (BAR + GAP)
        number = f"{middle:,.2f}" if row == "pickup" else f"{middle:,.0f}"
        low, high = LABEL + min(each) * scale, LABEL + max(each) * scale
        parts += [f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(peer.name)}</text>',
                  f'<rect x="{LABEL}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" fill="{COLOURS[peer.kind]}"/>',
                  f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + BAR / 2}" y2="{y + BAR / 2}" stroke="#57606a"/>',
                  f'<text x="{high + 6:.1f}" y="{y + 14}">{number}</text>']
    return "\n".join([*parts, "</svg>", ""])
