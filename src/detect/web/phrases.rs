//! Operators and filters of document databases, directories and XML where a value should be.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::list::list;

list!(
    FILTERS,
    &[
        "*)(",
        "*()|",
        "*)|(",
        ")(|(",
        ")(&",
        "))(|",
        "*(|(",
        "|(uid=",
        "(uid=*",
        "(objectclass=",
        "(cn=*",
        "(|(mail=*",
        "(userpassword",
        ")(uid=",
        ")(cn=",
        ")(mail=",
        ")(sn=",
        ")(objectclass=",
        "*))\0",
        "*))%00",
        ")\0",
        "*)\0",
        "(&(",
        ")(!(",
    ]
);

list!(
    CODE,
    &[
        "this.password",
        "});db.",
        "');db.",
        ";while(1)",
        "\"$func\":",
        "\"$lookup\":",
        "\"$function\":",
        "function(){returntrue",
        "function(){return1",
        "this.username.match",
        "||1==1",
        "'||'1'=='1",
        "\"||\"1\"==\"1",
        "'a'=='a",
        "$where:",
        "\"$where\"",
        "},$or:",
        "',$or:",
        "db.injection",
        "db.stores.mapreduce",
        "newdate();do{",
        "while(true){}",
        "sleep(5000)",
        "',$where",
        ",$where:",
        "'}],$comment",
        "$comment:",
        "this.constructor",
        "tojson(this",
        "db.getcollection",
        "emit(1",
        "{$gt:''}",
        "{$ne:",
        "this[\"pass",
        "object.keys(this",
    ]
);

/// Whether a reading of a value changes such a query.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if !text.contains(['$', '\'', '"', '*', ')', '<', '/', '&', '|', ';']) {
        return None;
    }
    let flat: String = text.chars().filter(|letter| !letter.is_whitespace()).take(2000).collect();
    document(value, &flat).max(directory(value, &flat)).max(xml(value, text, &flat))
}

/// `{"$ne": null}`, `[$gt]=`, `'; return true; //`, `$where`.
fn document(value: &Value<'_>, flat: &str) -> Option<Confidence> {
    let operator = [
        "$ne",
        "$gt",
        "$gte",
        "$lt",
        "$lte",
        "$nin",
        "$in",
        "$regex",
        "$where",
        "$exists",
        "$or",
        "$and",
        "$eq",
        "$not",
        "&exists",
        "$func",
        "$expr",
        "$lookup",
        "$size",
        "$elemmatch",
        "$function",
    ];
    let bracket = flat.contains("[$") && operator.iter().any(|own| flat.contains(&format!("[{own}]")));
    if bracket {
        return Some(Certain);
    }
    let field = value.place == Place::Field;
    if field && operator.contains(&flat) {
        return Some(Likely);
    }
    let probes = [
        "\"\"",
        "''",
        "null",
        "\".*\"",
        "'.*'",
        "\"^",
        "'^",
        "true",
        "false",
        "1",
        "0",
        "-1",
        "\"a\"",
        "[]",
        "undefined",
        "\"1\"",
        "{}",
        "nan",
    ];
    let compared = operator.iter().any(|own| {
        flat.match_indices(own).any(|(at, _)| {
            let after = flat.get(at + own.len()..).unwrap_or_default();
            let after = after.trim_start_matches(['"', '\'']).strip_prefix(':');
            let before = flat.get(..at).unwrap_or_default().trim_end_matches(['"', '\'']);
            let empty = after.is_some_and(|after| {
                probes.iter().any(|probe| {
                    after.strip_prefix(probe).is_some_and(|rest| {
                        rest.is_empty() || rest.starts_with(['}', ',', '.', '\'', '"']) || probe.ends_with('^')
                    })
                })
            });
            empty && before.ends_with(['{', ','])
        })
    });
    // An operator as the key of a value that is JSON itself.
    let keyed = field
        && flat.starts_with('{')
        && operator.iter().any(|own| flat.contains(&format!("\"{own}\":")) || flat.contains(&format!("{{{own}:")));
    if keyed {
        return Some(Likely);
    }
    let coded =
        flat.contains("find(") || flat.contains("aggregate(") || flat.contains("$match") || flat.contains("update");
    if compared && flat.len() < 300 && !coded {
        return Some(if flat.len() < 40 { Certain } else { Likely });
    }
    let returns = flat.len() < 60
        && (flat.starts_with("0;return")
            || flat.starts_with("1;return")
            || flat.starts_with("';return")
            || flat.starts_with("\";return"));
    (returns || CODE.any(flat) && flat.len() < 240 && !coded).then_some(Likely)
}

