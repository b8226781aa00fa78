//! Programs as shells read their names, however they are spelled.

/// A program's name as a shell would read it.
pub(super) struct Program {
    pub(super) name: String,
    /// It was written so as not to be recognised.
    pub(super) bent: bool,
}

/// The program that `text` begins with, and what follows its name.
pub(super) fn program(text: &str) -> Option<(Program, &str)> {
    let text = text.trim_start_matches([' ', '\t', '(', '{', '"', '\'', '`', '\n', '\r', '@', '!', ';', '&', '|']);
    let end = text.find(|letter: char| {
        letter.is_whitespace()
            || letter == '\0'
            || matches!(letter, ';' | '|' | '&' | ')' | '`' | '<' | '>' | ',' | '%' | '#')
    });
    let cut = ["${ifs", "$ifs"].iter().filter_map(|ifs| text.find(ifs)).min();
    let end = end.unwrap_or(text.len()).min(cut.unwrap_or(usize::MAX));
    let (word, rest) = text.split_at_checked(end)?;
    let word = word.trim_end_matches(['/', '\\']);
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let mut bent = cut == Some(end) || rest.starts_with(',') && text.contains('}') || rest.starts_with('<');
    let path = word.rsplit('/').next().unwrap_or(word);
    let path = path.rsplit('\\').next().filter(|_| word.contains(":\\") || word.contains("\\\\")).unwrap_or(path);
    let bare: String = path
        .replace("$@", "")
        .replace("$*", "")
        .replace("$()", "")
        .chars()
        .filter(|letter| !matches!(letter, '\'' | '"' | '\\' | '^'))
        .collect();
    bent |= bare != path && bare.len() >= 2 && path.trim_matches(['\'', '"']).len() != bare.len();
    // `/b??/c?t`
    let globs = word.bytes().filter(|byte| matches!(byte, b'?' | b'*')).count();
    let globbed = word.starts_with('/') && globs >= 1 && word.matches('/').count() >= 2 && !word.contains(['=', '.']);
    bent |= globbed;
    let name = if globbed {
        "cat".to_owned()
    } else {
        bare.trim_end_matches([',', '(']).split('(').next().unwrap_or_default().to_owned()
    };
    Some((Program { name, bent }, rest.trim_start_matches("${ifs}").trim_start_matches("$ifs$9").trim_start()))
}

/// A command line without what shells drop: quotes and backslashes inside words, empty expansions, `${ifs}`. `None`
/// when nothing of it is there.
pub(super) fn straight(text: &str) -> Option<String> {
    if memchr::memchr3(b'$', b'\\', b'^', text.as_bytes()).is_none()
        && memchr::memchr3(b'\'', b'"', b'{', text.as_bytes()).is_none()
    {
        return None;
    }
    // Without a separator nothing was appended.
    if !text.contains([';', '|', '&', '\n', '`']) && !text.contains("$(") {
        return None;
    }
    let expands = text.contains(['$', '%']);
    let mut plain = text.to_owned();
    for (bent, straight) in [
        ("${ifs%??}", " "),
        ("${ifs}", " "),
        ("$ifs$9", " "),
        ("$ifs", " "),
        ("${path:0:1}", "/"),
        ("${home:0:1}", "/"),
        ("${pwd:0:1}", "/"),
        ("${path%%u*}", "/"),
        ("$()", ""),
        ("$@", ""),
        ("$*", ""),
        ("``", ""),
        ("${x}", ""),
        ("%programfiles:~10,-5%", " "),
        ("%0a", "\n"),
    ] {
        if expands && plain.contains(bent) {
            plain = plain.replace(bent, straight);
        }
    }
    let bytes = plain.as_bytes();
    let letter = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at)).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'/')
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (before, after) = (letter(at.checked_sub(1)), letter(Some(at + 1)));
        let next = bytes.get(at + 1);
        let pair = matches!(byte, b'\'' | b'"') && next == Some(byte);
        match byte {
            // `w""hoami`, `wh''oami`
            b'\'' | b'"' if pair && (before || letter(Some(at + 2))) => at += 1,
            // `c'a't`, `/e't'c`
            b'\'' | b'"' if before && after => {}
            b'\\' | b'^' if after && (before || *byte == b'^') => {}
            // `c$1at`, `c$uat` is not told from a variable.
            b'$' if before && next.is_some_and(u8::is_ascii_digit) && letter(Some(at + 2)) => at += 1,
            _ => out.push(*byte),
        }
        at += 1;
    }
    let out = String::from_utf8(out).ok()?;
    (out != text).then_some(out)
}
