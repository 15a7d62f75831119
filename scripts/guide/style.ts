/**
 * How the pages look: one column to read, tables that use the width there is and scroll inside where there is less.
 * Light and dark by the reader's system; on paper everything is open. Text has a contrast of 4.5 : 1 at least.
 */
export const STYLE = `
:root{color-scheme:light dark;--ink:#1b2227;--soft:#55616a;--paper:#fff;--shade:#f3f6f8;--line:#d5dde2;--link:#00588a;
--accent:#0072b2;--ours:#eef6fb;--good:#00664b;--good-shade:#e4f3ed;--bad:#a33b00;--bad-shade:#fdf0e8;--mark:#ffe9a8;
--key:#00588a;--string:#00664b;--number:#8a3b00;
--sans:system-ui,"Segoe UI","Helvetica Neue","DejaVu Sans",Arial,sans-serif;
--mono:ui-monospace,"SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebee;--soft:#a5b1b9;--paper:#14191d;--shade:#1d252b;--line:#364149;
--link:#7cc4f0;--accent:#56b4e9;--ours:#18262f;--good:#5fd0aa;--good-shade:#142a23;--bad:#ffa366;--bad-shade:#33210f;
--mark:#5a4700;--key:#7cc4f0;--string:#7fd6b6;--number:#ffb27f}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 var(--sans)}
a{color:var(--link);text-underline-offset:.15em;text-decoration-thickness:.06em}
a:hover{text-decoration-thickness:.13em}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:2px}
code,pre{font-family:var(--mono);font-size:.875em}
code{overflow-wrap:anywhere}
.skip{position:absolute;left:-100rem}
.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.5rem 1rem;z-index:2}
.site{background:var(--shade);border-bottom:1px solid var(--line);padding:.7rem 1.25rem .5rem}
.site .home{font-weight:650;color:var(--ink);text-decoration:none}
.site ul{list-style:none;margin:.3rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;font-size:.9rem}
.site li a{text-decoration:none}
.site li a:hover{text-decoration:underline}
.site li a[aria-current]{color:var(--ink);font-weight:600;border-bottom:2px solid var(--accent)}
main{max-width:78rem;margin:0 auto;padding:1.5rem 1.25rem 3rem}
footer{max-width:78rem;margin:0 auto;padding:1rem 1.25rem 2.5rem;color:var(--soft);font-size:.85rem;border-top:1px solid var(--line)}
p,.reading li{max-width:46rem}p,li{overflow-wrap:anywhere}
h1{font-size:1.9rem;line-height:1.2;margin:.1rem 0 .6rem;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.35rem;line-height:1.25;margin:2.4rem 0 .5rem}
h3{font-size:1.08rem;margin:1.7rem 0 .4rem}
h4{font-size:1rem;margin:0}
.kind{margin:0;color:var(--soft);font-size:.82rem;font-weight:600;letter-spacing:.05em;text-transform:uppercase}
.lede{font-size:1.13rem;margin:.2rem 0 1rem}
.copyright{color:var(--soft);font-size:.85rem}.copyright h2{font-size:1rem}
.soft,.why{color:var(--soft)}
.facts{margin:1rem 0;display:grid;gap:.3rem 0;max-width:64rem}
.facts>div{display:grid;grid-template-columns:9.5rem minmax(0,1fr);gap:.2rem 1rem}
.facts dt{color:var(--soft);font-size:.9rem}
.facts dd{margin:0;overflow-wrap:anywhere}
.contents ul{list-style:none;display:flex;flex-wrap:wrap;gap:.4rem;margin:1.2rem 0 0;padding:0}
.contents a{display:block;padding:.2rem .8rem;border:1px solid var(--line);border-radius:1rem;text-decoration:none;font-size:.9rem}
.contents a:hover{background:var(--shade)}
.wide{overflow-x:auto;margin:.8rem 0 1rem;border:1px solid var(--line);border-radius:6px;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:.9rem;line-height:1.45}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.wide{position:relative}
th,td{text-align:left;vertical-align:top;padding:.42rem .7rem;border-top:1px solid var(--line);font-weight:400}
thead th{background:var(--shade);border-top:0;font-size:.8rem;font-weight:600;color:var(--soft);white-space:nowrap}
tbody tr:target{background:var(--mark)}article:target{outline:3px solid var(--accent)}
th[scope=row].code,th[scope=row].key,td.code{font-family:var(--mono);font-size:.84rem}
td.asked{min-width:17rem}
td.code{min-width:8rem}th[scope=row].key,th[scope=row].code{white-space:nowrap}.display{font-family:var(--sans);font-size:.9rem;white-space:normal}td.at{min-width:9rem;max-width:18rem}
td.type{min-width:9rem;max-width:20rem}
td.card,td.flags{white-space:nowrap}
.elements{min-width:46rem}
.elements tr{height:1px}
.elements th.element{padding-top:0;padding-bottom:0;height:inherit;white-space:nowrap;font-family:var(--mono);font-size:.84rem}
.elements th.element .tree{display:block;height:100%;padding-top:.42rem;padding-bottom:.42rem;
background:repeating-linear-gradient(90deg,transparent 0 .45rem,var(--line) .45rem calc(.45rem + 1px),transparent calc(.45rem + 1px) 1.15rem) 0 0/0 100% no-repeat}
.elements .tree a{color:inherit;text-decoration:none}
.elements .tree a:hover{text-decoration:underline}
.elements .theirs th,.elements .theirs td{color:var(--soft)}
#all-elements~details .ours th,#all-elements~details .ours td{background-color:var(--ours)}
.tree{display:inline-block}
${[1, 2, 3, 4, 5, 6, 7, 8, 9].map((depth) => `.tree.d${depth}{padding-left:${(depth * 1.15).toFixed(2)}rem;background-size:${(depth * 1.15).toFixed(2)}rem 100%!important}`).join('')}
.short{color:var(--ink)}
.theirs .short{color:inherit}
.flag{display:inline-block;min-width:1.25rem;padding:0 .25rem;border:1px solid var(--line);border-radius:3px;text-align:center;font-size:.75rem;font-weight:600;text-decoration:none;margin-right:.2rem;cursor:help}
.flag.must{background:var(--bad);border-color:var(--bad);color:var(--paper)}
.was{color:var(--soft);font-size:.8rem;white-space:nowrap}
.never{color:var(--bad);font-weight:600}
.or{color:var(--soft)}
.strength,.severity{font-size:.78rem;font-weight:600;padding:0 .35rem;border-radius:3px;border:1px solid var(--line);white-space:nowrap}
.strength.required,.severity.error{border-color:var(--bad);color:var(--bad)}
.strength.extensible,.severity.warning{border-color:var(--number);color:var(--number)}
.slicing{color:var(--soft);font-style:italic}
.rules{font-size:.84rem;color:var(--soft)}
.rule{white-space:nowrap}
.expression{display:inline-block;margin-top:.15rem;color:var(--soft);overflow-wrap:anywhere}
details>summary{cursor:pointer;color:var(--link);padding:.25rem 0;width:fit-content}
.legend{font-size:.9rem}
article.example{border:1px solid var(--line);border-left:4px solid var(--good);border-radius:6px;padding:.8rem 1rem;margin:.8rem 0}
article.example.invalid{border-left-color:var(--bad)}
article.example h4::first-letter{text-transform:uppercase}
article.example p{margin:.3rem 0}
.breaks{font-weight:600}
.fault{background:var(--bad-shade);padding:.4rem .6rem;border-radius:4px}
.issues{list-style:none;margin:.4rem 0;padding:.5rem .8rem;background:var(--bad-shade);border-radius:4px;font-size:.92rem;overflow-wrap:anywhere}
.issues li+li{margin-top:.4rem}
pre{background:var(--shade);border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;overflow-x:auto;line-height:1.45;margin:.5rem 0;max-width:100%}
pre code{overflow-wrap:normal}
.json .k{color:var(--key)}.json .s{color:var(--string)}.json .n,.json .w{color:var(--number)}
mark{background:var(--mark);color:inherit;display:inline-block;min-width:100%}
ul.plain{list-style:none;margin:0;padding:0}
.picture{overflow-x:auto;margin:1rem 0;border:1px solid var(--line);border-radius:6px}
.picture svg{display:block;width:100%;min-width:54rem;height:auto}
.picture .band{fill:var(--shade)}
.picture .box{fill:var(--paper);stroke:var(--line);stroke-width:1.2}
.picture a:hover .box,.picture a:focus-visible .box{stroke:var(--accent);stroke-width:2.4}
.picture .name{fill:var(--link);font-weight:600;font-size:12.5px}
.picture .plain .name{fill:var(--ink)}
.picture .type{fill:var(--soft);font-size:11px}
.picture .step{fill:var(--ink);font-weight:650;font-size:15px}
.picture .words{fill:var(--soft);font-size:12.5px}
.picture .way{stroke:var(--soft);stroke-width:1.6;fill:none}
.picture .tip{fill:var(--soft)}
.picture .apart{stroke-dasharray:5 4}
@media (max-width:40rem){.elements{min-width:0}.elements,.elements tbody{display:block}
.elements thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.elements tr{display:grid;grid-template-columns:minmax(0,1fr) auto auto;height:auto;border-top:1px solid var(--line)}
.elements tbody tr:first-child{border-top:0}
.elements th,.elements td{border:0;padding:.1rem .7rem .1rem 0;min-width:0!important;max-width:none!important}
.elements th.element{padding:0 .5rem 0 .7rem;white-space:normal;overflow-wrap:anywhere}
.elements td.flags,.elements td.card{padding-top:.42rem}
.elements td.type,.elements td.asked{grid-column:1/-1;padding-left:.7rem}
.elements td.asked{padding-bottom:.6rem}.elements td:empty{display:none}
.list,.list tbody{display:block}.list thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.list tr{display:block;padding:.5rem .7rem;border-top:1px solid var(--line)}.list tbody tr:first-child{border-top:0}
.list th,.list td{display:inline;padding:0 .8rem 0 0;border:0;min-width:0!important;white-space:normal!important;overflow-wrap:anywhere}
.list th,.list td.asked{display:block}
h1{font-size:1.5rem}main{padding:1rem .9rem 2rem}.site{padding:.6rem .9rem}
.facts>div{grid-template-columns:1fr;gap:0}article.example{padding:.7rem .75rem}pre{padding:.6rem .7rem}}
@media print{.site nav,.contents,.skip,.legend{display:none}body{font-size:10pt}main,footer{max-width:none;padding:0}
.wide,.picture,pre{overflow:visible;border-color:#bbb}th,td{min-width:0!important;white-space:normal!important;overflow-wrap:anywhere}.elements,.picture svg{min-width:0}pre{white-space:pre-wrap}
tr,article.example h4,.issues{break-inside:avoid}h2,h3{break-after:avoid}details::details-content{content-visibility:visible;block-size:auto}
a[rel=external]{color:inherit}}
`;
