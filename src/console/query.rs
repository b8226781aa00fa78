//! The filters of a page: they stand in its address, and nowhere else.

use form_urlencoded::Serializer;

/// The parameters of an address, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// From what stands behind the `?`. Empty values are no filters: forms send them.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Self(pairs.into_owned().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The first value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether `name` has that value.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    /// The same with another value; an empty one takes it out. Which page of a list it is starts anew.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut all: Vec<_> =
            self.0.iter().filter(|(key, _)| key != name && key != "before" && key != "after").cloned().collect();
        if !value.is_empty() {
            all.push((name.to_owned(), value.to_owned()));
        }
        Self(all)
    }

    /// Only those of these names.
    pub(super) fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(key, _)| names.contains(&key.as_str())).cloned().collect())
    }

    /// Every pair.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// An address with these parameters.
    pub(super) fn on(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        format!("{path}?{}", Serializer::new(String::new()).extend_pairs(&self.0).finish())
    }
}

/// One part of a path, with what could be read as more than that escaped.
pub(super) fn part(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_added_changed_and_taken_out_and_the_page_starts_anew() {
        let query = Query::parse("state=open&text=a%26b+c&rule=&before=alt_1");
        assert_eq!(query.get("text"), Some("a&b c"));
        assert_eq!(query.get("rule"), None);
        assert_eq!(query.with("state", "closed").on("/console/alerts"), "/console/alerts?text=a%26b+c&state=closed");
        assert_eq!(query.with("state", "").with("text", "").on("/x"), "/x");
        assert_eq!(query.only(&["before"]).on("/x"), "/x?before=alt_1");
    }

    #[test]
    fn a_part_of_a_path_stays_one_part() {
        assert_eq!(part("a/../b?c d"), "a%2F..%2Fb%3Fc%20d");
    }
}
