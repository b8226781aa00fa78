//! The one walk over a document that every dialect's classification rides on. Iterative: the tape is in document order.

use std::borrow::Cow;

use super::json::{BadBody, Document, Kind};

/// A value as the walk meets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit<'k> {
    /// The key it is the value of; empty for elements of arrays and the root.
    pub(crate) key: &'k str,
    /// The container it is in; itself for the root.
    pub(crate) parent: u32,
    /// The value's node.
    pub(crate) value: u32,
    /// Its position in that container.
    pub(crate) index: u32,
}

/// What a walk does at each value. `At` is what a position means to the dialect.
pub(crate) trait Visitor<'a> {
    /// A position's meaning.
    type At: Copy;
    /// The meaning of a value, from that of the container it is in.
    fn enter(&mut self, doc: &Document<'a, '_>, at: Self::At, visit: Visit<'_>) -> Result<Self::At, BadBody>;
    /// An object's key, before its value.
    fn key(&mut self, doc: &Document<'a, '_>, at: Self::At, key: u32) -> Result<(), BadBody>;
    /// A string, number, boolean or null.
    fn leaf(&mut self, doc: &Document<'a, '_>, at: Self::At, visit: Visit<'_>) -> Result<(), BadBody>;
    /// An object or array; whether to walk inside.
    fn container(&mut self, doc: &Document<'a, '_>, at: Self::At, visit: Visit<'_>) -> Result<bool, BadBody>;
}

struct Frame<A> {
    at: A,
    node: u32,
    end: u32,
    is_object: bool,
    count: u32,
}

/// Walks a whole document in order, starting with the root in position `root`.
pub(crate) fn walk<'a, V: Visitor<'a>>(doc: &Document<'a, '_>, root: V::At, visitor: &mut V) -> Result<(), BadBody> {
    let mut frames: Vec<Frame<V::At>> = Vec::with_capacity(8);
    let end = doc.len();
    let mut index = 0;
    while index < end {
        while frames.last().is_some_and(|frame| index >= frame.end) {
            frames.pop();
        }
        let mut key = Cow::Borrowed("");
        let (parent, outside, position) = match frames.last_mut() {
            None => (index, root, 0),
            Some(frame) => {
                let position = frame.count;
                frame.count = position.saturating_add(1);
                if frame.is_object {
                    visitor.key(doc, frame.at, index)?;
                    key = doc.string(index);
                    index = index.saturating_add(1);
                }
                (frame.node, frame.at, position)
            }
        };
        let visit = Visit { key: &key, parent, value: index, index: position };
        let at = if frames.is_empty() { root } else { visitor.enter(doc, outside, visit)? };
        let node = doc.node(index);
        match node.kind {
            Kind::Object | Kind::Array => {
                if visitor.container(doc, at, visit)? {
                    let is_object = node.kind == Kind::Object;
                    frames.push(Frame { at, node: index, end: node.next, is_object, count: 0 });
                    index = index.saturating_add(1);
                } else {
                    index = node.next;
                }
            }
            Kind::Key | Kind::String | Kind::Number | Kind::True | Kind::False | Kind::Null => {
                visitor.leaf(doc, at, visit)?;
                index = index.saturating_add(1);
            }
        }
    }
    Ok(())
}
