//! SQL that leaves the literal it was put into.
//!
//! A value is read three times: as it stands, inside single quotes and inside double quotes. It is an attack when what
//! follows the end of the literal goes on as SQL would: a condition that is complete, another query, another statement,
//! or a comment that hides the rest.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::sql_signs::{
    calls, changes, compares_rarely, ends_a_name, is_measure, is_offensive, packs, probes, skip_operand, subquery,
};
use super::sql_statements::statement;
use super::sql_tokens::{Kind, Token, behind, plain};

/// What the literal is that the value was put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Quoted,
    Number,
    /// Nothing was before: the value begins with what follows a literal.
    Bare,
    /// A word that may be a name, or the end of a sentence.
    Word,
}

/// Whether a reading of a value is SQL that breaks out.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if text.len() > 3000 {
        return None;
    }
    if text.is_ascii() || !text.contains(['’', '‘', '′', '“', '”', '–']) {
        return read(value, text);
    }
    // Pasted through a word processor.
    let plain = text.replace(['’', '‘', '′'], "'").replace(['“', '”'], "\"").replace('–', "--");
    read(value, &plain)
}

fn read(value: &Value<'_>, text: &str) -> Option<Confidence> {
    // The quotes of JSON end no literal: its strings are values of their own. Nor do those of feet and inches.
    let json = value.place == Place::Whole
        && (text.starts_with("{\"") && text.ends_with('}') || text.starts_with("[\"") && text.ends_with(']'));
    let quotes: &[char] = match () {
        () if json || is_measure(text) => &[],
        () if ends_a_name(text) => &['\'', '"', '`'],
        () => &['\'', '"'],
    };
    let quoted = quotes.iter().filter_map(|quote| {
        let quote = *quote;
        // A quotation at the end of a sentence.
        if value.place == Place::Tail && text.starts_with(quote) && text.matches(quote).count() == 2 {
            return None;
        }
        let before = text.split(quote).next()?;
        // Behind a space a quote opens a string, unless nothing else was before.
        let opens = before.ends_with([' ', '(', '=', ',', '[', ':', '{', '\n', '\t']) && !before.trim().is_empty();
        if opens && (value.place != Place::Field || before.split_whitespace().count() > 2) {
            return None;
        }
        let tokens = behind(text, quote)?;
        let found = follows(&tokens, Context::Quoted)?;
        let long = before.split_whitespace().count() > 8;
        let head = value.head.to_ascii_lowercase();
        let query =
            ["select", "update", "delete", "insert"].iter().any(|verb| before.contains(verb) || head.contains(verb));
        match found {
            _ if query && !constant_condition(&tokens) => None,
            Certain if long => Some(Likely),
            // `'one' or 'other'` is prose.
            Likely if value.place == Place::Tail && !goes_far(&tokens) => None,
            found => Some(found),
        }
    });
    quoted.max().max(bare(value, text)).max(statement(value, text))
}

