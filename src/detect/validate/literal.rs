//! Whether what is assigned to a name such as `db_password` is a secret, or something that only stands for one.

use super::secret::{bits, is_wild, not_placeholder, odd_pairs};

/// Parts of a name that say it names no secret, but something about one: `token_type`, `passwordField`.
const ABOUT: &str = "\
    name names id ids url uri urls path paths file files filename type types length len size count counts expiry \
    expires expiration expired ttl header headers field fields param params regex pattern policy prefix suffix label \
    hint placeholder error errors message ref reference arn version endpoint limit limits max min usage reset \
    strength format input column index manager provider handler class validator algorithm alg method mode enabled \
    required env selector location dir bucket description title created updated at date time timeout rotation engine \
    backend issuer audience scope scopes source template generator utils helper factory button form page view \
    component public changed verified valid alias family spec usages rules encoder store vault management status \
    state model cost price budget embedding symbol address contract metadata hash digest checksum sha fingerprint \
    image namespace group role user username email host port domain";
/// What a name that names a secret begins with; the rules say what may stand before.
const KEYWORDS: &str = "\
    password passwd passwort passphrase passcode pass pwd psw psk pre preshared presharedkey secure secret token credential credentials cred creds bearer \
    salt identified api access account auth private master encrypt encryption sign signing license licence consumer app \
    application storage shared subscription instrumentation integration routing crypt crypto cipher aes hmac jwt session \
    cookie webhook deploy client service admin user write server db map maps project security contrase contrasena senha \
    kennwort mot motdepasse wachtwoord parola sharedaccess";
/// What may be glued to a name in lower case.
const GLUED: &str = "\
    s key keys value base text string phrase prod dev test id";
/// Words that values without a secret are made of: the names of secrets, and what is written where one is missing.
const PLAIN: &str = "\
    a abc access account admin an api app auth authorization base basic bearer change changed changeit changeme \
    client code config confirm confirmation credential credentials current data database db default demo dev \
    disabled dummy empty enabled encrypted enter env example false field file foo bar foobar forgot from generated \
    github google guest hash hashed hello here hidden id in input invalid is it jwt key keys local localhost login \
    long masked me missing mock my mysql name new nil no none not null nullptr number oauth object of old optional \
    or param pass passphrase passwd password passwords placeholder postgres private prod production public put pwd \
    random redis refresh replace required reset root salt sample secret secrets server service session set show some \
    something str string strong super temp test testing text that the this to todo token tokens true type undefined \
    unknown user username value var variable void wrong yes your stringr fake bytes char const let self request \
    response options props args stdin prompt raw plain plaintext xxx xxxx yyy zzz optionalstring sensitive any";
/// What values that stand for a secret elsewhere contain, in lower case.
const ELSEWHERE: &str = "\
    ${ {{ }} <% %> #{ $( %( getenv process.env os.environ env[ env. env( secrets. vault: arn:aws secretsmanager \
    keyvault ssm: !ref !sub enc[ enc( lookup( valuefrom secretkeyref :// input( prompt( config. settings. props. \
    var. local. data. self. this. ref+ op:// file: base64, $env: %env system. ... *** xxx";
/// Ends of file names.
const FILES: &str = "\
    .pem .key .json .txt .crt .cer .yaml .yml .jks .p12 .pfx .env .js .ts .py .go .java .html .md .php .rb .conf \
    .cfg .ini .xml .pub .sh .css";

/// Whether any word of a list is so.
fn any(list: &'static str, is_so: impl Fn(&'static str) -> bool) -> bool {
    list.split_ascii_whitespace().any(is_so)
}

/// The match is a name, signs of assignment and a value that is a secret written out. The name begins with the word
/// that says what it names: values of passwords may be shorter and simpler than those of keys and tokens.
pub(super) fn credential(text: &[u8]) -> bool {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let named = text.iter().position(|byte| !in_name(byte)).unwrap_or(text.len());
    let Some((name, rest)) = text.split_at_checked(named) else { return false };
    let (value, quoted) = value(rest);
    if rest.starts_with(b"::") || is_words(value) {
        return false;
    }
    let Some(password) = names_secret(name) else { return false };
    is_secret(value, quoted, password, &rest.to_ascii_lowercase())
}

