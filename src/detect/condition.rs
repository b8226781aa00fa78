//! Conditions over selections: `and`, `or`, `not`, parentheses.

/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 32;

/// A condition; a leaf is the position of a selection in its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// The selection matches.
    Selection(usize),
    /// All hold.
    And(Vec<Self>),
    /// One holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
}

impl Condition {
    /// Reads `text`; `names` are the rule's selections.
    pub(super) fn parse(text: &str, names: &[String]) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text), at: 0, names };
        let condition = parser.any(0)?;
        match parser.peek() {
            None => Ok(condition),
            Some(rest) => Err(format!("nothing may follow here, found `{rest}`")),
        }
    }

    /// Any `sel_*`, and none of `not_*`.
    pub(super) fn default_for(names: &[String]) -> Self {
        let (negative, positive): (Vec<_>, Vec<_>) = (0..names.len()).partition(|at| is_negative(names, *at));
        let any = match positive.as_slice() {
            [one] => Self::Selection(*one),
            many => Self::Or(many.iter().map(|at| Self::Selection(*at)).collect()),
        };
        if negative.is_empty() {
            return any;
        }
        let mut all = vec![any];
        all.extend(negative.into_iter().map(|at| Self::Not(Box::new(Self::Selection(at)))));
        Self::And(all)
    }

    /// Whether selection `at` occurs.
    pub(super) fn mentions(&self, at: usize) -> bool {
        match self {
            Self::Selection(this) => *this == at,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.mentions(at)),
            Self::Not(part) => part.mentions(at),
        }
    }

    /// Whether it can only hold where a selection holds for which `covered` is true.
    pub(super) fn implies(&self, covered: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Self::Selection(at) => covered(*at),
            Self::And(parts) => parts.iter().any(|part| part.implies(covered)),
            Self::Or(parts) => !parts.is_empty() && parts.iter().all(|part| part.implies(covered)),
            Self::Not(_) => false,
        }
    }

    /// Whether it is what an answer can be tested for: an `or` of `sel_*`, with every `not_*` negated beside it.
    pub(super) fn is_any_of_selections(&self, names: &[String]) -> bool {
        let positive = |part: &Self| matches!(part, Self::Selection(at) if !is_negative(names, *at));
        let any = |part: &Self| match part {
            Self::Or(parts) => parts.iter().all(positive),
            Self::Selection(_) | Self::And(_) | Self::Not(_) => positive(part),
        };
        let excluded = |part: &Self| match part {
            Self::Not(inner) => match inner.as_ref() {
                Self::Selection(at) => is_negative(names, *at),
                Self::Or(parts) => {
                    parts.iter().all(|part| matches!(part, Self::Selection(at) if is_negative(names, *at)))
                }
                Self::And(_) | Self::Not(_) => false,
            },
            Self::Selection(_) | Self::And(_) | Self::Or(_) => false,
        };
        match self {
            Self::And(parts) => {
                parts.iter().filter(|part| any(part)).count() == 1
                    && parts.iter().all(|part| any(part) || excluded(part))
            }
            Self::Selection(_) | Self::Or(_) | Self::Not(_) => any(self),
        }
    }
}

/// Whether selection `at` is named `not_*`.
pub(super) fn is_negative(names: &[String], at: usize) -> bool {
    names.get(at).is_some_and(|name| name.starts_with("not_"))
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    names: &'a [String],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.all(depth)?];
        while self.take("or") {
            parts.push(self.all(depth)?);
        }
        Ok(join(parts, Condition::Or))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.one(depth)?];
        while self.take("and") {
            parts.push(self.one(depth)?);
        }
        Ok(join(parts, Condition::And))
    }

    fn one(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}"));
        }
        if self.take("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take("(") {
            let inside = self.any(depth + 1)?;
            return if self.take(")") { Ok(inside) } else { Err("`)` is missing".into()) };
        }
        let Some(name) = self.peek() else {
            return Err("a selection is missing at the end".into());
        };
        self.at += 1;
        match self.names.iter().position(|known| known == name) {
            Some(at) => Ok(Condition::Selection(at)),
            None => Err(format!("`{name}` is no selection of this rule")),
        }
    }
}

fn join(mut parts: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

/// Words and single parentheses.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['(', ')']) {
            let (before, from) = rest.split_at(at);
            let (bracket, after) = from.split_at(1);
            if !before.is_empty() {
                tokens.push(before);
            }
            tokens.push(bracket);
            rest = after;
        }
        if !rest.is_empty() {
            tokens.push(rest);
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["not_c", "sel_a", "sel_b"].map(String::from).to_vec()
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        let parsed = Condition::parse("sel_a or sel_b and not not_c", &names()).unwrap();
        let not_c = Condition::Not(Box::new(Condition::Selection(0)));
        let right = Condition::And(vec![Condition::Selection(2), not_c]);
        assert_eq!(parsed, Condition::Or(vec![Condition::Selection(1), right]));
    }

    #[test]
    fn brackets_need_no_spaces_and_must_close() {
        assert!(Condition::parse("(sel_a or sel_b)and not(not_c)", &names()).is_ok());
        assert!(Condition::parse("(sel_a or sel_b", &names()).is_err());
        assert!(Condition::parse("sel_a sel_b", &names()).is_err());
        assert!(Condition::parse("sel_x", &names()).is_err());
        assert!(Condition::parse(&"not ".repeat(100), &names()).is_err());
    }

    #[test]
    fn only_an_or_of_selections_fits_an_answer() {
        let fits = |text| Condition::parse(text, &names()).unwrap().is_any_of_selections(&names());
        assert!(fits("sel_a"));
        assert!(fits("(sel_a or sel_b) and not not_c"));
        assert!(!fits("sel_a and sel_b"));
        assert!(!fits("not sel_a"));
        assert!(Condition::default_for(&names()).is_any_of_selections(&names()));
    }

    #[test]
    fn a_conjunction_is_covered_by_any_of_its_parts() {
        let condition = Condition::parse("sel_a and not not_c or sel_b", &names()).unwrap();
        assert!(condition.implies(&|at| at == 1 || at == 2));
        assert!(!condition.implies(&|at| at == 1));
    }
}
