//! A text derived from another, with the way back: which bytes of the original each of its bytes came from.

use std::ops::Range;
use std::sync::Arc;

use super::Disguise;

/// A reading of a text.
#[derive(Debug, Clone)]
pub struct View {
    /// The derived text.
    pub text: String,
    /// How the original was disguised, outermost first.
    pub disguises: Vec<Disguise>,
    pub(super) map: Arc<Map>,
}

impl View {
    /// The byte range of the original that `start..end` of the view came from: whole characters, inside the original.
    pub fn original(&self, start: usize, end: usize) -> (usize, usize) {
        let text = &self.text;
        self.map.original(text.floor_char_boundary(start), text.ceil_char_boundary(end.max(start)))
    }
}

/// Where the bytes of a text came from; over another derived text, that one's map is `under`.
#[derive(Debug)]
pub(super) struct Map {
    pieces: Vec<Piece>,
    len: u32,
    under: Option<Arc<Map>>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// First byte in the view; the piece ends where the next begins.
    view: u32,
    /// Range in the source.
    start: u32,
    end: u32,
    way: Way,
}

/// How a piece follows from its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Byte by byte.
    Step,
    /// Byte by byte from the end.
    Back,
    /// Every byte from the whole range.
    Whole,
}

impl Map {
    /// The same map over another one.
    pub(super) fn over(&self, under: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { pieces: self.pieces.clone(), len: self.len, under: Some(Arc::clone(under)) })
    }

    fn original(&self, start: usize, end: usize) -> (usize, usize) {
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX).min(self.len);
        let (start, end) = (short(start), short(end));
        let first = self.pieces.partition_point(|piece| piece.view <= start).saturating_sub(1);
        let mut range: Option<(u32, u32)> = None;
        for at in first..self.pieces.len() {
            let Some(piece) = self.pieces.get(at).filter(|piece| piece.view < end || range.is_none()) else { break };
            let behind = self.pieces.get(at + 1).map_or(self.len, |next| next.view);
            let (from, to) = piece.source(start.clamp(piece.view, behind), end.clamp(piece.view, behind));
            range = Some(range.map_or((from, to), |(least, most)| (least.min(from), most.max(to))));
        }
        let (from, to) = range.unwrap_or_default();
        match &self.under {
            Some(under) => under.original(from as usize, to as usize),
            None => (from as usize, to as usize),
        }
    }
}

impl Piece {
    /// The source of `from..to`, both inside the piece.
    fn source(&self, from: u32, to: u32) -> (u32, u32) {
        let (before, upto) = (from.saturating_sub(self.view), to.saturating_sub(self.view));
        match self.way {
            Way::Step => (self.start.saturating_add(before), self.start.saturating_add(upto).min(self.end)),
            Way::Back => (self.end.saturating_sub(upto).max(self.start), self.end.saturating_sub(before)),
            Way::Whole => (self.start, self.end),
        }
    }
}

/// Writes a text piece by piece from a source.
#[derive(Debug)]
pub(super) struct Weaver<'s> {
    source: &'s str,
    pub(super) text: String,
    pieces: Vec<Piece>,
}

impl<'s> Weaver<'s> {
    /// Over a source of less than 4 GiB.
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, text: String::new(), pieces: Vec::new() }
    }

    /// Copies a range of the source.
    pub(super) fn keep(&mut self, range: Range<usize>) {
        if let Some(text) = self.source.get(range.clone()) {
            self.put(text, range, Way::Step);
        }
    }

    /// Appends `text`, that came from a range of the source.
    pub(super) fn put(&mut self, text: &str, range: Range<usize>, way: Way) {
        if text.is_empty() {
            return;
        }
        let (start, end) = (range.start as u32, range.end as u32);
        let follows = |last: &&mut Piece| way == Way::Step && last.way == Way::Step && last.end == start;
        match self.pieces.last_mut().filter(follows) {
            Some(last) => last.end = end,
            None => self.pieces.push(Piece { view: self.text.len() as u32, start, end, way }),
        }
        self.text.push_str(text);
    }

    /// The finished view, over the view that its source is the text of.
    pub(super) fn done(self, under: Option<&Arc<Map>>, disguises: Vec<Disguise>) -> View {
        let map = Map { len: self.text.len() as u32, pieces: self.pieces, under: under.cloned() };
        View { text: self.text, disguises, map: Arc::new(map) }
    }
}

