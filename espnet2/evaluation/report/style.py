"""The style sheet of report.html. Colours are variables; figures use the same ones."""

CSS = """
:root {
  --paper: #f7f6f2; --card: #ffffff; --ink: #1c2126; --muted: #5d6670; --rule: #e2dfd7;
  --accent: #0b6b66; --tint: #e4f0ee; --warn: #8a4b08; --warn-tint: #fbf0e0;
  --c1: #0f766e; --c2: #d9772b; --c3: #8b95a1; --c4: #7552b3; --c5: #b58a12; --c6: #c2466a;
  --c7: #3d7dca;
  --sans: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans",
    sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #121619; --card: #1a2024; --ink: #e7e5df; --muted: #9aa4ad; --rule: #2d353b;
    --accent: #5fc9bd; --tint: #16302f; --warn: #f0b970; --warn-tint: #2d2416;
    --c1: #45bdb0; --c2: #ee9350; --c3: #8793a0; --c4: #ab8fe0; --c5: #d9b23f; --c6: #e5799a;
    --c7: #74abed;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; max-width: 70rem; padding: 0 1.5rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.6 var(--sans); font-variant-numeric: tabular-nums;
}
a { color: var(--accent); }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem 1rem; z-index: 2; }
header { padding: 4rem 0 1.75rem; max-width: 46rem; }
.kicker {
  margin: 0 0 .75rem; color: var(--accent); font-size: .8rem; font-weight: 650;
  letter-spacing: .09em; text-transform: uppercase;
}
h1 {
  margin: 0 0 1rem; font-size: clamp(1.9rem, 1.3rem + 2.6vw, 3rem); font-weight: 700;
  letter-spacing: -.022em; line-height: 1.12; text-wrap: balance;
}
.lead { margin: 0 0 1rem; font-size: 1.15rem; line-height: 1.55; text-wrap: pretty; }
.meta, footer { color: var(--muted); font-size: .85rem; }
.meta { margin: 0; }
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: 1px;
  margin: 0; padding: 0; list-style: none; background: var(--rule); border: 1px solid var(--rule);
  border-radius: .75rem; overflow: hidden;
}
.tiles li {
  display: flex; flex-direction: column; padding: 1.1rem 1.25rem; background: var(--card);
}
.tiles .label { color: var(--muted); font-size: .82rem; line-height: 1.35; }
.tiles .value { font-size: 2.1rem; font-weight: 680; letter-spacing: -.02em; line-height: 1.35; }
.tiles .unit { margin-left: .2em; font-size: .5em; font-weight: 500; color: var(--muted); }
.tiles .note { color: var(--muted); font-size: .82rem; line-height: 1.4; }
nav {
  position: sticky; top: 0; z-index: 1; display: flex; gap: .35rem 1.35rem; overflow-x: auto;
  margin: 2rem -1.5rem 0; padding: .8rem 1.5rem; background: var(--paper);
  border-bottom: 1px solid var(--rule); font-size: .88rem; white-space: nowrap;
  scrollbar-width: none;
}
nav a { color: var(--muted); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--accent); }
section { padding-top: 3rem; scroll-margin-top: 1.5rem; }
h2 { margin: 0 0 1.1rem; font-size: 1.5rem; letter-spacing: -.012em; line-height: 1.25; }
section > p { max-width: 46rem; }
.warning {
  padding: .85rem 1.1rem; border-left: 3px solid var(--warn); border-radius: 0 .5rem .5rem 0;
  background: var(--warn-tint);
}
.figures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr));
  align-items: start; gap: 1.25rem; margin: 0 0 1.5rem;
}
.three { grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.figures > .scroll { margin: 0; min-width: 0; }
.figures th, .figures td { padding: .42rem 1.1rem; }
.figures tbody th { width: auto; white-space: normal; }
figure {
  min-width: 0; margin: 0; padding: 1.1rem 1.1rem .9rem; background: var(--card);
  border: 1px solid var(--rule); border-radius: .75rem;
}
figure.wide { grid-column: 1 / -1; }
figure .scroll { margin: 0; border: 0; }
svg.chart { display: block; width: 100%; height: auto; max-height: 100rem; overflow: visible; }
figure.wide svg.chart { min-width: 34rem; max-width: 46rem; margin: 0 auto; }
svg.chart text { font-family: var(--sans) !important; font-variant-numeric: tabular-nums; }
figcaption { margin-bottom: .8rem; font-size: .95rem; font-weight: 650; line-height: 1.35; }
figure p { margin: .6rem 0 0; color: var(--muted); font-size: .85rem; line-height: 1.45; }
.scroll {
  overflow-x: auto; margin: 0 0 1.5rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: .75rem;
}
.narrow { max-width: 34rem; }
table { width: 100%; border-collapse: collapse; font-size: .92rem; }
caption {
  padding: .9rem 1.1rem .5rem; text-align: left; font-weight: 650; caption-side: top;
}
caption span { position: sticky; left: 1.1rem; display: inline-block; }
th, td { padding: .5rem 1.1rem; text-align: right; vertical-align: top; }
th.text, td.text, tbody th { text-align: left; }
thead th {
  border-bottom: 1px solid var(--rule); color: var(--muted); font-size: .8rem; font-weight: 600;
  line-height: 1.3; vertical-align: bottom; min-width: 4.5rem;
}
tbody th { width: 22%; font-weight: 550; white-space: nowrap; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
td small, th small {
  display: block; color: var(--muted); font-size: .76rem; font-weight: 400; white-space: nowrap;
}
td small { min-width: 5.5rem; max-width: 9rem; margin-left: auto; white-space: normal; }
td.text small { margin-left: 0; }
td strong { color: var(--accent); }
tr.ours > * { background: var(--tint); }
.table-note { margin: -.9rem 0 1.5rem; color: var(--muted); font-size: .85rem; }
details { margin: 0 0 1rem; }
summary { padding: .35rem 0; color: var(--accent); cursor: pointer; }
details > .scroll, details > pre { margin-top: .6rem; }
pre {
  overflow-x: auto; margin: 0 0 1.5rem; padding: 1rem 1.1rem; background: var(--card);
  border: 1px solid var(--rule); border-radius: .75rem; font: .84rem/1.55 var(--mono);
}
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 40rem) {
  body { padding: 0 1rem 3rem; }
  header { padding-top: 2.25rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tiles li { padding: .85rem .95rem; }
  .tiles li:last-child:nth-child(odd) { grid-column: 1 / -1; }
  .tiles .value { font-size: 1.65rem; }
  nav { margin: 1.5rem -1rem 0; padding: .75rem 1rem; }
  section { padding-top: 2.25rem; }
  figure { padding: .8rem .8rem .7rem; }
  th, td { padding: .45rem .75rem; }
  caption { padding: .75rem .75rem .4rem; }
  caption span { left: .75rem; max-width: calc(100vw - 4rem); }
  tbody th { white-space: normal; }
  td small, th small { min-width: 5rem; white-space: normal; }
  td.text { min-width: 10rem; }
  .scroll tbody th { min-width: 9.25rem; max-width: 45vw; overflow-wrap: anywhere; }
  .scroll tbody th, .scroll thead th:first-child {
    position: sticky; left: 0; background: var(--card);
  }
  tr.ours > th { background: var(--tint) !important; }
}
@media print {
  nav, .skip { display: none; }
  body { max-width: none; background: none; }
  figure, .scroll, pre { break-inside: avoid; }
}
"""
