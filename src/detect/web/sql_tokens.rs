//! A text as tokens of SQL, in a given quote context.

/// Most tokens read.
const MOST: usize = 160;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A string in quotes.
    Text,
    /// A string without its closing quote: the literal the value was put into closes it.
    Open,
    Word,
    /// `or`, `and`, `xor`, `||`, `&&`.
    Logic,
    /// `=`, `<`, `like`, `in`, `is` and so on.
    Compare,
    Arith,
    Not,
    Union,
    Select,
    /// A verb that begins a statement.
    Verb,
    /// `order`, `group`, `having`, `limit`, `procedure`, `into`, `where`.
    Clause,
    /// A function that sleeps, reads files, reaches the network or names the server.
    Danger,
    Variable,
    LeftParen,
    RightParen,
    Comma,
    Semicolon,
    Comment,
    Other,
}

/// A token with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

impl Token<'_> {
    /// A number or a string.
    pub(super) fn is_constant(self) -> bool {
        matches!(self.kind, Kind::Number | Kind::Text | Kind::Open) || matches!(self.text, "null" | "true" | "false")
    }
}

/// The tokens of `text`, lower case, as they stand.
pub(super) fn plain(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while tokens.len() < MOST {
        let gap = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '\u{fffd}';
        let skipped = rest.trim_start_matches(gap);
        // A null byte hides the rest as a comment does.
        if skipped.is_empty() && rest.contains('\0') && !tokens.is_empty() {
            tokens.push(Token { kind: Kind::Comment, text: rest });
        }
        rest = skipped;
        let Some((token, after)) = next(rest) else { break };
        // A comment separates; only one that ends the text counts.
        let separates = token.kind == Kind::Comment && !after.trim().is_empty();
        if !separates {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

/// The tokens behind the first `quote` that ends the string `text` begins in. `None` when none does.
pub(super) fn behind(text: &str, quote: char) -> Option<Vec<Token<'_>>> {
    let (at, _) = text.match_indices(quote).next()?;
    let after = text.get(at + 1..)?;
    Some(plain(after))
}

fn next(text: &str) -> Option<(Token<'_>, &str)> {
    let first = text.chars().next()?;
    let take = |kind: Kind, len: usize| {
        let len = if text.is_char_boundary(len.min(text.len())) { len.min(text.len()) } else { first.len_utf8() };
        text.split_at_checked(len).map(|(own, rest)| (Token { kind, text: own }, rest))
    };
    let second = text.get(1..).and_then(|rest| rest.chars().next()).unwrap_or('\0');
    match first {
        '\'' | '"' => string(text, first),
        '`' | '´' => take(Kind::Other, first.len_utf8()),
        '-' if second == '-' => take(Kind::Comment, text.find('\n').unwrap_or(text.len())),
        '#' => take(Kind::Comment, text.find('\n').unwrap_or(text.len())),
        '/' if second == '*' => {
            // `/*!50000 union */` is run by some servers: its words count.
            if text.starts_with("/*!") {
                let digits = text.bytes().skip(3).take_while(u8::is_ascii_digit).count();
                let (_, rest) = text.split_at_checked(3 + digits)?;
                let rest = rest.trim_start();
                return if rest.is_empty() { take(Kind::Comment, text.len()) } else { next(rest) };
            }
            take(Kind::Comment, text.find("*/").map_or(text.len(), |at| at + 2))
        }
        '*' if second == '/' => {
            let rest = text.get(2..)?.trim_start();
            if rest.is_empty() { take(Kind::Comment, 2) } else { next(rest) }
        }
        '0'..='9' => take(Kind::Number, number(text)),
        '.' if second.is_ascii_digit() => take(Kind::Number, number(text)),
        '(' => take(Kind::LeftParen, 1),
        ')' => take(Kind::RightParen, 1),
        ',' => take(Kind::Comma, 1),
        ';' => take(Kind::Semicolon, 1),
        '|' if second == '|' => take(Kind::Logic, 2),
        '&' if second == '&' => take(Kind::Logic, 2),
        '=' | '<' | '>' | '!' => operator(text),
        // `->`, `->>`, `#>` of JSON; a cast.
        '-' if second == '>' => take(Kind::Arith, if text.starts_with("->>") { 3 } else { 2 }),
        ':' if second == ':' => {
            let rest = text.get(2..)?;
            next(rest.get(word_len(rest)..)?.trim_start()).or_else(|| take(Kind::Other, text.len()))
        }
        '+' | '-' | '*' | '/' | '%' | '^' | '|' | '&' | '~' => take(Kind::Arith, 1),
        '@' if second == '>' => take(Kind::Compare, 2),
        '@' => {
            let name = text.trim_start_matches('@');
            let len = text.len() - name.len() + word_len(name);
            let server = text.starts_with("@@");
            take(if server { Kind::Danger } else { Kind::Variable }, len)
        }
        _ if first.is_alphabetic() || first == '_' => {
            let len = word_len(text);
            let (word, rest) = text.split_at_checked(len)?;
            // `1or1=1`: a keyword with a number behind it.
            for keyword in ["or", "and", "union"] {
                if let Some(number) = word.strip_prefix(keyword)
                    && number.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
                    && number.bytes().all(|byte| byte.is_ascii_digit())
                {
                    return take(word_kind(keyword, ""), keyword.len());
                }
            }
            if len == 1 && matches!(first, 'n' | 'x' | 'b' | 'e') && rest.starts_with('\'') {
                return string(rest, '\'');
            }
            Some((Token { kind: word_kind(word, rest), text: word }, rest))
        }
        _ => take(Kind::Other, first.len_utf8()),
    }
}

fn word_len(text: &str) -> usize {
    let inside = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$' | '.');
    text.find(|letter: char| !inside(letter)).unwrap_or(text.len())
}

fn number(text: &str) -> usize {
    let hex = text.strip_prefix("0x").map(|digits| digits.bytes().take_while(u8::is_ascii_hexdigit).count());
    match hex {
        Some(digits) if digits > 0 => digits + 2,
        _ => {
            let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
            // `1e0`, `1.e1`, `1.e(`.
            let exponent = text.get(digits..).and_then(|rest| rest.strip_prefix('e'));
            let bare = exponent.is_some_and(|rest| rest.starts_with('(') && text.contains(".e("));
            let exponent = exponent.map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
            digits + if exponent > 0 || bare { exponent + 1 } else { 0 }
        }
    }
}

fn operator(text: &str) -> Option<(Token<'_>, &str)> {
    let signs = text.bytes().take(3).take_while(|byte| matches!(byte, b'=' | b'<' | b'>' | b'!')).count();
    let (own, rest) = text.split_at_checked(signs)?;
    Some((Token { kind: if own == "!" { Kind::Not } else { Kind::Compare }, text: own }, rest))
}

/// A string from its opening quote on; a doubled or escaped quote does not end it.
fn string(text: &str, quote: char) -> Option<(Token<'_>, &str)> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'\\' {
            at += 2;
        } else if char::from(*byte) == quote {
            if at > 1 && bytes.get(at + 1) == Some(byte) {
                at += 2;
                continue;
            }
            let (own, rest) = text.split_at_checked(at + 1)?;
            return Some((Token { kind: Kind::Text, text: own }, rest));
        } else {
            at += 1;
        }
    }
    Some((Token { kind: Kind::Open, text }, ""))
}

