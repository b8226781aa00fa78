//! The ranking by words: BM25 by tantivy, over an index in memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, STORED, STRING, Schema, TEXT, Value as _};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, TantivyError, Term};

use super::Passage;

/// What the writer may hold before it makes a segment: the least that tantivy takes.
const BUDGET: usize = 15_000_000;
/// Different words of a query that are searched for: each is looked up twice.
const MOST_WORDS: usize = 256;
/// How much more a word counts in a title.
const TITLE: f32 = 2.0;

/// The index.
pub(super) struct Words {
    index: Index,
    reader: IndexReader,
    writer: Mutex<IndexWriter>,
    id: Field,
    title: Field,
    text: Field,
}

impl Words {
    /// An empty index, with a thread that writes it.
    pub(super) fn new() -> Result<Self, TantivyError> {
        let mut schema = Schema::builder();
        let id = schema.add_text_field("id", STRING | STORED);
        let (title, text) = (schema.add_text_field("title", TEXT), schema.add_text_field("text", TEXT));
        let index = Index::create_in_ram(schema.build());
        let writer = Mutex::new(index.writer_with_num_threads(1, BUDGET)?);
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { index, reader, writer, id, title, text })
    }

    /// Takes the passages with the ids of `gone` away, then puts `come` in. Blocks until that can be searched.
    pub(super) fn replace(&self, gone: &[Arc<str>], come: &[Arc<Passage>]) -> Result<(), TantivyError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for id in gone {
            writer.delete_term(Term::from_field_text(self.id, id));
        }
        for passage in come {
            let mut document = TantivyDocument::default();
            document.add_text(self.id, &passage.id);
            document.add_text(self.title, &passage.title);
            document.add_text(self.text, &passage.text);
            writer.add_document(document)?;
        }
        writer.commit()?;
        drop(writer);
        self.reader.reload()
    }

    /// The ids of the passages with words of `query`, best first.
    pub(super) fn search(&self, query: &str, limit: usize) -> Result<Vec<String>, TantivyError> {
        let mut words = BTreeSet::new();
        let mut tokens = self.index.tokenizer_for_field(self.text)?;
        let mut stream = tokens.token_stream(query);
        while words.len() < MOST_WORDS && stream.advance() {
            words.insert(stream.token().text.clone());
        }
        drop(stream);
        if words.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let term = |field, word: &str| -> Box<dyn Query> {
            Box::new(TermQuery::new(Term::from_field_text(field, word), IndexRecordOption::WithFreqs))
        };
        let clauses: Vec<(Occur, Box<dyn Query>)> = words
            .iter()
            .flat_map(|word| {
                let title: Box<dyn Query> = Box::new(BoostQuery::new(term(self.title, word), TITLE));
                [(Occur::Should, title), (Occur::Should, term(self.text, word))]
            })
            .collect();
        let searcher = self.reader.searcher();
        let collector = TopDocs::with_limit(limit).order_by_score();
        let mut found = Vec::with_capacity(limit);
        for (score, address) in searcher.search(&BooleanQuery::new(clauses), &collector)? {
            let document: TantivyDocument = searcher.doc(address)?;
            if let Some(id) = document.get_first(self.id).and_then(|value| value.as_str()) {
                found.push((score, id.to_owned()));
            }
        }
        // Where passages stand in the index depends on when they came; their ids do not.
        found.sort_by(|(a, first), (b, second)| b.total_cmp(a).then_with(|| first.cmp(second)));
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }
}
