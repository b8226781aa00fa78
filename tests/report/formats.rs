//! Every kind in every format.

use portcullis::report::{Format, Kind, RenderError, render};
use portcullis::store::Backend;

use crate::filled::{ask, fill, made};
use crate::home::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_is_written_in_every_format() {
    let home = Home::new(Backend::Sqlite);
    let database = fill(&home).await;
    for kind in Kind::ALL {
        let report = made(&database, &ask(kind, (kind == Kind::Compliance).then_some("pci_dss"))).await;
        for format in Format::ALL {
            let written = render(&report, format, None).unwrap();
            assert!(written.file.starts_with(&format!("portcullis-{}", kind.name())), "{}", written.file);
            if let Some(folder) = std::env::var_os("REPORT_SAMPLES") {
                std::fs::write(std::path::Path::new(&folder).join(&written.file), &written.bytes).unwrap();
            }
            if format == Format::Pdf {
                assert!(written.bytes.starts_with(b"%PDF-"));
                continue;
            }
            let text = String::from_utf8(written.bytes).unwrap();
            let last = &report.sections.last().unwrap().title;
            match format {
                Format::Json => {
                    let back: portcullis::report::Report = serde_json::from_str(&text).unwrap();
                    let md = |report| render(report, Format::Md, None).unwrap();
                    assert_eq!(md(&back), md(&report), "the document comes back whole");
                }
                Format::Html => {
                    assert!(text.contains(&format!("<h2>{last}</h2>")) && text.contains("default-src 'none'"));
                    assert_eq!(text.matches("<svg ").count(), text.matches("role=\"img\"").count());
                }
                Format::Md => assert!(text.contains(&format!("## {last}")), "{kind:?}"),
                Format::Csv => {
                    assert_eq!(text.matches("\r\ntable,").count(), report.tables().count(), "{kind:?}");
                }
                Format::Pdf => {}
            }
        }
        for table in report.tables() {
            let one = render(&report, Format::Csv, Some(&table.name)).unwrap();
            let mut reader = csv::Reader::from_reader(one.bytes.as_slice());
            assert_eq!(reader.headers().unwrap().len(), table.columns.len(), "{}", table.name);
            assert_eq!(
                reader.records().map(|row| row.unwrap().len()).filter(|n| *n == table.columns.len()).count(),
                table.rows.len()
            );
        }
        let none = render(&report, Format::Csv, Some("no such"));
        assert!(matches!(none, Err(RenderError::NoTable(..))));
        assert!(matches!(render(&report, Format::Pdf, Some("x")), Err(RenderError::OnlyCsv)));
    }
}
