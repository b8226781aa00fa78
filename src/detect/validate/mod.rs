//! Checks on matched text that a pattern cannot express. A rule's `validate` names one of these, or a list of them.
//!
//! `entropy(x)` passes when the match's longest run of key characters has at least `x` bits per character (Shannon).
//! The others are in [`CHECKS`], each with what it asks for beside its function.

mod bank;
mod europe;
mod literal;
mod number;
mod people;
mod secret;
mod wallet;

/// One check.
#[derive(Debug, Clone, Copy)]
pub enum Validator {
    /// At least so many bits per character.
    Entropy(f32),
    /// A check without a parameter.
    Named(&'static Check),
}

/// A check without a parameter.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    name: &'static str,
    /// Whether it is a checksum: then a match is worth a check at every end.
    checksum: bool,
    passes: fn(&[u8]) -> bool,
}

const fn checksum(name: &'static str, passes: fn(&[u8]) -> bool) -> Check {
    Check { name, checksum: true, passes }
}

const fn form(name: &'static str, passes: fn(&[u8]) -> bool) -> Check {
    Check { name, checksum: false, passes }
}

/// Every check by name, sorted by what it is about.
static CHECKS: [Check; 57] = [
    // Any number.
    checksum("luhn", number::luhn),
    checksum("verhoeff", number::verhoeff),
    checksum("mod11_10", number::mod11_10),
    // Secrets.
    form("credential", literal::credential),
    form("random_value", literal::random_value),
    form("userinfo", literal::userinfo),
    form("mixed", secret::mixed),
    form("not_placeholder", secret::not_placeholder),
    // Machines.
    form("ipv4", number::ipv4),
    form("public_ipv4", number::public_ipv4),
    form("public_ipv6", number::public_ipv6),
    // Money.
    checksum("aba", bank::aba),
    checksum("iban", bank::iban),
    checksum("card", bank::card),
    checksum("base58check", wallet::base58check),
    checksum("bech32", wallet::bech32),
    // People, by country.
    checksum("nhs", people::nhs),
    form("ssn", people::ssn),
    form("phone", people::phone),
    form("nino", people::nino),
    checksum("cpf", people::cpf),
    checksum("cnpj", people::cnpj),
    checksum("cuit", people::cuit),
    checksum("rut", people::rut),
    checksum("curp", people::curp),
    checksum("tfn", people::tfn),
    checksum("abn", people::abn),
    checksum("medicare_au", people::medicare_au),
    checksum("cn_id", people::cn_id),
    form("kr_rrn", people::kr_rrn),
    checksum("jp_my_number", people::jp_my_number),
    checksum("sg_nric", people::sg_nric),
    checksum("tw_id", people::tw_id),
    checksum("hk_id", people::hk_id),
    checksum("th_id", people::th_id),
    checksum("za_id", people::za_id),
    checksum("gstin", people::gstin),
    checksum("vin", people::vin),
    checksum("tckn", europe::tckn),
    checksum("bsn", europe::bsn),
    checksum("nir", europe::nir),
    checksum("dni", europe::dni),
    checksum("codice_fiscale", europe::codice_fiscale),
    checksum("pesel", europe::pesel),
    checksum("personnummer", europe::personnummer),
    checksum("hetu", europe::hetu),
    checksum("fodselsnummer", europe::fodselsnummer),
    form("cpr", europe::cpr),
    checksum("rijksregister", europe::rijksregister),
    checksum("ahv", europe::ahv),
    checksum("cnp", europe::cnp),
    checksum("egn", europe::egn),
    checksum("rodne_cislo", europe::rodne_cislo),
    checksum("isikukood", europe::isikukood),
    checksum("nif_pt", europe::nif_pt),
    checksum("snils", europe::snils),
    checksum("inn", europe::inn),
];

