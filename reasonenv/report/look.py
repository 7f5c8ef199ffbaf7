"""The look of the page. Colours: Okabe & Ito's palette, safe for colour-blind readers."""

LIGHT = {
    "--paper": "#fdfcfa",
    "--card": "#fff",
    "--ink": "#1d2126",
    "--muted": "#646b75",
    "--rule": "#e4e2dd",
    "--base": "#5f6670",
    "--c1": "#0072b2",
    "--c2": "#c65200",
    "--c3": "#00805d",
    "--c4": "#b0568f",
    "--c5": "#9a6a00",
    "--c6": "#2a87bd",
    "--good": "#009e73",
    "--bad": "#d55e00",
    "--none": "#a9aeb6",
    "--odd": "#e0b400",
    "--ours": "#cc79a7",
    "--goodink": "#00694d",
    "--badink": "#a84900",
    "--low": "#ee9a63",
    "--high": "#5fb0e6",
    "--rare": "#dd94c2",
    "--open": "#e0b848",
}
DARK = {
    "--paper": "#14171b",
    "--card": "#1b1f24",
    "--ink": "#e8e6e1",
    "--muted": "#9aa2ad",
    "--rule": "#2d333b",
    "--base": "#aab2bd",
    "--c1": "#58b4f0",
    "--c2": "#ff8f4a",
    "--c3": "#35c99a",
    "--c4": "#e39ac8",
    "--c5": "#e8b13c",
    "--c6": "#8fd0f5",
    "--good": "#26b587",
    "--bad": "#e8743b",
    "--none": "#6b737d",
    "--odd": "#d9b52c",
    "--ours": "#cc79a7",
    "--goodink": "#4fd6a8",
    "--badink": "#ff9a62",
    "--low": "#a3521b",
    "--high": "#1d6aa5",
    "--rare": "#8d4777",
    "--open": "#806010",
}
LIGHT_RULE, DARK_RULE = (f":root{{{';'.join(f'{k}:{v}' for k, v in names.items())}}}" for names in (LIGHT, DARK))

