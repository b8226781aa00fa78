//! What tokens of SQL give away, whatever literal they follow.

use super::Confidence::{self, Certain};
use super::sql_tokens::{Kind, Token};

/// `5'11"`, `6' 2" and 190 lbs`.
pub(super) fn is_measure(text: &str) -> bool {
    let Some((feet, rest)) = text.split_once('\'') else { return false };
    let inches = rest.trim_start_matches([' ', '+']);
    let rest = inches.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    let feet = feet.rsplit('=').next().unwrap_or(feet).trim();
    !feet.is_empty()
        && feet.bytes().all(|byte| byte.is_ascii_digit())
        && rest.len() < inches.len()
        && rest.starts_with('"')
        && !rest.contains(['=', '#', '\''])
}

/// ``1`) or``: a backtick that nothing opened, near the start.
pub(super) fn ends_a_name(text: &str) -> bool {
    let at = text.find('`');
    at.is_some_and(|at| at <= 12 && !text.get(..at).unwrap_or_default().trim().contains(' '))
        && text.matches('`').count() % 2 == 1
}

/// A call that waits, alone or between operators: `sleep(5)`, `(select*from(select(sleep(9)))a)`.
pub(super) fn calls(tokens: &[Token<'_>]) -> Option<Confidence> {
    tokens.iter().take(14).any(|token| is_offensive(*token)).then_some(Certain)
}

/// `iif(3=4`, `case when (3=3)`, `where 5=5`: a comparison of constants inside of something.
pub(super) fn probes(tokens: &[Token<'_>]) -> bool {
    let has = |test: fn(&Token<'_>) -> bool| tokens.iter().any(test);
    let asked = has(|token| token.kind == Kind::Danger || matches!(token.text, "when" | "where" | "if" | "having"));
    asked
        && tokens.windows(4).any(|four| match four {
            [before, left, compare, right] => {
                (matches!(before.kind, Kind::LeftParen | Kind::Not)
                    || matches!(before.text, "when" | "where" | "if" | "having"))
                    && left.is_constant()
                    && compare.kind == Kind::Compare
                    && right.is_constant()
            }
            _ => false,
        })
}

/// Letters put together from their codes: `chr(113)||chr(97)||chr(98)`.
pub(super) fn packs(tokens: &[Token<'_>]) -> bool {
    let code = |pair: &&[Token<'_>]| matches!(pair, [name, open] if matches!(name.text, "chr" | "char") && open.kind == Kind::LeftParen);
    tokens.windows(2).filter(code).count() >= 3
}

/// Names that only attacks use in a value.
pub(super) fn is_offensive(token: Token<'_>) -> bool {
    let word = token.text;
    if token.kind != Kind::Danger {
        return false;
    }
    const WORDS: [&str; 13] = [
        "regexp_substring",
        "crypt_key",
        "generate_series",
        "sleep",
        "benchmark",
        "waitfor",
        "load_file",
        "extractvalue",
        "updatexml",
        "randomblob",
        "load_extension",
        "httpuritype",
        "name_const",
    ];
    WORDS.contains(&word)
        || ["xp_", "utl_", "dbms_", "pg_sleep", "sp_oa", "sp_makewebtask", "sys_e", "lo_import", "ctxsys"]
            .iter()
            .any(|name| word.starts_with(name))
}

/// A statement that is no sentence: `drop table a`, `update a set b`.
pub(super) fn changes(tokens: &[Token<'_>]) -> bool {
    let has = |word: &str| tokens.iter().any(|token| token.text == word);
    let second = tokens.get(1).map_or("", |token| token.text);
    match tokens.first().map_or("", |token| token.text) {
        "drop" | "create" | "alter" | "truncate" => {
            ["table", "database", "schema", "user", "function", "procedure", "view", "index", "or", "login"]
                .contains(&second)
        }
        "insert" | "merge" => second == "into",
        "delete" => second == "from",
        "update" => has("set"),
        "set" | "use" | "if" | "show" | "desc" | "describe" | "kill" | "replace" | "call" | "load" | "copy"
        | "begin" => {
            tokens.iter().any(|token| is_offensive(*token) || matches!(token.kind, Kind::Comment | Kind::Select))
        }
        _ => tokens.len() >= 2,
    }
}

/// `(select ...`, somewhere near.
pub(super) fn subquery(tokens: &[Token<'_>]) -> Option<Confidence> {
    let mut before = None;
    for token in tokens.iter().take(24) {
        if token.kind == Kind::Select && before == Some(Kind::LeftParen) || is_offensive(*token) {
            return Some(Certain);
        }
        before = Some(token.kind);
    }
    None
}

/// What is left of the tokens behind an operand: its call, its sum, its closing parentheses.
pub(super) fn skip_operand<'a, 'b>(tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    let mut rest = tokens;
    if rest.first().is_some_and(|token| token.kind == Kind::LeftParen) {
        let mut depth = 0_usize;
        let end = rest.iter().position(|token| {
            match token.kind {
                Kind::LeftParen => depth += 1,
                Kind::RightParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
    }
    while let [sum, operand, tail @ ..] = rest {
        let adds = sum.kind == Kind::Arith && operand.is_constant();
        if !adds {
            break;
        }
        rest = tail;
    }
    let closed = rest.iter().take_while(|token| token.kind == Kind::RightParen).count();
    rest.get(closed..).unwrap_or_default()
}

/// `1 rlike 1`, `1 is not null`, `1 || 1`: nothing people compare numbers by.
pub(super) fn compares_rarely(rest: &[Token<'_>]) -> bool {
    let [first, second, ..] = rest else { return false };
    let operator = matches!(first.text, "rlike" | "regexp" | "<=>" | "xor" | "&&" | "||" | "like");
    let null = first.text == "is" && matches!(second.text, "null" | "not");
    let list = first.text == "in" && second.kind == Kind::LeftParen;
    let between = first.text == "between" && second.kind == Kind::Number;
    operator && second.is_constant() || null || list || between
}