fn word_kind(word: &str, rest: &str) -> Kind {
    let call = rest.trim_start().starts_with('(');
    match word {
        "or" | "and" | "xor" => Kind::Logic,
        "not" => Kind::Not,
        "like" | "rlike" | "regexp" | "ilike" | "glob" | "similar" | "between" | "in" | "is" | "sounds" | "matches" => {
            Kind::Compare
        }
        "div" | "mod" if !call => Kind::Arith,
        "union" | "intersect" | "except" | "minus" => Kind::Union,
        "select" => Kind::Select,
        "drop" | "insert" | "update" | "delete" | "create" | "alter" | "exec" | "execute" | "truncate" | "declare"
        | "shutdown" | "grant" | "revoke" | "merge" | "call" | "backup" | "begin" | "set" | "copy" | "attach"
        | "handler" | "replace" | "rename" | "use" | "commit" | "rollback" | "kill" | "if" | "load" | "desc"
        | "describe" | "show" => Kind::Verb,
        "order" | "group" | "having" | "limit" | "procedure" | "into" | "where" | "offset" | "window" => Kind::Clause,
        "waitfor" => Kind::Danger,
        _ if call && DANGEROUS.contains(&word) => Kind::Danger,
        _ if can_be_own(word) && NAMES.iter().any(|name| word.starts_with(name)) => Kind::Danger,
        _ => Kind::Word,
    }
}

