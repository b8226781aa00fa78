//! `eval`: how well the gateway would judge texts whose truth is known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Error;
use super::names::{DirectionName, RoleName};
use super::output::Out;
use super::scan::{Scanner, lines};
use crate::config::Source;
use crate::types::{Decision, Family};

#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// Files of rows {"text", "label": 0 or 1, "category"?, "direction"?, "role"?, "system"?}
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the figures are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    label: u8,
    #[serde(default)]
    category: String,
    direction: Option<DirectionName>,
    role: Option<RoleName>,
    system: Option<String>,
}

/// What came of one row.
struct Judged {
    attack: bool,
    hard: bool,
    risk: f32,
    decision: Decision,
    families: BTreeSet<Family>,
}

/// A file's rows, and what judging them took.
struct Judgement {
    name: String,
    rows: Vec<Judged>,
    micros: u128,
    bytes: usize,
}

pub(super) fn run(source: &Source, args: &EvalArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let scanner = Scanner::new(source)?;
    let mut files = Vec::new();
    for path in &args.files {
        let mut file = Judgement { name: path.display().to_string(), rows: Vec::new(), micros: 0, bytes: 0 };
        for (number, line) in (1_u64..).zip(lines(path)?) {
            let line = line.map_err(|source| Error::Io { what: file.name.clone(), source })?;
            let row: Row = serde_json::from_str(&line)
                .map_err(|error| Error::Failed(format!("{}: row {number}: {error}", file.name)))?;
            let direction = row.direction.unwrap_or(DirectionName::usual(&row.category)).into();
            file.bytes += row.text.len();
            let scanned =
                scanner.text(direction, row.role.unwrap_or(RoleName::User).into(), row.system.as_deref(), row.text);
            file.micros += scanned.micros;
            file.rows.push(Judged {
                attack: row.label == 1,
                hard: row.category.starts_with("hard_negative"),
                risk: scanned.verdict.risk,
                decision: scanned.verdict.decision,
                families: scanned.verdict.findings.iter().map(|finding| finding.family).collect(),
            });
        }
        files.push(file);
    }
    let figures = Figures::new(&files);
    match args.format {
        Format::Table => out.text(&figures.table())?,
        Format::Json => out.line(figures.json())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything `eval` says.
struct Figures {
    /// Risks that one and that a tenth of a percent of the harmless rows exceed.
    at: [f32; 2],
    files: Vec<(String, Line)>,
    all: Line,
    detectors: Vec<(Family, [u32; 2])>,
    attacks: u32,
    harmless: u32,
}

/// The figures of a set of rows. Shares are 0 to 1; `None` where there is nothing to take the share of.
struct Line {
    attacks: u32,
    harmless: u32,
    recall: Option<f64>,
    blocked: Option<f64>,
    false_positives: Option<f64>,
    false_blocks: Option<f64>,
    recall_at: [Option<f64>; 2],
    auc: Option<f64>,
    over_defence: Option<f64>,
    calibration: Option<f64>,
    micros_per_kb: f64,
}

impl Figures {
    fn new(files: &[Judgement]) -> Self {
        let all: Vec<&Judged> = files.iter().flat_map(|file| &file.rows).collect();
        let mut harmless: Vec<f32> = all.iter().filter(|row| !row.attack).map(|row| row.risk).collect();
        harmless.sort_by(f32::total_cmp);
        let at = [0.99, 0.999].map(|share| {
            let at = (harmless.len() as f64 * share) as usize;
            harmless.get(at.min(harmless.len().saturating_sub(1))).copied().unwrap_or(0.0)
        });
        let line = |rows: &[&Judged], micros: u128, bytes: usize| Line::new(rows, &at, &harmless, micros, bytes);
        let of_file = |file: &Judgement| {
            (file.name.clone(), line(&file.rows.iter().collect::<Vec<_>>(), file.micros, file.bytes))
        };
        let count = |family: Family, attack: bool| {
            all.iter().filter(|row| row.attack == attack && row.families.contains(&family)).count() as u32
        };
        let detectors = Family::ALL.map(|family| (family, [count(family, true), count(family, false)]));
        let total = line(&all, files.iter().map(|file| file.micros).sum(), files.iter().map(|file| file.bytes).sum());
        Self {
            at,
            files: files.iter().map(of_file).collect(),
            attacks: total.attacks,
            harmless: total.harmless,
            all: total,
            detectors: detectors.into(),
        }
    }

    fn table(&self) -> String {
        let mut text = format!(
            "{:40} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6} {:>7} {:>6} {:>7}\n",
            "file",
            "attacks",
            "harmless",
            "recall",
            "blocked",
            "fp",
            "fp blk",
            "r@1%",
            "r@0.1%",
            "auc",
            "overdef",
            "ece",
            "us/KB"
        );
        let rows = self.files.iter().map(|(name, line)| (name.rsplit('/').next().unwrap_or(name), line));
        for (name, line) in rows.chain([("all", &self.all)]) {
            let percent = |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.1}", share * 100.0));
            let number = |share: Option<f64>| share.map_or("-".into(), |share| format!("{share:.3}"));
            text += &format!(
                "{name:40} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6} {:>7} {:>6} {:>7.1}\n",
                line.attacks,
                line.harmless,
                percent(line.recall),
                percent(line.blocked),
                percent(line.false_positives),
                percent(line.false_blocks),
                percent(line.recall_at[0]),
                percent(line.recall_at[1]),
                number(line.auc),
                percent(line.over_defence),
                number(line.calibration),
                line.micros_per_kb,
            );
        }
        text +=
            &format!("\nrisk exceeded by 1 % of the harmless rows: {:.3}, by 0.1 %: {:.3}\n", self.at[0], self.at[1]);
        text += &format!("\n{:24} {:>12} {:>14}\n", "detector", "of attacks %", "of harmless %");
        for (family, [attacks, harmless]) in &self.detectors {
            let share = |part: u32, of: u32| 100.0 * f64::from(part) / f64::from(of.max(1));
            let (of_attacks, of_harmless) = (share(*attacks, self.attacks), share(*harmless, self.harmless));
            text += &format!("{:24} {of_attacks:>12.2} {of_harmless:>14.3}\n", family.name());
        }
        text
    }

    fn json(&self) -> Value {
        let files: BTreeMap<&str, Value> = self.files.iter().map(|(name, line)| (name.as_str(), line.json())).collect();
        let detectors: BTreeMap<&str, Value> = self
            .detectors
            .iter()
            .map(|(family, [attacks, harmless])| (family.name(), json!({ "attacks": attacks, "harmless": harmless })))
            .collect();
        let risk_at = json!({ "1%": self.at[0], "0.1%": self.at[1] });
        json!({ "files": files, "all": self.all.json(), "detectors": detectors, "risk_at": risk_at })
    }
}

impl Line {
    fn new(rows: &[&Judged], at: &[f32; 2], pool: &[f32], micros: u128, bytes: usize) -> Self {
        let part = |of: &dyn Fn(&Judged) -> bool, which: &dyn Fn(&Judged) -> bool| {
            let of = rows.iter().filter(|row| of(row));
            let (mut all, mut hit) = (0_u32, 0_u32);
            of.for_each(|row| {
                all += 1;
                hit += u32::from(which(row));
            });
            (all > 0).then(|| f64::from(hit) / f64::from(all))
        };
        let (attack, harmless) = (&|row: &Judged| row.attack, &|row: &Judged| !row.attack);
        let hard = &|row: &Judged| !row.attack && row.hard;
        let stopped = &|row: &Judged| row.decision > Decision::Allow;
        let blocked = &|row: &Judged| row.decision == Decision::Block;
        Self {
            attacks: rows.iter().filter(|row| row.attack).count() as u32,
            harmless: rows.iter().filter(|row| !row.attack).count() as u32,
            recall: part(attack, stopped),
            blocked: part(attack, blocked),
            false_positives: part(harmless, stopped),
            false_blocks: part(harmless, blocked),
            recall_at: at.map(|at| part(attack, &|row| row.risk > at)),
            auc: auc(rows, pool),
            over_defence: part(hard, &|row| row.decision == Decision::Allow),
            calibration: calibration(rows),
            micros_per_kb: micros as f64 / (bytes.max(1) as f64 / 1024.0),
        }
    }

    fn json(&self) -> Value {
        json!({
            "attacks": self.attacks,
            "harmless": self.harmless,
            "recall": self.recall,
            "blocked": self.blocked,
            "false_positives": self.false_positives,
            "false_blocks": self.false_blocks,
            "recall_at_1%": self.recall_at[0],
            "recall_at_0.1%": self.recall_at[1],
            "auc": self.auc,
            "over_defence": self.over_defence,
            "calibration_error": self.calibration,
            "micros_per_kb": self.micros_per_kb,
        })
    }
}

/// How likely an attack of `rows` has a higher risk than a harmless row of all files; ties count half.
fn auc(rows: &[&Judged], harmless: &[f32]) -> Option<f64> {
    let attacks: Vec<f32> = rows.iter().filter(|row| row.attack).map(|row| row.risk).collect();
    if attacks.is_empty() || harmless.is_empty() {
        return None;
    }
    let below: f64 = attacks
        .iter()
        .map(|risk| {
            let less = harmless.partition_point(|other| other < risk);
            let not_more = harmless.partition_point(|other| other <= risk);
            (less + not_more) as f64 / 2.0
        })
        .sum();
    Some(below / (attacks.len() as f64 * harmless.len() as f64))
}

/// Expected calibration error of the risk over ten bins, where a file has both kinds of rows.
fn calibration(rows: &[&Judged]) -> Option<f64> {
    if rows.iter().all(|row| row.attack) || rows.iter().all(|row| !row.attack) {
        return None;
    }
    let mut bins = [(0_u32, 0.0_f64, 0_u32); 10];
    for row in rows {
        if let Some(bin) = bins.get_mut(((row.risk * 10.0) as usize).min(9)) {
            bin.0 += 1;
            bin.1 += f64::from(row.risk);
            bin.2 += u32::from(row.attack);
        }
    }
    let gaps = bins.iter().map(|(_, risk, attacks)| (risk - f64::from(*attacks)).abs());
    Some(gaps.sum::<f64>() / rows.len() as f64)
}
