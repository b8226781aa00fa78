//! The model of a report: sections of paragraphs, figures, tables, charts and notes. Texts of others come in visible.

use serde::{Deserialize, Serialize};

use super::ask::Kind;
use crate::types::visible;

/// The most characters of a name in a report.
pub const MOST_NAME: usize = 200;

/// One report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it is called.
    pub title: String,
    /// Which report it is.
    pub kind: Kind,
    /// The framework of a compliance report, by its name.
    pub framework: Option<String>,
    /// The tenant it is about; `None`: all of them.
    pub tenant: Option<String>,
    /// From when it tells: Unix time in microseconds.
    pub since: i64,
    /// Before when.
    pub until: i64,
    /// When it was made.
    pub made: i64,
    /// By whom.
    pub by: String,
    /// The version of the gateway that made it.
    pub version: String,
    /// What it says.
    pub sections: Vec<Section>,
}

/// A part with a heading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What stands under it.
    pub blocks: Vec<Block>,
}

/// One piece of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "block", rename_all = "snake_case")]
pub enum Block {
    /// A paragraph.
    Text {
        /// The paragraph.
        text: String,
    },
    /// Something to be careful about.
    Note {
        /// What.
        text: String,
    },
    /// Single figures, beside each other.
    Figures {
        /// The figures.
        figures: Vec<Figure>,
    },
    /// A table.
    Table(Table),
    /// A chart.
    Chart(Chart),
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub label: String,
    /// How much.
    pub value: Cell,
    /// More about it; may be empty.
    pub hint: String,
}

/// A table. `name` is unique within the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The word for it, such as `top_rules`.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// The heads of its columns.
    pub columns: Vec<String>,
    /// As many cells as columns in each.
    pub rows: Vec<Vec<Cell>>,
}

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", content = "value", rename_all = "snake_case")]
pub enum Cell {
    /// Words.
    Text(String),
    /// So many.
    Count(u64),
    /// A share, 0 to 1.
    Share(f64),
    /// Billionths of a US dollar.
    Nano(u64),
    /// Unix time in microseconds.
    Time(i64),
    /// A day: Unix time in microseconds of its midnight (UTC).
    Day(i64),
    /// Microseconds.
    Lasts(u64),
    /// Nothing is known.
    Unknown,
}

/// What a chart looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// Bars, one for each label.
    Bar,
    /// A line for each series.
    Line,
    /// A bar for each label, of one piece for each series.
    Stacked,
}

/// What its values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// So many.
    Count,
    /// US dollars.
    Usd,
    /// A share, 0 to 1.
    Share,
}

/// A chart. Each series has as many values as there are labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// The word for it.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// What it looks like.
    pub kind: ChartKind,
    /// What its values are.
    pub unit: Unit,
    /// What stands below, from left to right.
    pub labels: Vec<String>,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// One series of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What it is called.
    pub name: String,
    /// Its colour, as a number of the palette.
    pub colour: u8,
    /// Its values.
    pub values: Vec<f64>,
}

impl Cell {
    /// A text that may be somebody else's, with all that would act or not be seen shown.
    pub fn name(text: &str) -> Self {
        Self::Text(visible(text, MOST_NAME))
    }

    /// Whether it stands at the right of its column.
    pub const fn is_number(&self) -> bool {
        !matches!(self, Self::Text(_))
    }
}

impl Block {
    /// A paragraph.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// A note.
    pub fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }

    /// A table of our own words and others' names.
    pub fn table(name: &str, title: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Self {
        Self::Table(Table {
            name: name.to_owned(),
            title: title.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows,
        })
    }
}

impl Figure {
    /// A figure.
    pub fn new(label: &str, value: Cell, hint: impl Into<String>) -> Self {
        Self { label: label.to_owned(), value, hint: hint.into() }
    }
}

impl Section {
    /// A section.
    pub fn new(title: &str, blocks: Vec<Block>) -> Self {
        Self { title: title.to_owned(), blocks }
    }
}

impl Report {
    /// Every table, in order.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        let blocks = self.sections.iter().flat_map(|section| &section.blocks);
        blocks.filter_map(|block| match block {
            Block::Table(table) => Some(table),
            Block::Text { .. } | Block::Note { .. } | Block::Figures { .. } | Block::Chart(_) => None,
        })
    }

    /// What stands under the title: of what time and whom it tells, when and by whom it was made.
    pub fn about(&self) -> Vec<(&'static str, String)> {
        use super::say::{time, until};
        let mut about = vec![
            ("Period", format!("{} to {} (UTC)", time(self.since), until(self.until))),
            ("Tenant", self.tenant.as_deref().map_or("all".to_owned(), |tenant| visible(tenant, MOST_NAME))),
            ("Made", format!("{} UTC", time(self.made))),
            ("By", visible(&self.by, MOST_NAME)),
            ("Version", format!("Portcullis {}", self.version)),
        ];
        if let Some(framework) = &self.framework {
            about.insert(1, ("Framework", visible(framework, MOST_NAME)));
        }
        about
    }
}
