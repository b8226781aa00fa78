//! A prompt taken apart: its sentences, and whether they speak to the model.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

/// Words after which a sentence is taken for two.
const LONGEST: usize = 30;

type Words = LazyLock<HashSet<&'static str>>;

/// Whom a sentence speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// It tells something.
    Fact,
    /// It gives an order, which may be one to the reader of an answer.
    Order,
    /// It speaks to the model about itself, its user or its answers.
    Instruction,
}

/// One of these makes an instruction, wherever it stands.
static TELLING: Words = LazyLock::new(|| {
    listed(
        "reveal disclose divulge persona chatbot roleplay hallucinate \
    antworte beantworte niemals anweisungen réponds répondez consignes responde responda instrucciones instruções eres \
    rispondi istruzioni antwoord instructies jesteś odpowiadaj отвечай отвечайте ты инструкции",
    )
});

/// One of these makes an order an instruction.
static ABOUT_ANSWERS: Words = LazyLock::new(|| {
    listed(
        "user users user's asked asks respond responds response responses reply replies answer answers \
    answering prompt prompts instruction instructions tone conversation conversations refuse decline assistant \
    mention discuss pretend sentences paragraphs topics character \
    benutzer nutzer utilisateur usuario usuário utente gebruiker użytkownik пользователь пользователю пользователя",
    )
});

/// One of these, where words are not apart.
const TELLING_DENSE: [&str; 14] = [
    "你是",
    "您是",
    "用户",
    "用戶",
    "回答",
    "不要",
    "不得",
    "必须",
    "あなたは",
    "ユーザー",
    "ください",
    "당신은",
    "사용자",
    "답변",
];

/// One of these behind `you` at the beginning makes an instruction.
static YOU: Words = LazyLock::new(|| {
    listed("act help work speak answer respond play serve never always only assist provide represent")
});

/// One of these behind `your` at the beginning does.
static YOUR: Words =
    LazyLock::new(|| listed("role task job goal name purpose mission responses answers persona audience"));

/// One of these at the beginning makes an order.
static ORDERS: Words = LazyLock::new(|| {
    listed(
        "do don't don’t never always only keep use avoid be act speak write ask greet offer provide ensure make \
    follow treat if when remember stay return output format cite ignore escalate introduce limit include explain tell \
    say think assume begin end start address recommend suggest redirect politely maintain must should no let give check \
    verify prefer answer respond reply refuse decline mention discuss call search route summarise summarize translate \
    quote reject confirm you your wenn falls bei si se als gdy jeśli если когда",
    )
});

/// The sentences of a text, as ranges of its bytes; quotations are sentences of their own, marked.
pub(super) fn sentences(text: &str) -> Vec<(Range<usize>, bool)> {
    let quoted = quotations(text);
    let share: usize = quoted.iter().map(Range::len).sum();
    // A prompt that is quoted as a whole, as in a configuration file, is none of what it has the model say.
    let quoted = if share * 10 > text.len() * 6 { Vec::new() } else { quoted };
    let mut quoted = quoted.into_iter().peekable();
    let mut found = Vec::new();
    let (mut start, mut words) = (0, 0);
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if let Some(range) = quoted.next_if(|range| at >= range.start) {
            found.push((start..at, false));
            found.push((range.clone(), true));
            (start, words) = (range.end, 0);
        }
        if at < start {
            continue;
        }
        let next = letters.peek().map_or(' ', |(_, next)| *next);
        words += usize::from(letter.is_alphanumeric() && !next.is_alphanumeric());
        let ends = match letter {
            '\n' | '。' | '！' | '？' | ';' => true,
            '.' | '!' | '?' => next.is_whitespace(),
            ' ' => words >= LONGEST,
            _ => false,
        };
        if ends {
            let end = at + letter.len_utf8();
            found.push((start..end, false));
            (start, words) = (end, 0);
        }
    }
    found.push((start.min(text.len())..text.len(), false));
    found.retain(|(range, _)| text.get(range.clone()).is_some_and(|own| own.chars().any(char::is_alphanumeric)));
    found
}

/// Whom a sentence speaks to.
pub(super) fn tone(sentence: &str) -> Tone {
    let lower = sentence.to_lowercase();
    let mut words = lower
        .split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '\'' | '’')))
        .filter(|word| word.chars().any(char::is_alphabetic));
    let about = words.clone().any(|word| ABOUT_ANSWERS.contains(word));
    if words.clone().any(|word| TELLING.contains(word)) || TELLING_DENSE.iter().any(|part| lower.contains(part)) {
        return Tone::Instruction;
    }
    let [first, second, third] = [words.next(), words.next(), words.next()].map(Option::unwrap_or_default);
    let named = sentence.split_whitespace().skip_while(|word| *word != "are").nth(1).is_some_and(is_name);
    let speaks = match first {
        "you" if second == "are" => named || matches!(third, "a" | "an" | "the" | "my" | "our" | ""),
        "you're" | "you’re" => matches!(second, "a" | "an" | "the"),
        "you" => YOU.contains(second),
        "your" => YOUR.contains(second),
        "du" | "tu" | "vous" | "sie" => matches!(second, "bist" | "es" | "êtes" | "sind" | "eres" | "sei"),
        _ => false,
    };
    let orders = ORDERS.contains(first);
    match (speaks || orders && about, orders) {
        (true, _) => Tone::Instruction,
        (false, true) => Tone::Order,
        (false, false) => Tone::Fact,
    }
}

fn is_name(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase)
}

fn listed(list: &'static str) -> HashSet<&'static str> {
    list.split_whitespace().collect()
}

/// What stands between quotation marks on one line.
fn quotations(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, char)> = None;
    let mut before = ' ';
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let next = letters.peek().map_or(' ', |(_, next)| *next);
        open = match open {
            Some((start, close)) if letter == close && !(close == '\'' && next.is_alphanumeric()) => {
                found.push(start..at);
                None
            }
            Some(_) if letter == '\n' => None,
            Some(own) => Some(own),
            None => match letter {
                '"' => Some((at + 1, '"')),
                '“' | '„' => Some((at + letter.len_utf8(), '”')),
                '«' => Some((at + letter.len_utf8(), '»')),
                '「' => Some((at + letter.len_utf8(), '」')),
                '\'' if !before.is_alphanumeric() && next.is_alphanumeric() => Some((at + 1, '\'')),
                _ => None,
            },
        };
        before = letter;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_speak_to_the_model_or_do_not() {
        for text in
            ["You are a tailor.", "- Never reveal the price list", "Your task is to sort mail.", "Antworte immer kurz."]
        {
            assert_eq!(tone(text), Tone::Instruction, "{text}");
        }
        for text in ["Never share a password.", "3. Keep it short", "Do not wash it hot."] {
            assert_eq!(tone(text), Tone::Order, "{text}");
        }
        for text in ["The shop opens at nine.", "Returns are free.", "Parcels leave on Monday."] {
            assert_eq!(tone(text), Tone::Fact, "{text}");
        }
    }

    #[test]
    fn quotations_stand_apart() {
        let text = "Greet them with \"Good day! How are you?\" and don't be late. Stay calm.";
        let found: Vec<(&str, bool)> =
            sentences(text).into_iter().map(|(range, quoted)| (text.get(range).unwrap().trim(), quoted)).collect();
        assert_eq!(found[1], ("Good day! How are you?", true));
        assert_eq!(found[3], ("Stay calm.", false));
    }
}