/// What stands in place of a range of a text.
#[derive(Debug, Clone)]
pub(super) struct Patch {
    pub(super) range: Range<usize>,
    pub(super) text: String,
    pub(super) way: Way,
}

impl Patch {
    /// A text that came from the whole of `range`.
    pub(super) fn whole(range: Range<usize>, text: String) -> Self {
        Self { range, text, way: Way::Whole }
    }
}

/// Bytes of the source kept on both sides of a patch.
const AROUND: usize = 240;

/// The source with patches in place, and what stands far from any patch left out. Patches come in order and do not
/// overlap.
pub(super) fn splice<'s>(source: &'s str, patches: &[Patch]) -> Weaver<'s> {
    let mut weaver = Weaver::new(source);
    let mut at = None;
    for patch in patches {
        let from = before(source, patch.range.start.saturating_sub(AROUND));
        match at {
            Some(at) if from <= after(source, at + AROUND) => weaver.keep(at..patch.range.start),
            Some(at) => {
                let until = after(source, at + AROUND);
                weaver.keep(at..until);
                weaver.put("\n\n", until..from, Way::Whole);
                weaver.keep(from..patch.range.start);
            }
            None => weaver.keep(from..patch.range.start),
        }
        weaver.put(&patch.text, patch.range.clone(), patch.way);
        at = Some(patch.range.end);
    }
    if let Some(at) = at {
        weaver.keep(at..after(source, at + AROUND));
    }
    weaver
}

/// Bytes looked at for a space, to cut between words.
const WORD: usize = 24;

fn before(source: &str, at: usize) -> usize {
    let at = source.floor_char_boundary(at);
    let back = source.get(source.floor_char_boundary(at.saturating_sub(WORD))..at).unwrap_or_default();
    if at == 0 { 0 } else { back.rfind(char::is_whitespace).map_or(at, |space| at - back.len() + space) }
}

fn after(source: &str, at: usize) -> usize {
    let at = source.ceil_char_boundary(at.min(source.len()));
    let ahead = source.get(at..source.floor_char_boundary(at.saturating_add(WORD).min(source.len())));
    ahead.and_then(|ahead| ahead.find(char::is_whitespace)).map_or(at, |space| at + space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_leads_back() {
        let source = "say: olleh XYZ now";
        let mut weaver = Weaver::new(source);
        weaver.keep(0..5);
        weaver.put("hello", 5..10, Way::Back);
        weaver.keep(10..11);
        weaver.put("decoded", 11..14, Way::Whole);
        weaver.keep(14..18);
        let view = weaver.done(None, vec![]);
        assert_eq!(view.text, "say: hello decoded now");
        assert_eq!(view.original(5, 7), (8, 10));
        assert_eq!(view.original(12, 13), (11, 14));
        assert_eq!(view.original(0, view.text.len()), (0, source.len()));
        assert_eq!(view.original(19, 22), (15, 18));
        assert_eq!(view.original(90, 99).1, source.len());
    }

    #[test]
    fn far_text_is_left_out() {
        let source = format!("{}SECRET{}", "far away ".repeat(100), " and after".repeat(100));
        let view = splice(&source, &[Patch::whole(900..906, "clear".into())]).done(None, vec![]);
        assert!(view.text.len() < 600 && view.text.contains("clear and after"));
        let at = view.text.find("clear").unwrap();
        assert_eq!(view.original(at, at + 5), (900, 906));
    }
}
