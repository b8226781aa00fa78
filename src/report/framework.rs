//! Frameworks: files of controls, each with the evidence that the gateway has for it, or why it has none.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::evidence;

/// A framework.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// `compliance`: tells such files from rules, which may stand in the same directories.
    pub kind: String,
    /// The word for it, the name of its file.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// Which version of it.
    pub version: String,
    /// Where it is published.
    pub source: String,
    /// What is said of this selection of controls.
    pub scope: String,
    /// The controls.
    pub controls: Vec<Control>,
}

/// One control.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its id in the framework.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What it asks, in a sentence of our own.
    pub asks: String,
    /// The names of evidence.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Why the gateway has none.
    #[serde(default)]
    pub not_covered: Option<String>,
}

/// Frameworks by name.
#[derive(Debug, Clone, Default)]
pub struct Frameworks(BTreeMap<String, Framework>);

impl Frameworks {
    /// Reads files: their names without folder and ending, and their texts.
    ///
    /// # Errors
    /// Every problem, with the file.
    pub fn read(files: &[(String, String)]) -> Result<Self, Vec<String>> {
        let (mut all, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, text) in files {
            match serde_saphyr::from_str::<Framework>(text) {
                Ok(framework) => {
                    problems.extend(wrong(name, &framework).into_iter().map(|told| format!("{name}: {told}")));
                    all.insert(name.clone(), framework);
                }
                Err(error) => problems.push(format!("{name}: {error}")),
            }
        }
        if problems.is_empty() { Ok(Self(all)) } else { Err(problems) }
    }

    /// The framework with that name.
    pub fn get(&self, name: &str) -> Option<&Framework> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Framework> {
        self.0.values()
    }

    /// Their names, with commas between.
    pub fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn wrong(name: &str, framework: &Framework) -> Vec<String> {
    let mut problems = Vec::new();
    if framework.kind != "compliance" {
        problems.push(format!("its kind is `{}`", framework.kind));
    }
    if framework.name != name {
        problems.push(format!("its name is `{}`", framework.name));
    }
    if framework.controls.is_empty() {
        problems.push("it has no controls".to_owned());
    }
    let mut ids = std::collections::BTreeSet::new();
    for control in &framework.controls {
        let id = &control.id;
        if !ids.insert(id) {
            problems.push(format!("{id} is there twice"));
        }
        if control.title.is_empty() || control.asks.is_empty() {
            problems.push(format!("{id} does not say what it asks"));
        }
        if control.evidence.is_empty() == control.not_covered.is_none() {
            problems.push(format!("{id} needs either evidence or the reason why there is none"));
        }
        for word in control.evidence.iter().filter(|word| evidence::find(word).is_none()) {
            problems.push(format!("{id}: there is no evidence `{word}`"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kind: compliance\nname: x\ntitle: X\nversion: '1'\nsource: here\nscope: some\ncontrols:\n\
                        - { id: A.1, title: Logs, asks: Keep logs., evidence: [audit_trail] }\n\
                        - { id: A.2, title: Doors, asks: Lock doors., not_covered: It has no doors. }\n";

    fn problems(text: &str) -> String {
        Frameworks::read(&[("x".to_owned(), text.to_owned())]).err().unwrap_or_default().join("; ")
    }

    #[test]
    fn a_file_is_read_and_each_mistake_is_named() {
        assert_eq!(problems(GOOD), "");
        assert!(problems(&GOOD.replace("audit_trail", "audit_trial")).contains("no evidence `audit_trial`"));
        assert!(problems(&GOOD.replace("A.2", "A.1")).contains("twice"));
        assert!(problems(&GOOD.replace(", evidence: [audit_trail]", "")).contains("either"));
        assert!(problems(&GOOD.replace("name: x", "name: y")).contains("its name"));
        assert!(problems(&GOOD.replace("kind: compliance", "kind: alert")).contains("its kind"));
        assert!(problems(&GOOD.replace("scope", "scoop")).contains("scoop"));
    }
}
