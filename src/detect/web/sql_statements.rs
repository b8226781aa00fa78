//! Whole statements of SQL where a value should be.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::sql_signs::probes;
use super::sql_tokens::{Kind, Token, plain};

/// A whole statement that only attacks send: it runs commands, waits, or reads the server's own tables.
pub(super) fn statement(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let tokens = plain(text);
    let first = tokens.first()?;
    let begins = matches!(first.kind, Kind::Verb | Kind::Select | Kind::Semicolon | Kind::LeftParen)
        || value.place == Place::Field;
    if !begins {
        return None;
    }
    let has = |word: &str| tokens.iter().any(|token| token.text == word);
    let calls = |test: fn(&str) -> bool| tokens.iter().any(|token| token.kind == Kind::Danger && test(token.text));
    if calls(|word| word.starts_with("xp_") || word.starts_with("utl_") || word.starts_with("sp_oa"))
        || has("outfile")
        || has("dumpfile")
        || calls(|word| matches!(word, "load_file" | "benchmark" | "randomblob" | "extractvalue" | "updatexml"))
        || has("waitfor") && has("delay")
    {
        return Some(Certain);
    }
    let field = value.place == Place::Field;
    if field && !value.name.is_empty() && tokens.len() <= 12 && tokens.iter().any(|token| is_own_name(*token)) {
        return Some(Likely);
    }
    let selects = selects(&tokens);
    let changes = tokens.windows(2).any(|pair| {
        matches!(pair, [verb, object] if matches!((verb.text, object.text),
            ("merge", "into") | ("grant", "all") | ("declare", "@") | ("drop" | "alter" | "create" | "truncate", "table" | "database" | "user" | "function" | "schema")
            | ("insert", "into") | ("delete", "from") | ("execute", "immediate")))
    });
    let waits = calls(|word| matches!(word, "sleep" | "pg_sleep" | "waitfor") || word.starts_with("dbms_"));
    let schema = calls(|word| {
        word.starts_with("sys")
            || word.starts_with("information_schema")
            || word.starts_with("pg_")
            || word.starts_with("@@")
            || word.starts_with("mysql.")
            || ["v$", "gv$", "dba_", "all_users", "all_tab", "user_tab", "rdb$", "msys", "domain."]
                .iter()
                .any(|name| word.starts_with(name))
            || matches!(word, "current_user" | "session_user" | "system_user" | "current_database")
            || word.starts_with("current_setting")
            || word == "generate_series"
            || word.starts_with("sqlite_")
    });
    let comment = tokens.last().is_some_and(|last| last.kind == Kind::Comment);
    match () {
        () if waits => Some(Certain),
        () if field && (selects || changes) => Some(Likely),
        () if schema && (selects || first.kind == Kind::Select) && (value.place == Place::Whole || value.spoken()) => {
            Some(Likely)
        }
        () if comment && changes => Some(Likely),
        () if first.text == "declare" && has("exec") => Some(Certain),
        () if matches!(first.kind, Kind::Select | Kind::LeftParen)
            && (probes(&tokens) && (has("when") || has("if"))
                || has("case") && has("when") && tokens.iter().any(|token| token.kind == Kind::Select)) =>
        {
            Some(Likely)
        }
        () if first.text == "call" && calls(|word| matches!(word, "regexp_substring")) => Some(Certain),
        () if first.text == "declare" && text.contains("0x") => Some(Likely),
        () if has("infile") && has("load") => Some(Likely),
        () => None,
    }
}

/// `select a, b from t`: one name or a list between the two, not a sentence.
fn selects(tokens: &[Token<'_>]) -> bool {
    let Some(at) = tokens.iter().position(|token| token.kind == Kind::Select) else { return false };
    let rest = tokens.get(at + 1..).unwrap_or_default();
    let Some(from) = rest.iter().position(|token| token.text == "from") else {
        return rest.first().is_some_and(|token| token.kind == Kind::Danger);
    };
    let list = rest.get(..from).unwrap_or_default();
    let plain =
        |token: &Token<'_>| token.kind == Kind::Word && !matches!(token.text, "distinct" | "top" | "all" | "as");
    let sentence = list.windows(2).any(|pair| pair.iter().all(plain)) || list.is_empty();
    let table =
        rest.get(from + 1).is_some_and(|token| matches!(token.kind, Kind::Word | Kind::Danger | Kind::LeftParen));
    let after = rest
        .get(from + 2)
        .is_none_or(|token| token.kind != Kind::Word || matches!(token.text, "as" | "join" | "inner" | "left"));
    !sentence && table && after
}

/// Names of a database's own tables and procedures.
fn is_own_name(token: Token<'_>) -> bool {
    [
        "information_schema",
        "sysobjects",
        "syscolumns",
        "mysql.",
        "xp_",
        "sp_",
        "pg_catalog",
        "sqlite_master",
        "master..",
        "master.dbo",
        "@@",
        "utl_",
        "dbms_",
    ]
    .iter()
    .any(|name| token.text.starts_with(name) && token.text.len() > name.len() || token.text == *name && name.len() > 6)
}
