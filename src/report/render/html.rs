//! A report as one HTML page: no script, nothing loaded from elsewhere, which its own policy says too.

use crate::report::chart::svg;
use crate::report::document::{Block, Cell, Report, Table};
use crate::report::say::cell;
use crate::types::{escaped, visible};

const STYLE: &str = "\
:root{color-scheme:light;--ink:#1f2937;--faint:#6b7280;--line:#e5e7eb;--ground:#f9fafb}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);margin:0 auto;max-width:62rem;padding:2rem 1.5rem}\
h1{font-size:1.9rem;margin:0 0 .6rem}h2{font-size:1.3rem;margin:2.4rem 0 .6rem;padding-top:.8rem;border-top:2px solid var(--line)}\
h3{font-size:1rem;margin:1.4rem 0 .4rem}dl.about{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;color:var(--faint)}\
dl.about dd{margin:0;color:var(--ink);overflow-wrap:anywhere}nav ol{columns:2;padding-left:1.4rem}\
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:.8rem;margin:1rem 0}\
.figure{background:var(--ground);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}\
.figure b{display:block;font-size:1.5rem;line-height:1.25}.figure span{color:var(--faint);font-size:.85rem}\
.note{border-left:4px solid #d97706;background:#fffbeb;padding:.6rem .9rem;margin:1rem 0}\
table{border-collapse:collapse;width:100%;font-size:.88rem}th,td{text-align:left;vertical-align:top;padding:.35rem .55rem;\
border-bottom:1px solid var(--line);overflow-wrap:anywhere}th{background:var(--ground)}td.n,th.n{text-align:right;\
font-variant-numeric:tabular-nums;white-space:nowrap}svg{max-width:100%;height:auto}figure{margin:1rem 0}\
figcaption{font-weight:600;margin-bottom:.3rem}.empty{color:var(--faint)}\
@media print{body{max-width:none;padding:0}tr,figure,.figure{break-inside:avoid}thead{display:table-header-group}}";

pub(super) fn write(report: &Report) -> String {
    let title = text(&report.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         base-uri 'none'; form-action 'none'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<dl class=\"about\">\n"
    );
    for (what, value) in report.about() {
        out.push_str(&format!("<dt>{what}</dt><dd>{}</dd>\n", text(&value)));
    }
    out.push_str("</dl>\n</header>\n<nav aria-label=\"Contents\"><ol>\n");
    for (number, section) in report.sections.iter().enumerate() {
        out.push_str(&format!("<li><a href=\"#s{number}\">{}</a></li>\n", text(&section.title)));
    }
    out.push_str("</ol></nav>\n<main>\n");
    for (number, section) in report.sections.iter().enumerate() {
        out.push_str(&format!("<section id=\"s{number}\">\n<h2>{}</h2>\n", text(&section.title)));
        for block in &section.blocks {
            push(&mut out, block);
        }
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn text(text: &str) -> String {
    escaped(&visible(text, usize::MAX))
}

fn push(out: &mut String, block: &Block) {
    match block {
        Block::Text { text: words } => out.push_str(&format!("<p>{}</p>\n", text(words))),
        Block::Note { text: words } => out.push_str(&format!("<p class=\"note\">{}</p>\n", text(words))),
        Block::Figures { figures } => {
            out.push_str("<div class=\"figures\">\n");
            for figure in figures {
                let (label, value, hint) = (text(&figure.label), text(&cell(&figure.value)), text(&figure.hint));
                out.push_str(&format!(
                    "<div class=\"figure\"><span>{label}</span><b>{value}</b><span>{hint}</span></div>\n"
                ));
            }
            out.push_str("</div>\n");
        }
        Block::Chart(chart) => {
            let title = text(&chart.title);
            out.push_str(&format!("<figure>\n<figcaption>{title}</figcaption>\n{}\n</figure>\n", svg(chart)));
        }
        Block::Table(table) => push_table(out, table),
    }
}

fn push_table(out: &mut String, table: &Table) {
    let title = text(&table.title);
    if table.rows.is_empty() {
        out.push_str(&format!("<h3>{title}</h3>\n<p class=\"empty\">Nothing in this period.</p>\n"));
        return;
    }
    let class = |number: bool| if number { " class=\"n\"" } else { "" };
    out.push_str(&format!("<h3>{title}</h3>\n<table>\n<thead><tr>"));
    for (at, column) in table.columns.iter().enumerate() {
        let number = table.rows.iter().filter_map(|row| row.get(at)).all(Cell::is_number);
        out.push_str(&format!("<th scope=\"col\"{}>{}</th>", class(number), text(column)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for one in row {
            out.push_str(&format!("<td{}>{}</td>", class(one.is_number()), text(&cell(one))));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
}