/// A cheap look before the names: they have a sign in them, or begin with one of these.
fn can_be_own(word: &str) -> bool {
    word.bytes().any(|byte| matches!(byte, b'_' | b'.' | b'$'))
        || ["sys", "msys", "http", "xmlq", "server"].iter().any(|start| word.starts_with(start))
}

/// Functions of probes. Followed by `(` only.
const DANGEROUS: &[&str] = &[
    "sleep",
    "benchmark",
    "pg_sleep",
    "load_file",
    "extractvalue",
    "updatexml",
    "randomblob",
    "version",
    "current_user",
    "database",
    "user",
    "system_user",
    "session_user",
    "char",
    "chr",
    "concat",
    "concat_ws",
    "group_concat",
    "ascii",
    "ord",
    "substring",
    "substr",
    "mid",
    "hex",
    "unhex",
    "elt",
    "make_set",
    "geometrycollection",
    "polygon",
    "multipoint",
    "exp",
    "row_count",
    "xmltype",
    "xmlquery",
    "convert",
    "cast",
    "count",
    "length",
    "len",
    "db_name",
    "host_name",
    "object_id",
    "openrowset",
    "opendatasource",
    "openquery",
    "sys_eval",
    "sys_exec",
    "load_extension",
    "is_srvrolemember",
    "current_setting",
    "pg_read_file",
    "pg_ls_dir",
    "lo_import",
    "json_keys",
    "json_extract",
    "nullif",
    "coalesce",
    "ifnull",
    "iif",
    "if",
    "now",
    "sysdate",
    "md5",
    "sha1",
    "uuid",
    "rand",
    "regexp_substring",
    "name_const",
    "st_latfromgeohash",
    "gtid_subset",
    "procedure",
    "analyse",
    "nvl",
    "decode",
    "strcmp",
    "schema",
];

/// Beginnings of names hardly an application uses.
const NAMES: &[&str] = &[
    "xp_",
    "sp_password",
    "sp_oa",
    "sp_executesql",
    "sp_makewebtask",
    "utl_",
    "dbms_",
    "ctxsys.",
    "sys.",
    "sysobjects",
    "syscolumns",
    "sysusers",
    "sysibm.",
    "syscat.",
    "pg_group",
    "information_schema",
    "pg_sleep",
    "pg_catalog",
    "pg_shadow",
    "pg_user",
    "pg_read",
    "master..",
    "master.dbo",
    "mysql.",
    "sqlite_",
    "all_tables",
    "user_tables",
    "msysaccessobjects",
    "httpuritype",
    "mysql.user",
    "mysql.innodb",
    "performance_schema",
    "v$",
    "gv$",
    "dba_",
    "all_users",
    "all_tab",
    "user_tab",
    "rdb$",
    "sysdummy",
    "domain.",
    "user_name",
    "suser_",
    "current_database",
    "generate_series",
    "pg_",
    "xmlquery",
    "tempdb.",
    "northwind.",
    "msysobjects",
    "regexp_substring",
    "serverproperty",
    "is_member",
    "current_user",
    "dbo.sys",
];

#[cfg(test)]
mod tests {
    use super::{Kind, behind, plain};

    #[test]
    fn words_strings_and_comments_are_told_apart() {
        let kinds: Vec<Kind> =
            plain("or 1=0x31 /* x */ union/**/select 'a''b', @@version -- end").iter().map(|t| t.kind).collect();
        let expected = [
            Kind::Logic,
            Kind::Number,
            Kind::Compare,
            Kind::Number,
            Kind::Union,
            Kind::Select,
            Kind::Text,
            Kind::Comma,
            Kind::Danger,
            Kind::Comment,
        ];
        assert_eq!(kinds, expected);
        assert!(behind("no quote", '\'').is_none());
        assert_eq!(behind("x' or 'y", '\'').map(|tokens| tokens.len()), Some(2));
    }
}
