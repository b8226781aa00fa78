//! Reports: one typed document for each, what is in it, and how it is written. Pure: data go in, documents and bytes come out.
//!
//! `document` is the model of a report. `data` is what is known, `kinds/` makes a document of it, `framework` reads the catalogues
//! of controls and `evidence` looks for what shows each. `render/` writes a document as JSON, CSV, Markdown, HTML and PDF;
//! `chart` draws one chart as SVG.

pub mod ask;
pub mod chart;
pub mod data;
pub mod document;
pub mod evidence;
pub mod facts;
pub mod framework;
pub mod kinds;
pub mod render;
pub mod say;

pub use ask::{Ask, Kind};
pub use chart::svg;
pub use document::{Block, Cell, Chart, ChartKind, Figure, Report, Section, Series, Table, Unit};
pub use framework::{Framework, Frameworks};
pub use kinds::write;
pub use render::{Format, RenderError, Rendered, render};