impl Validator {
    /// Reads a check's name, with its parameter.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(bits) = text.strip_prefix("entropy(").and_then(|rest| rest.strip_suffix(')')) {
            return match bits.trim().parse::<f32>() {
                Ok(bits) if (0.0..=8.0).contains(&bits) => Ok(Self::Entropy(bits)),
                Ok(_) | Err(_) => Err(format!("entropy takes bits per character from 0 to 8, not `{bits}`")),
            };
        }
        CHECKS.iter().find(|check| check.name == text).map(Self::Named).ok_or_else(|| {
            let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
            format!("unknown check `{text}`; known are entropy(x), {}", names.join(", "))
        })
    }

    /// Whether `matched` passes.
    pub fn passes(self, matched: &[u8]) -> bool {
        match self {
            Self::Entropy(least) => secret::entropy(matched) >= least,
            Self::Named(check) => (check.passes)(matched),
        }
    }

    /// Whether it is a checksum: then every end a match can have is tried, the longest first. Any other check judges
    /// the longest match alone, as a shorter one would slip past it.
    pub(super) const fn is_checksum(self) -> bool {
        match self {
            Self::Entropy(_) => false,
            Self::Named(check) => check.checksum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(check: &str, text: &str) -> bool {
        Validator::parse(check).unwrap().passes(text.as_bytes())
    }

    /// For each check: texts that pass, texts that do not.
    const CASES: &[(&str, &[&str], &[&str])] = &[
        ("luhn", &["4111 1111 1111 1111"], &["4111 1111 1111 1112", "0000 0000 0000 0000"]),
        ("verhoeff", &["2363"], &["2364", "0000"]),
        ("card", &["4539 5787 6362 1486"], &["4539 5787 6362 1487"]),
        ("iban", &["GB82 WEST 1234 5698 7654 32"], &["GB82 WEST 1234 5698 7654 33"]),
        ("aba", &["021000021"], &["021000022"]),
        ("nhs", &["943 476 5919"], &["943 476 5918"]),
        (
            "ssn",
            &["536-22-1234"],
            &["000-22-1234", "666-22-1234", "900-22-1234", "536-00-1234", "536-22-0000", "078-05-1120"],
        ),
        ("nino", &["AB123456C", "JG 10 37 59 A"], &["BG123456A", "DA123456B", "AO123456A"]),
        ("cpf", &["529.982.247-25"], &["529.982.247-26", "111.111.111-11"]),
        ("cnpj", &["11.222.333/0001-81"], &["11.222.333/0001-82"]),
        ("cuit", &["20-12345678-6"], &["20-12345678-7"]),
        ("rut", &["12.345.678-5", "30.686.957-4"], &["12.345.678-6"]),
        ("curp", &["BOXW310820HNERXN09"], &["BOXW310820HNERXN08"]),
        ("tfn", &["123 456 782"], &["123 456 789"]),
        ("abn", &["51 824 753 556"], &["51 824 753 557"]),
        ("medicare_au", &["2123 45670 1"], &["2123 45671 1"]),
        ("cn_id", &["11010519491231002X"], &["110105194912310021", "11010519491331002X"]),
        ("kr_rrn", &["900101-1234567"], &["901301-1234567"]),
        ("jp_my_number", &["123456789018"], &["123456789012"]),
        ("sg_nric", &["S1234567D", "G1234567X"], &["S1234567E"]),
        ("tw_id", &["A123456789"], &["A123456780"]),
        ("hk_id", &["A123456(3)", "G123456(A)"], &["A123456(4)"]),
        ("th_id", &["1-1017-00230-70-8"], &["1-1017-00230-70-7"]),
        ("za_id", &["8001015009087"], &["8001015009088"]),
        ("gstin", &["27AAPFU0939F1ZV"], &["27AAPFU0939F1ZW"]),
        ("vin", &["1HGCM82633A004352"], &["1HGCM82633A004353"]),
        ("tckn", &["10000000146"], &["10000000147"]),
        ("bsn", &["111222333"], &["111222334"]),
        ("nir", &["1 84 12 76 451 089 46"], &["1 84 12 76 451 089 47"]),
        ("dni", &["12345678Z", "X1234567L"], &["12345678A"]),
        ("codice_fiscale", &["RSSMRA85T10A562S"], &["RSSMRA85T10A562T"]),
        ("pesel", &["44051401359"], &["44051401358"]),
        ("personnummer", &["811218-9876", "19811218-9876"], &["811218-9877"]),
        ("hetu", &["131052-308T"], &["131052-308U"]),
        ("fodselsnummer", &["01010750160"], &["01010750161"]),
        ("cpr", &["070761-4285"], &["320761-4285"]),
        ("rijksregister", &["85.07.30-033.28"], &["85.07.30-033.29"]),
        ("ahv", &["756.9217.0769.85"], &["756.9217.0769.84"]),
        ("cnp", &["1800101221144"], &["1800101221145"]),
        ("egn", &["7523169263"], &["7523169264"]),
        ("rodne_cislo", &["736028/5163"], &["736028/5164"]),
        ("isikukood", &["37605030299"], &["37605030298"]),
        ("nif_pt", &["123456789"], &["123456788"]),
        ("mod11_10", &["86095742719"], &["86095742718"]),
        ("snils", &["112-233-445 95"], &["112-233-445 96"]),
        ("inn", &["7707083893", "500100732259"], &["7707083894"]),
        ("base58check", &["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"], &["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3"]),
        ("bech32", &["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"], &["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"]),
        ("public_ipv4", &["8.8.8.8"], &["192.168.1.1", "300.1.1.1"]),
        ("ipv4", &["10.0.0.1"], &["300.1.1.1"]),
        ("public_ipv6", &["2a00:1450:4001:81b::200e"], &["fe80::1", "2001:db8::1", "::1", "12:30:45"]),
        ("entropy(3.5)", &["key = 'q8Zt1LmX0vBn4RsPw7Kd'"], &["key = 'aaaaaaaabbbbbbbb'"]),
        (
            "not_placeholder",
            &["AKIAQ3EGRT5ZXW2LMN7P"],
            &["AKIAIOSFODNN7EXAMPLE", "sk-xxxxxxxxxxxxxxxxxxxx", "sk-abcdefgh12345678"],
        ),
    ];

    #[test]
    fn checks_tell_real_texts_from_others() {
        for (check, good, bad) in CASES {
            good.iter().for_each(|text| assert!(passes(check, text), "{check} refuses {text}"));
            bad.iter().for_each(|text| assert!(!passes(check, text), "{check} takes {text}"));
        }
    }

    #[test]
    fn unknown_checks_are_refused() {
        assert!(Validator::parse("entropy(9)").is_err());
        assert!(Validator::parse("lunh").is_err());
    }
}