/// The longest run of key characters of the match is no word, path or name, but random.
pub(super) fn random_value(text: &[u8]) -> bool {
    let in_value = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/_.~%-".contains(byte);
    let longest = text.split(|byte| !in_value(byte)).max_by_key(|run| run.len()).unwrap_or_default();
    is_secret(longest, true, false, b"")
}

/// The match ends in a password: of an address, between the `:` behind its user and `@`, or of a command, its last word
/// or what stands behind the user's name and `:` in it.
pub(super) fn userinfo(text: &[u8]) -> bool {
    let address = memchr::memmem::find(text, b"://").map(|at| at + 3);
    let own = match (address, text.iter().rposition(|byte| *byte == b'@')) {
        (Some(from), Some(to)) if from < to => text.get(from..to).unwrap_or_default(),
        _ => {
            let is_gap = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`|".contains(byte);
            let open = text.iter().rposition(|byte| !is_gap(byte)).map_or(0, |at| at + 1);
            let piped = memchr::memchr(b'|', text.get(..open).unwrap_or_default()).unwrap_or(open);
            let before = text.get(..piped).unwrap_or_default();
            let open = before.iter().rposition(|byte| !is_gap(byte)).map_or(0, |at| at + 1);
            let begins = before.get(..open).unwrap_or_default().iter().rposition(is_gap).map_or(0, |at| at + 1);
            before.get(begins..open).unwrap_or_default()
        }
    };
    let word = own.strip_prefix(b"-p").unwrap_or(own);
    let password = word.splitn(2, |byte| *byte == b':').nth(1).unwrap_or(word);
    is_secret(password, true, true, b"") && !password.starts_with(b"-") && !password.starts_with(b"$")
}

/// Letters that read as words, however joined: what stands behind the name of a secret in most texts.
fn is_words(value: &[u8]) -> bool {
    let ends = value.iter().rposition(|byte| !b"?!".contains(byte)).map_or(0, |at| at + 1);
    let value = value.get(..ends).unwrap_or_default();
    // A letter beyond ASCII is one of a word: passwords are hardly ever typed with them.
    value.iter().all(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii() || b"-_.,;:".contains(byte))
        && (!value.is_ascii() || !value.split(|byte| !byte.is_ascii_alphabetic()).any(is_random))
        && (!value.is_ascii() || !is_jumble(value))
}

/// What is assigned, without its quotes, and whether it had any.
fn value(rest: &[u8]) -> (&[u8], bool) {
    let is_quote = |byte: &u8| matches!(byte, b'"' | b'\'' | b'`');
    let joins = |byte: &u8| byte.is_ascii_whitespace() || b":=>,()]}\\\"'`".contains(byte);
    let open = rest.iter().rposition(|byte| !is_quote(byte)).map_or(0, |at| at + 1);
    let rest = rest.get(..open).unwrap_or_default();
    if let Some(at) = rest.iter().rposition(is_quote)
        && let Some(own) = rest.get(at + 1..)
        && own.first().is_some_and(|first| !joins(first))
    {
        return (own, true);
    }
    let worded = rest.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
    let last = rest.get(worded..).unwrap_or_default();
    let begins = last.iter().position(|byte| !joins(byte)).unwrap_or(last.len());
    (last.get(begins..).unwrap_or_default(), false)
}

/// Whether it is a password (`true`) or a key (`false`) that a name names; nothing when it names something else.
fn names_secret(name: &[u8]) -> Option<bool> {
    let lower = name.to_ascii_lowercase();
    let password =
        any("p _p wacht senha kenn contra mot identified securestring cred", |own| lower.starts_with(own.as_bytes()))
            && !lower.starts_with(b"priv")
            || lower.starts_with(b"parola");
    let parts = parts(name);
    let keyword = parts.first()?;
    let password = password || keyword.ends_with(b"pass");
    let known = keyword.ends_with(b"pass")
        || any(KEYWORDS, |own| {
            keyword
                .strip_prefix(own.as_bytes())
                .is_some_and(|rest| rest.is_empty() || any(GLUED, |glued| glued.as_bytes() == rest))
        });
    let about = parts.iter().skip(1).any(|part| any(ABOUT, |own| own.as_bytes() == part.as_slice()));
    (known && !about).then_some(password)
}

/// The words of a name, in lower case: at `_`, `-`, `.` and where capitals begin.
fn parts(name: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
    let mut before = b'A';
    for byte in name {
        let capital = byte.is_ascii_uppercase() && before.is_ascii_lowercase();
        if !byte.is_ascii_alphabetic() || capital {
            parts.push(Vec::new());
        }
        if byte.is_ascii_alphabetic()
            && let Some(last) = parts.last_mut()
        {
            last.push(byte.to_ascii_lowercase());
        }
        before = *byte;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_secret(value: &[u8], quoted: bool, password: bool, rest: &[u8]) -> bool {
    let ends = value.iter().rposition(|byte| !b";,.)]}\\:".contains(byte) || quoted).map_or(0, |at| at + 1);
    let value = value.get(..ends).unwrap_or_default();
    let lower = value.to_ascii_lowercase();
    let contains = |text: &[u8], word: &str| memchr::memmem::find(text, word.as_bytes()).is_some();
    let stands = any(ELSEWHERE, |word| contains(&lower, word)) || contains(rest, "getenv");
    if value.len() < if password { 6 } else { 8 } || stands || !not_placeholder(&lower) && !password {
        return false;
    }
    let word = |word: &&str| contains(&lower, word);
    let typed = ["example", "placeholder", "your_", "your-", "changeme", "change_me", "redacted"].iter().any(word);
    if typed || value.contains(&b' ') || is_path(&lower) || is_marked(value) || (!quoted && is_code(value)) {
        return false;
    }
    let runs: Vec<&[u8]> = value.split(|byte| !byte.is_ascii_alphanumeric()).filter(|run| !run.is_empty()).collect();
    let plain = runs.iter().all(|run| is_plain(run));
    if plain {
        return false;
    }
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let numbers = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let wild = runs.iter().any(|run| run.len() >= 5 && is_random(run));
    if password {
        let inner = value.split_last().map_or(value, |(_, rest)| rest);
        let strange = letters > 0 && (numbers > 0 || inner.iter().any(|byte| b"!@#$%^&*?+=~".contains(byte)));
        return strange || wild || letters == 0 && numbers >= 6 || is_jumble(value);
    }
    let long = runs.iter().map(|run| run.len()).max().unwrap_or(0);
    letters > 0 && bits(value) >= 2.7 && (wild && long >= 8 || numbers > 0 && wild && value.len() >= 12)
}

/// Made only of words that no secret is made of, with or without a few digits behind.
fn is_plain(run: &[u8]) -> bool {
    let letters: Vec<u8> = run.iter().filter(|byte| byte.is_ascii_alphabetic()).copied().collect();
    let behind = run.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    if letters.is_empty() || letters.len() + behind < run.len() || behind > 3 {
        return letters.is_empty() && run.len() < 6;
    }
    let known = |word: &[u8]| any(PLAIN, |own| own.as_bytes().eq_ignore_ascii_case(word));
    known(&letters) || parts(&letters).iter().all(|part| known(part)) || glues(&letters.to_ascii_lowercase(), 3)
}

/// Whether letters are up to so many plain words, glued.
fn glues(letters: &[u8], words: usize) -> bool {
    words > 0
        && any(PLAIN, |own| {
            own.len() >= 2
                && letters
                    .strip_prefix(own.as_bytes())
                    .is_some_and(|rest| rest.is_empty() || rest.len() >= 2 && glues(rest, words - 1))
        })
}

/// Whether letters and digits follow each other as in no name: they change often, or the letters are no words.
fn is_random(run: &[u8]) -> bool {
    let kind = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let changes = run
        .windows(2)
        .filter(|pair| {
            let [a, b] = pair else { return false };
            // A capital before small letters begins a word.
            kind(a) != kind(b) && !(a.is_ascii_uppercase() && b.is_ascii_lowercase())
        })
        .count();
    let letters: Vec<u8> = run.iter().filter(|byte| byte.is_ascii_alphabetic()).copied().collect();
    let digits = run.len() - letters.len();
    changes * 4 >= run.len() && (digits > 0 || changes * 3 >= run.len())
        || letters.len() >= 5 && is_wild(&letters)
        || digits >= 2 && changes >= 3
}

/// Letters whose case changes more often than in names, and that are few words' letters.
fn is_jumble(value: &[u8]) -> bool {
    let rises =
        value.windows(2).filter(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
    value.len() >= 8
        && value.iter().all(u8::is_ascii_alphabetic)
        && (rises.count() >= 2 || value.windows(2).any(|pair| pair.iter().all(u8::is_ascii_uppercase)))
        && odd_pairs(value) * 6 >= value.len()
}

/// Begins as a path does, or ends as the name of a file.
fn is_path(lower: &[u8]) -> bool {
    let begins = [&b"/"[..], b"./", b"../", b"~/", b"c:"].iter().any(|own| lower.starts_with(own));
    let dots = lower.iter().filter(|byte| **byte == b'/').count() >= 1 && !lower.iter().any(u8::is_ascii_digit);
    begins && dots || any(FILES, |own| lower.ends_with(own.as_bytes()))
}

/// Stands for something else by its first and last signs: `<token>`, `%TOKEN%`, `$TOKEN`, `[token]`, `__token__`.
fn is_marked(value: &[u8]) -> bool {
    match value {
        [b'<' | b'[' | b'{', ..] => true,
        [b'@' | b'!', rest @ ..] => rest.iter().all(|byte| byte.is_ascii_alphabetic() || b"._".contains(byte)),
        [b'$', next, ..] if next.is_ascii_alphabetic() || *next == b'_' => !value.iter().any(u8::is_ascii_lowercase),
        [b'$', ..] => false,
        [b'%', .., b'%'] | [b'_', b'_', .., b'_', b'_'] => true,
        _ => value.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_') && value.contains(&b'_'),
    }
}

/// Reads as code: a call, a path of names, a variable.
fn is_code(value: &[u8]) -> bool {
    let pieces: Vec<&[u8]> = value.split(|byte| matches!(byte, b'.' | b':')).collect();
    let is_name = |piece: &&[u8]| {
        piece.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && piece.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && !is_random(piece)
    };
    value.iter().any(|byte| b"()[]{}|".contains(byte))
        || memchr::memmem::find(value, b"->").is_some()
        || value.starts_with(b"$")
        || value.starts_with(b"-")
        || pieces.len() > 1 && pieces.iter().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::credential;

    #[test]
    fn literals_are_told_from_what_stands_for_them() {
        let secrets = [
            "password = \"Tr0ub4dor&3\"",
            "PASSWORD=winter2024",
            "password: hunter42x",
            "secret_key: 'q8Zt1LmX0vBn4Rs'",
            "token\": \"9f8e7d6c5b4a39281706f5e4\"",
            "Password string = \"zP4!kd0q\"",
            "password>kT6hfq1</",
            "pwd=Qz7-plokm",
            "API_KEY', 'u7Yt5Re3Wq1Az'",
            "passphrase: \"xkqjzwvb\"",
            "token=ab12cd34ef56gh78",
            "password=93817264",
        ];
        for text in secrets {
            assert!(credential(text.as_bytes()), "{text}");
        }
        let others = [
            "password = getPassword()",
            "password: str",
            "password = \"password\"",
            "PASSWORD=${DB_PASSWORD}",
            "secret: {{ vault_secret }}",
            "token = config.api_token",
            "password = \"Enter your password\"",
            "token_type: \"bearer2\"",
            "passwordField = \"input42\"",
            "secretName: my-app-tls-v2",
            "password = \"changeme1\"",
            "tokenizer = \"bert-base-v2\"",
            "secret = /run/secrets/db_pass",
            "key_file: server2.pem",
            "password = \"secret123\"",
            "token = process.env.TOKEN2",
            "PASSWORD=<password1>",
            "password = user_password2",
            "secret: us-east-1",
        ];
        for text in others {
            assert!(!credential(text.as_bytes()), "{text}");
        }
    }
}