/// `*)(uid=*`, `admin)(&)`.
fn directory(value: &Value<'_>, flat: &str) -> Option<Confidence> {
    let found = FILTERS.any(flat) || flat == "*|" && value.place == Place::Whole || flat.ends_with("*()|&'");
    let mild = value.place != Place::Field && flat.starts_with('(') && flat.ends_with("))");
    if found && flat.len() < 160 && !flat.contains([';', '{', '+']) && !mild {
        let sure = flat.starts_with(['*', ')', '(']) || flat.contains("*)(");
        return Some(if sure { Certain } else { Likely });
    }
    let star = value.place == Place::Whole
        && flat.len() <= 12
        && flat.strip_suffix('*').is_some_and(|name| matches!(name, "admin" | "root" | "administrator" | "adm"));
    star.then_some(Likely)
}

/// Entities, inclusions, and XPath that goes on behind a quote.
fn xml(value: &Value<'_>, text: &str, flat: &str) -> Option<Confidence> {
    const SURE: [&str; 12] = [
        "<!entity",
        "<xi:include",
        "xinclude\"",
        "<!doctype[",
        "<!attlist",
        "<?xml-stylesheet",
        "document('",
        "<xsl:value-of",
        "system-property('xsl",
        "msxsl:script",
        "php:function",
        "<xsl:",
    ];
    let doctype = flat.contains("<!doctype")
        && (flat.contains("system\"")
            || flat.contains("system'")
            || flat.contains("[<!")
            || flat.contains("public\"") && !flat.contains("//dtdhtml") && !flat.contains("xhtml"));
    if doctype || SURE.iter().take(4).any(|part| flat.contains(part)) {
        return Some(Certain);
    }
    let runs = flat.contains("<xsl:")
        && ["system-property(", "php:function", "document('", "unparsed-text("].iter().any(|part| flat.contains(part));
    if runs || SURE.iter().skip(4).any(|part| flat.contains(part)) && value.place == Place::Field {
        return Some(Likely);
    }
    if flat.contains("<![cdata[") && (value.place == Place::Field || flat.contains("script") || flat.contains("<]]>")) {
        return Some(Likely);
    }
    const PATHS: [&str; 23] = [
        "/parent::",
        "self::node()",
        "/descendant::",
        "']|/",
        "preceding-sibling::",
        "doc('http",
        "or//",
        "orname()=",
        "orcount(/",
        "count(//",
        "']|//",
        "']/*",
        "string-length(name(",
        "substring(name(",
        "//user[",
        "name(/*[",
        "'orposition()",
        "/child::",
        "ancestor::",
        "following-sibling::",
        "orcontains(",
        "]|//*[",
        "string(/",
    ];
    let path = (PATHS.iter().any(|part| flat.contains(part)) || flat.contains("]|//*") && flat.len() < 20)
        && (flat.len() < 20 || flat.contains('\'') || flat.contains("]|") || flat.contains("count("));
    (path
        && text.len() < 200
        && (value.place == Place::Field
            || flat.starts_with(['\'', '"', ']', '*'])
            || flat.contains("'or")
            || flat.contains("']/")))
    .then_some(Likely)
}