STYLE = (
    f":root{{color-scheme:light dark}}{LIGHT_RULE}@media(prefers-color-scheme:dark){{{DARK_RULE}}}"
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
-webkit-text-size-adjust:100%;overflow-wrap:anywhere}
main{max-width:1080px;margin:0 auto;padding:56px 28px 96px}
h1{font:600 2.3rem/1.15 Georgia,"Times New Roman",serif;letter-spacing:-.015em;margin:0 0 .35em;text-wrap:balance}
h2{font:600 1.45rem/1.25 Georgia,"Times New Roman",serif;margin:3.4rem 0 .4rem}
h3{font-size:1rem;font-weight:650;margin:0 0 .1rem}
h4{font-size:.85rem;font-weight:600;margin:0 0 .3rem;color:var(--muted)}
p{margin:0 0 .8rem;max-width:72ch}
.kicker{font-size:.8rem;letter-spacing:.09em;text-transform:uppercase;color:var(--muted);margin:0 0 .9rem}
.lede{color:var(--muted)}
.claim{font:400 1.28rem/1.55 Georgia,"Times New Roman",serif;border-left:3px solid var(--c1);
padding:.1rem 0 .1rem 1.1rem;margin:1.6rem 0 2rem;max-width:74ch;text-wrap:pretty}
.muted,.caption,.nothing,.cut{color:var(--muted)}.caption{font-size:.87rem;margin:0 0 .6rem}
.results+.caption{margin-top:.9rem}.nothing{font-style:italic}
.mono,pre,code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}
th{font-size:.78rem;font-weight:600;color:var(--muted);text-align:right;vertical-align:bottom;
padding:.3rem .7rem .45rem;overflow-wrap:normal}
td{text-align:right;padding:.6rem .7rem;border-top:1px solid var(--rule);vertical-align:top;white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}th:last-child,td:last-child{padding-right:0}
td small{display:block;font-size:.78rem;color:var(--muted);line-height:1.35}
.results td{font-size:1.06rem}.results b{font-weight:650}
.dot{display:inline-block;width:.62em;height:.62em;border-radius:50%;background:var(--own);margin-right:.5em}
.up{color:var(--goodink)}.down{color:var(--badink)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:44px 40px;
margin-top:1.6rem}
figure{margin:0;min-width:0}svg{display:block;width:100%;height:auto;overflow:visible}
.grid{stroke:var(--rule);stroke-width:1;fill:none}.tick,.axis{font-size:12.5px;fill:var(--muted)}
.label{font-size:13.5px;font-weight:600}.line{fill:none;stroke-width:2.4;stroke-linejoin:round;stroke-linecap:round}
.seed{fill:none;stroke-width:1;opacity:.38;stroke-linejoin:round}.band{opacity:.14}
.dim{opacity:.12}.band.dim{opacity:.03}
.reference{fill:none;stroke:var(--base);stroke-width:1.6;stroke-dasharray:5 5}
.scroll{overflow-x:auto}
details{margin-top:.5rem;font-size:.85rem}summary{cursor:pointer;color:var(--muted)}
details .scroll{max-height:320px;overflow:auto;margin-top:.5rem}details td{padding:.22rem .7rem}
.bars{display:grid;grid-template-columns:minmax(70px,auto) 1fr;gap:.7rem 1rem;align-items:center;margin-top:1rem}
.bars .row{display:contents}.bar{display:flex;height:26px;border-radius:4px;overflow:hidden;gap:1px}
.bar i{font:600 .76rem/26px system-ui,sans-serif;text-align:center;color:#10151a;overflow:hidden;min-width:0}
.origins .bar i{color:var(--paper)}.said{margin:.9rem 0 0;padding-left:1.2rem}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;font-size:.85rem;color:var(--muted);margin-top:.8rem}
.axes label{font-size:.85rem;color:var(--muted);display:block;margin-bottom:.5rem}.axes label[hidden]{display:none}
.controls{display:flex;flex-wrap:wrap;gap:.6rem 1.2rem;align-items:center;margin:1rem 0 1.2rem;font-size:.9rem}
.controls[hidden]{display:none}select,button{font:inherit;color:inherit;background:var(--card);
border:1px solid var(--rule);
border-radius:6px;padding:.25rem .6rem}button{cursor:pointer}.pager{display:flex;align-items:center;gap:.6rem;
margin-left:auto}
.problem{margin-bottom:1.6rem}.question{font:1.05rem/1.55 Georgia,serif;white-space:pre-wrap;margin:0 0 .2rem}
.gold{font-size:.88rem;color:var(--muted)}.gold b{color:var(--ink)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,290px),1fr));gap:14px}
.card{background:var(--card);border:1px solid var(--rule);border-top:3px solid var(--own);border-radius:6px;
padding:.7rem .9rem;display:flex;flex-direction:column;min-width:0}.card[hidden],.problem[hidden]{display:none}
.card header{display:flex;gap:.5rem;align-items:baseline;font-size:.9rem}
.verdict{margin-left:auto;white-space:nowrap;font-size:.78rem;font-weight:650;color:var(--badink)}.verdict.yes{color:var(--goodink)}
.card pre{font-size:.82rem;line-height:1.5;white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0;flex:1;
max-height:17rem;overflow:auto;unicode-bidi:isolate}
.card footer b{margin-right:auto}.card footer{font-size:.8rem;border-top:1px solid var(--rule);padding-top:.45rem;
display:flex;flex-wrap:wrap;gap:.1rem .8rem;
justify-content:space-between}.cut{font-size:.78rem;margin:0}
pre span{border-radius:2px}pre.coloured .break::before{content:"⏎";opacity:.55}
.scale{display:flex;flex-wrap:wrap;align-items:center;gap:.2rem .6rem;font-size:.85rem;color:var(--muted);
margin:-.4rem 0 1rem;min-height:1.7em}.scale[hidden]{display:none}
.scale i{display:block;width:150px;height:12px;border-radius:3px;border:1px solid var(--rule)}
.at{margin-left:.8rem;font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;color:var(--ink)}
.notice{border:1px solid var(--rule);border-left:3px solid var(--bad);border-radius:6px;padding:.8rem 1.1rem;
background:var(--card);margin:1.4rem 0}.notice pre{white-space:pre-wrap;font-size:.82rem;margin:.3rem 0 .7rem}
.notice ul{margin:.3rem 0;padding-left:1.2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.4rem 1.6rem;font-size:.92rem;margin:1rem 0}
dt{color:var(--muted)}dd{margin:0;min-width:0}
@media(max-width:700px){main{padding:32px 18px 64px}h1{font-size:1.8rem}.claim{font-size:1.08rem}
.results thead{display:none}.results tr{display:grid;grid-template-columns:1fr 1fr;gap:.7rem 1rem;padding:1rem 0;
border-top:1px solid var(--rule)}.results td{display:block;border:0;padding:0;text-align:left;white-space:normal}
.results td:first-child{grid-column:1/-1}.results td[data-label]::before{content:attr(data-label);display:block;
font-size:.75rem;color:var(--muted)}.pager{margin-left:0}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}
.bars{grid-template-columns:1fr;gap:.2rem}}
"""
)
