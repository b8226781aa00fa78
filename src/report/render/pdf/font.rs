//! The one font: how wide texts are, and which letters it has.

use krilla::text::{Font, GlyphId, KrillaGlyph};
use skrifa::MetadataProvider as _;
use skrifa::instance::{LocationRef, Size};

use crate::types::visible;

/// Light, with Latin, Greek and Cyrillic letters.
const BYTES: &[u8] = epaint_default_fonts::UBUNTU_LIGHT;

/// The font, ready to measure and to draw.
pub(super) struct Face {
    pub(super) font: Font,
    charmap: skrifa::charmap::Charmap<'static>,
    metrics: skrifa::metrics::GlyphMetrics<'static>,
    per_em: f32,
}

impl Face {
    pub(super) fn new() -> Option<Self> {
        let font = Font::new(BYTES.into(), 0)?;
        let file = skrifa::FontRef::new(BYTES).ok()?;
        let per_em = font.units_per_em();
        Some(Self {
            font,
            charmap: file.charmap(),
            metrics: file.glyph_metrics(Size::unscaled(), LocationRef::default()),
            per_em: if per_em > 0.0 { per_em } else { 1000.0 },
        })
    }

    /// A text as it can be shown: what acts or is not seen, and letters that the font does not have, are escapes.
    pub(super) fn shown(&self, text: &str) -> String {
        let text = visible(text, usize::MAX);
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            if self.charmap.map(letter).is_some_and(|glyph| glyph.to_u32() != 0) {
                out.push(letter);
            } else {
                out.extend(letter.escape_unicode());
            }
        }
        out
    }

    fn advance(&self, letter: char) -> (u32, f32) {
        let glyph = self.charmap.map(letter).unwrap_or_default();
        (glyph.to_u32(), self.metrics.advance_width(glyph).unwrap_or(0.0) / self.per_em)
    }

    /// How wide a text is at a size.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|letter| self.advance(letter).1).sum::<f32>() * size
    }

    /// The glyphs of a text.
    pub(super) fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        let glyph = |(at, letter): (usize, char)| {
            let (id, advance) = self.advance(letter);
            let range = at..at.saturating_add(letter.len_utf8());
            KrillaGlyph::new(GlyphId::new(id), advance, 0.0, 0.0, 0.0, range, None)
        };
        text.char_indices().map(glyph).collect()
    }

    /// The lines of a text within a width, broken between words, and within words that are too long. At most so many; the
    /// last one says when there would be more.
    pub(super) fn lines(&self, text: &str, size: f32, width: f32, most: usize) -> Vec<String> {
        let shown = self.shown(text);
        let mut lines = Vec::new();
        let mut line = String::new();
        for word in shown.split(' ') {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if self.width(&longer, size) <= width {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for letter in word.chars() {
                line.push(letter);
                if self.width(&line, size) > width && line.chars().nth(1).is_some() {
                    line.pop();
                    lines.push(std::mem::replace(&mut line, letter.to_string()));
                }
            }
            if lines.len() > most {
                break;
            }
        }
        if !line.is_empty() || lines.is_empty() {
            lines.push(line);
        }
        if lines.len() > most {
            lines.truncate(most);
            if let Some(last) = lines.last_mut() {
                while self.width(last, size) + self.width("…", size) > width && last.pop().is_some() {}
                last.push('…');
            }
        }
        lines
    }
}
