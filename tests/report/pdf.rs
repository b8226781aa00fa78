//! The PDF read back: pages and their numbers, contents that lead somewhere, charts drawn, texts that can be copied.

use lopdf::{Document, Object};
use portcullis::report::{Format, Kind, render};
use portcullis::store::Backend;

use crate::filled::{ask, fill, made};
use crate::home::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pdf_has_pages_numbers_contents_charts_and_texts() {
    let home = Home::new(Backend::Sqlite);
    let database = fill(&home).await;
    let mut report = made(&database, &ask(Kind::Security, None)).await;
    // A table that needs many pages.
    let long = report.sections[1]
        .blocks
        .iter_mut()
        .find_map(|block| if let portcullis::report::Block::Table(table) = block { Some(table) } else { None });
    let long = long.unwrap();
    let row = long.rows[0].clone();
    long.rows.extend(std::iter::repeat_n(row, 300));
    let written = render(&report, Format::Pdf, None).unwrap();
    let pdf = Document::load_mem(&written.bytes).unwrap();
    let pages = pdf.get_pages();
    assert!(pages.len() > 8, "{}", pages.len());
    let all: Vec<String> = pages.keys().map(|page| pdf.extract_text(&[*page]).unwrap()).collect();
    let joined = |text: &str| text.split_whitespace().collect::<String>();
    for (number, text) in all.iter().enumerate() {
        let told = format!("Page{}of{}", number + 1, pages.len());
        assert!(joined(text).contains(&told), "{told}: {text}");
    }
    assert!(joined(&all[0]).contains("Contents") && joined(&all[0]).contains("Securityreport"), "{}", all[0]);
    let heads = all.iter().filter(|text| joined(text).contains("OutcomeReasonRequestsShare")).count();
    assert!(heads > 4, "the heads of the long table stand on each of its pages: {heads}");
    let whole = joined(&all.concat());
    assert!(whole.contains("ŁódźŠĐČÖsterreich"), "letters of Europe can be copied");
    assert!(whole.contains("\\u{65e5}"), "a letter that the font does not have is told");

    let drawn = pages.values().flat_map(|page| pdf.get_and_decode_page_content(*page).unwrap().operations);
    let (mut boxes, mut strokes, mut texts) = (0, 0, 0);
    for operation in drawn {
        match operation.operator.as_str() {
            "re" | "f" => boxes += 1,
            "S" | "l" => strokes += 1,
            "Tj" | "TJ" => texts += 1,
            _ => {}
        }
    }
    assert!(boxes > 60 && strokes > 60 && texts > 500, "{boxes} {strokes} {texts}");
    let images = pdf.objects.values().filter_map(|object| object.as_stream().ok());
    let images = images.filter(|stream| stream.dict.get(b"Subtype").and_then(Object::as_name).ok() == Some(b"Image"));
    assert_eq!(images.count(), 0, "charts are vectors");

    let catalog = pdf.catalog().unwrap();
    let outlines = catalog.get(b"Outlines").and_then(Object::as_reference).unwrap();
    let outline = pdf.get_dictionary(outlines).unwrap();
    assert!(outline.get(b"First").is_ok(), "there are bookmarks");
    let first = pdf.get_dictionary(pages[&1]).unwrap();
    assert!(first.get(b"Annots").is_ok(), "the contents lead somewhere");
    assert!(written.bytes.len() < 2 << 20, "{}: the font is cut to what is used", written.bytes.len());
}