/// More than another quoted word: a comparison behind a condition, a comment, a call, a statement.
fn goes_far(tokens: &[Token<'_>]) -> bool {
    let has = |kind| tokens.iter().any(|token| token.kind == kind);
    has(Kind::Comment) || has(Kind::Danger) || has(Kind::Semicolon) || has(Kind::Logic) && has(Kind::Compare)
}

/// `or 1=1`, `or 'a'='a`, or a comment at the end.
fn constant_condition(tokens: &[Token<'_>]) -> bool {
    let compares = tokens.windows(4).any(|four| match four {
        [logic, left, compare, right] => {
            logic.kind == Kind::Logic && left.is_constant() && compare.kind == Kind::Compare && right.is_constant()
        }
        _ => false,
    });
    compares || tokens.last().is_some_and(|last| last.kind == Kind::Comment)
}

/// As it stands.
fn bare(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let tokens = plain(text);
    let signed = tokens.first().is_some_and(|first| first.kind == Kind::Arith && matches!(first.text, "-" | "+"));
    let tokens = if signed { tokens.get(1..)? } else { tokens.as_slice() };
    let (first, rest) = tokens.split_first()?;
    match first.kind {
        Kind::Number => {
            // `1.e(union select`
            let rest = match rest {
                [open, next, ..] if open.kind == Kind::LeftParen && next.kind == Kind::Union => rest.get(1..)?,
                _ => rest,
            };
            let rare = value.place != Place::Tail && compares_rarely(rest);
            follows(rest, Context::Number).or_else(|| rare.then_some(Likely))
        }
        Kind::Text => {
            let second = rest.first().map(|token| token.kind);
            let told = rest.iter().any(|token| {
                matches!(token.kind, Kind::Comment | Kind::Union | Kind::Select)
                    || token.kind == Kind::Compare && second == Some(Kind::Logic)
            });
            let compared = value.place != Place::Tail && second == Some(Kind::Compare);
            (told || compared).then(|| follows(rest, Context::Quoted)).flatten().map(|_| Likely)
        }
        Kind::Logic if rest.len() == 1 && value.place != Place::Tail => {
            rest.first().is_some_and(|token| token.is_constant()).then_some(Likely)
        }
        Kind::Variable | Kind::Word if value.place != Place::Tail || rest.len() >= 3 => follows(rest, Context::Word),
        Kind::Danger if first.text.starts_with("@@") && first.text.len() > 3 && rest.is_empty() => Some(Likely),
        Kind::Logic | Kind::RightParen | Kind::Semicolon | Kind::Union | Kind::Clause | Kind::Comma | Kind::Arith => {
            follows(tokens, Context::Bare)
        }
        // `(1)or(1)=(1)`
        Kind::LeftParen
            if rest.first().is_some_and(|token| token.is_constant())
                && rest.get(1).is_some_and(|token| token.kind == Kind::RightParen)
                && rest.get(2).is_some_and(|token| token.kind == Kind::Logic) =>
        {
            follows(rest.get(2..)?, Context::Number)
        }
        Kind::Danger | Kind::LeftParen => {
            let told = probes(tokens) || packs(tokens);
            follows(tokens, Context::Bare).or_else(|| calls(tokens)).or_else(|| told.then_some(Likely))
        }
        Kind::Other if matches!(first.text, "%" | "\\" | "`" | "´") => follows(rest, Context::Bare),
        _ => None,
    }
}

/// What the tokens behind a literal amount to.
fn follows(tokens: &[Token<'_>], context: Context) -> Option<Confidence> {
    let closed = tokens.iter().take_while(|token| token.kind == Kind::RightParen).count();
    let tokens = tokens.get(closed..)?;
    let (first, rest) = tokens.split_first()?;
    let ends = tokens.last().is_some_and(|last| last.kind == Kind::Comment);
    let quoted = context == Context::Quoted;
    let next = rest.first().map(|token| token.kind);
    match first.kind {
        Kind::Comment => {
            // `" --option "x` is a command line.
            let option = first.text.trim_start_matches('-').starts_with(|letter: char| letter.is_ascii_alphabetic());
            let alone = rest.is_empty()
                && !(option && first.text.contains([' ', '"', '\'']))
                && (first.text.len() <= 3 || first.text.starts_with("--") || closed > 0);
            match context {
                Context::Quoted if alone => Some(Certain),
                Context::Number | Context::Bare if closed > 0 => Some(Certain),
                _ => None,
            }
        }
        Kind::Semicolon => match next {
            Some(Kind::Verb) if rest.first().is_some_and(|token| token.text == "if") => {
                if probes(rest) {
                    Some(Certain)
                } else {
                    calls(rest)
                }
            }
            Some(Kind::Verb | Kind::Select) if context == Context::Word => changes(rest).then_some(Likely),
            Some(Kind::Verb | Kind::Select) if rest.len() >= 2 || quoted => Some(Certain),
            Some(Kind::Danger) => Some(Certain),
            Some(Kind::Comment) if quoted => Some(Certain),
            None if quoted && closed > 0 => Some(Likely),
            _ => None,
        },
        Kind::Union => {
            let at = rest.iter().position(|token| !matches!(token.text, "all" | "distinct" | "distinctrow" | "("));
            let after = at.and_then(|at| rest.get(at));
            match after.map(|token| token.kind) {
                Some(Kind::Select) => Some(Certain),
                Some(Kind::Danger) => Some(Certain),
                None if quoted && first.text == "union" => Some(Likely),
                _ => None,
            }
        }
        Kind::Logic => condition(rest, context, first.text),
        Kind::Clause => clause(first, rest, context, ends),
        Kind::Arith => arithmetic(rest, context, ends),
        Kind::Compare => {
            let operand = rest.first()?;
            match context {
                Context::Quoted if constant_condition(rest) => Some(Certain),
                Context::Quoted
                    if operand.is_constant()
                        && (rest.len() == 1 || ends || rest.get(1).is_some_and(|token| token.kind == Kind::Logic)) =>
                {
                    Some(Likely)
                }
                Context::Quoted if first.text == "=" && operand.kind == Kind::Danger => Some(Certain),
                Context::Quoted if matches!(operand.text, "null" | "like") && ends => Some(Likely),
                Context::Quoted if operand.kind == Kind::LeftParen => subquery(rest),
                Context::Number | Context::Bare | Context::Quoted => subquery(rest),
                Context::Word => None,
            }
        }
        Kind::Comma => {
            let offensive = rest.iter().any(|token| is_offensive(*token)) || subquery(rest).is_some();
            let nulls = rest.iter().filter(|token| token.text == "null").count() >= 2;
            let row = rest.iter().all(|token| {
                token.is_constant() || matches!(token.kind, Kind::Comma | Kind::RightParen | Kind::Comment)
            });
            match context {
                _ if offensive => Some(Certain),
                Context::Quoted if ends && row => Some(Certain),
                Context::Bare | Context::Number if ends && nulls => Some(Certain),
                _ => None,
            }
        }
        Kind::Text | Kind::Open if quoted => {
            let then = follows(rest, context)?;
            (then == Certain && rest.first().is_some_and(|token| matches!(token.kind, Kind::Logic | Kind::Union)))
                .then_some(Likely)
        }
        Kind::Danger if first.text == "waitfor" => {
            let clear = rest.first().is_some_and(|token| matches!(token.text, "delay" | "time"));
            clear.then_some(Certain)
        }
        Kind::Danger if quoted && is_offensive(*first) => Some(Certain),
        Kind::Verb | Kind::Select if quoted => {
            let told = matches!(first.text, "exec" | "execute" | "select" | "declare" | "if" | "insert" | "update");
            let sure =
                rest.iter().any(|token| matches!(token.kind, Kind::Danger | Kind::Select) || token.text == "immediate");
            (told && sure || ends).then_some(Likely)
        }
        Kind::Not if quoted => follows(rest, context),
        // `1) as a where 3=3`
        Kind::Word if first.text == "as" && context != Context::Word => match rest {
            [_, clause, ..] if clause.kind == Kind::Clause => follows(rest.get(1..)?, context),
            _ => None,
        },
        _ => None,
    }
}

/// Behind `or`, `and`: an operand, perhaps compared with another.
fn condition(tokens: &[Token<'_>], context: Context, logic: &str) -> Option<Confidence> {
    let strong = matches!(context, Context::Quoted | Context::Bare);
    let skip = |token: &&Token<'_>| {
        matches!(token.kind, Kind::LeftParen | Kind::Not | Kind::Arith) || matches!(token.text, "exists" | "binary")
    };
    let skipped = tokens.iter().take_while(skip).count();
    let tokens = tokens.get(skipped..)?;
    let (left, rest) = tokens.split_first()?;
    if matches!(left.kind, Kind::Select) || left.text == "case" && rest.first().is_some_and(|next| next.text == "when")
    {
        return Some(Certain);
    }
    if left.kind == Kind::Danger {
        return if context == Context::Word && !is_offensive(*left) { Some(Likely) } else { Some(Certain) };
    }
    if subquery(tokens).is_some() {
        return Some(Certain);
    }
    if left.kind == Kind::Word && matches!(logic, "||" | "&&") {
        // `'||package.call('x')||'`
        let called = context == Context::Quoted && rest.first().is_some_and(|token| token.kind == Kind::LeftParen);
        let closed = tokens.last().is_some_and(|last| matches!(last.kind, Kind::Open | Kind::Comment));
        return (called && closed && left.text.contains('.')).then_some(Likely);
    }
    // `(1,2)=(1,2)`
    if skipped > 0
        && let [_, comma, _, close, compare, open, ..] = tokens
        && (comma.kind, close.kind, compare.kind) == (Kind::Comma, Kind::RightParen, Kind::Compare)
    {
        return (left.is_constant() && open.kind == Kind::LeftParen).then_some(Certain);
    }
    let rest = skip_operand(rest);
    let constant = left.is_constant();
    let Some((operator, right)) = rest.split_first() else {
        // It ends here: `' or 1`, `' or 'a`.
        let short = match left.kind {
            Kind::Number => context == Context::Quoted || (context == Context::Bare && logic != "and" && logic != "||"),
            Kind::Text | Kind::Open => context == Context::Quoted && left.text.len() <= 16,
            _ => matches!(left.text, "true" | "false") && strong,
        };
        return short.then_some(Likely);
    };
    match operator.kind {
        Kind::Compare => {
            let skipped = right.iter().take_while(|token| skip(token)).count();
            let operand = right.get(skipped);
            let Some(operand) = operand else {
                return (context == Context::Quoted && left.kind != Kind::Word).then_some(Likely);
            };
            let same = operand.text.trim_matches(['\'', '"']) == left.text.trim_matches(['\'', '"']);
            let equal = matches!(
                operator.text,
                "=" | "==" | "<=>" | "like" | "rlike" | "regexp" | "is" | "in" | "between" | "!=" | "<>"
            );
            let tail = right.get(skipped + 1..).unwrap_or_default();
            let goes_on = tail.iter().any(|token| token.kind == Kind::Comment)
                || operand.kind == Kind::Open
                || tail.last().is_some_and(|last| last.kind == Kind::Open);
            match context {
                Context::Quoted | Context::Bare if constant && operand.is_constant() => Some(Certain),
                Context::Number if constant && operand.is_constant() && (equal || goes_on) => Some(Certain),
                Context::Word if constant && operand.is_constant() && equal => {
                    Some(if same || goes_on { Certain } else { Likely })
                }
                Context::Quoted if goes_on => Some(Certain),
                Context::Quoted | Context::Bare | Context::Number if operand.kind == Kind::Danger => Some(Likely),
                Context::Quoted if operand.is_constant() || operand.kind == Kind::Word => Some(Likely),
                Context::Bare if goes_on => Some(Likely),
                _ if same && equal => Some(Likely),
                Context::Number if goes_on => Some(Likely),
                Context::Bare if operand.is_constant() && left.kind == Kind::Word => Some(Likely),
                _ => None,
            }
        }
        Kind::Open | Kind::Text if left.kind == Kind::Text && context == Context::Quoted => Some(Likely),
        Kind::Comment if constant && strong => Some(Certain),
        Kind::Comment if constant && context == Context::Number => Some(Likely),
        Kind::Comment if context == Context::Quoted => Some(Likely),
        Kind::Logic if constant => condition(right, context, operator.text),
        Kind::Arith if constant && strong => Some(Likely),
        Kind::Union => Some(Certain),
        Kind::RightParen if constant && context == Context::Quoted => Some(Likely),
        Kind::Semicolon if constant && context == Context::Quoted => Some(Likely),
        Kind::Clause if constant && strong => Some(Likely),
        _ => None,
    }
}

/// `order by 3--`, `having 1=1`, `limit 1 into outfile`, `procedure analyse(`.
fn clause(first: &Token<'_>, rest: &[Token<'_>], context: Context, ends: bool) -> Option<Confidence> {
    let second = rest.first()?;
    let number = |at: usize| rest.get(at).is_some_and(|token| token.kind == Kind::Number);
    let found = match first.text {
        "order" | "group" if second.text == "by" => {
            number(1)
                || ends
                || subquery(rest).is_some()
                || context == Context::Quoted
                    && rest.len() <= 2
                    && rest.get(1).is_none_or(|token| token.kind == Kind::Word)
                || rest.iter().any(|token| token.text == "having")
        }
        "having" => second.is_constant() || ends,
        "limit" | "offset" => second.kind == Kind::Number && (ends || context == Context::Quoted || rest.len() >= 3),
        "procedure" => second.text == "analyse",
        "into" => matches!(second.text, "outfile" | "dumpfile"),
        "where" => second.is_constant() && rest.get(1).is_some_and(|token| token.kind == Kind::Compare),
        _ => false,
    };
    let sure = ends || context == Context::Quoted || matches!(first.text, "procedure" | "into" | "having");
    let known = found && (context != Context::Word || sure && ends);
    known.then_some(if sure { Certain } else { Likely })
}

/// `'||(select ...)||'`, `'-sleep(5)-'`, `1*(select ...)`, `'+'x`.
fn arithmetic(rest: &[Token<'_>], context: Context, ends: bool) -> Option<Confidence> {
    if subquery(rest).is_some() {
        return Some(Certain);
    }
    let first = rest.first()?;
    let closes = rest.last().is_some_and(|last| last.kind == Kind::Open) || ends;
    match (context, first.kind) {
        (Context::Quoted, Kind::Danger) => Some(if closes { Certain } else { Likely }),
        (Context::Quoted, Kind::Open | Kind::Text) if rest.len() == 1 => Some(Likely),
        (Context::Quoted, Kind::Number) if closes && rest.len() <= 4 => Some(Likely),
        (Context::Quoted | Context::Bare | Context::Number, Kind::Logic | Kind::Union) => follows(rest, context),
        (Context::Bare, Kind::Verb | Kind::Danger | Kind::RightParen) if is_offensive(*first) || ends => Some(Likely),
        _ => None,
    }
}
