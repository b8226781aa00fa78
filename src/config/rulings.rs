//! What people said about tool calls that wait, as the data path sees it: found by the call's id.

use std::sync::Arc;

use imbl::HashMap;

use crate::types::soc::{ToolHold, ToolRuling};

/// Every ruling that a call may still wait for. A copy shares all but a few nodes with the one it was made from.
#[derive(Debug, Clone, Default)]
pub struct Rulings(HashMap<Arc<str>, Arc<ToolRuling>>);

impl Rulings {
    /// These rulings.
    pub fn new(rulings: impl IntoIterator<Item = ToolRuling>) -> Self {
        let mut all = Self::default();
        for ruling in rulings {
            all.give(ruling);
        }
        all
    }

    /// Adds a ruling. Where there is one on the same call already, a no stays a no.
    pub fn give(&mut self, ruling: ToolRuling) {
        let refused = self.0.get(&ruling.id).is_some_and(|known| !known.granted && same(known, &ruling));
        if !refused {
            self.0.insert(Arc::clone(&ruling.id), Arc::new(ruling));
        }
    }

    /// Whether `hold` may leave; `None` while nobody has ruled on it. A ruling on another tool or other arguments is none.
    pub fn on(&self, hold: &ToolHold) -> Option<bool> {
        self.0.get(&hold.id).filter(|ruling| ruling.is_about(hold)).map(|ruling| ruling.granted)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn same(one: &ToolRuling, other: &ToolRuling) -> bool {
    one.tool == other.tool && one.arguments == other.arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Caller, RequestId};

    fn hold(id: &str, tool: &str, arguments: &str) -> ToolHold {
        ToolHold {
            id: id.into(),
            request: RequestId("req_1".into()),
            caller: Caller::default(),
            tool: tool.into(),
            arguments: arguments.into(),
            bytes: 2,
            since: 0,
            expires: 10,
        }
    }

    fn ruling(id: &str, granted: bool) -> ToolRuling {
        ToolRuling { id: id.into(), tool: "drop".into(), arguments: "aa".into(), granted, by: "acc_1".into(), at: 1 }
    }

    #[test]
    fn a_ruling_is_on_one_call_of_one_tool_with_one_hash() {
        let rulings = Rulings::new([ruling("tch_1", true), ruling("tch_2", false)]);
        assert_eq!(rulings.on(&hold("tch_1", "drop", "aa")), Some(true));
        assert_eq!(rulings.on(&hold("tch_2", "drop", "aa")), Some(false));
        for other in [hold("tch_3", "drop", "aa"), hold("tch_1", "drop_all", "aa"), hold("tch_1", "drop", "ab")] {
            assert_eq!(rulings.on(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_no_is_not_turned_into_a_yes() {
        let mut rulings = Rulings::new([ruling("tch_1", false)]);
        rulings.give(ruling("tch_1", true));
        assert_eq!(rulings.on(&hold("tch_1", "drop", "aa")), Some(false));
        rulings = Rulings::new([ruling("tch_1", true), ruling("tch_1", false)]);
        assert_eq!((rulings.on(&hold("tch_1", "drop", "aa")), rulings.len()), (Some(false), 1));
    }
}
