//! Line breaks that add headers, server-side includes, and addresses that mislead a server or a browser.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};

/// Whether a reading of a value misleads a server.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    headers(value, text).max(includes(text)).max(address(value, text)).max(tools(value, text))
}

/// A decoded line break, then a header or a second message.
fn headers(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if value.place == Place::Whole && split_message(value.written) {
        return Some(Likely);
    }
    let encoded = value.written.contains(['%', '\\', '&']) && !value.written.contains('\n');
    if !encoded && value.place != Place::Field {
        return None;
    }
    const MAIL: [&str; 16] = [
        "quit",
        "data",
        "helo ",
        "ehlo ",
        "rset",
        "noop",
        "stat",
        "retr ",
        "auth ",
        "capability",
        "vrfy ",
        "expn ",
        "dele ",
        "a1 ",
        "a001 ",
        "starttls",
    ];
    const NAMES: [&str; 24] = [
        "set-cookie",
        "location:",
        "content-length",
        "content-type",
        "transfer-encoding",
        "http/1",
        "host:",
        "x-",
        "refresh:",
        "link:",
        "access-control",
        "cookie:",
        "content-disposition",
        "connection:",
        "to:",
        "bcc:",
        "cc:",
        "rcpt to",
        "mail from",
        "subject:",
        "get /",
        "post /",
        "<script",
        "header",
    ];
    if !text.contains(['\r', '\n', '\\', '嘊', '嘍']) {
        return None;
    }
    let text = text.replace("\\r", "\r").replace("\\n", "\n").replace(['嘊', '嘍'], "\n");
    let mut breaks = text.match_indices(['\r', '\n']).take(12);
    let found = breaks.any(|(at, _)| {
        let after = text.get(at..).unwrap_or_default().trim_start();
        let name = after.split(':').next().unwrap_or_default();
        let header = after.contains(':')
            && name.len() <= 32
            && name.contains('-')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let line = after.lines().next().unwrap_or_default().trim();
        let mail =
            encoded && MAIL.iter().any(|own| if own.ends_with(' ') { line.starts_with(own) } else { line == *own });
        let field = encoded && (1..=3).contains(&name.len()) && name.starts_with("x") && after.contains(": ");
        NAMES.iter().any(|name| after.starts_with(name)) || header && encoded || mail || field
    });
    // Any header behind a line break that an address carries.
    let breaks = text.match_indices(['\r', '\n']).take(12);
    let planted = encoded
        && value.place == Place::Field
        && !value.spoken_in
        && breaks.into_iter().any(|(at, _)| {
            let line = text.get(at..).unwrap_or_default().trim_start().lines().next().unwrap_or_default();
            line.split_once(": ").is_some_and(|(name, rest)| {
                (2..=24).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    && !rest.trim().contains(' ')
            })
        });
    let only = encoded && text.trim().is_empty() && value.written.len() < 40;
    let double = value.place == Place::Field && encoded && text.contains("\r\n\r\n<");
    (found || only || double || planted).then_some(if found { Certain } else { Likely })
}

/// A short value, then a line that begins a header or an answer.
fn split_message(text: &str) -> bool {
    let Some((first, rest)) = text.split_once("\r\n") else { return false };
    let rest = rest.trim_start().to_ascii_lowercase();
    let starts = ["set-cookie:", "location:", "content-length:", "content-type:", "http/1.", "<html", "<script"];
    first.len() <= 40
        && !first.contains([':', '{', '<'])
        && !first.contains("HTTP/")
        && starts.iter().any(|own| rest.starts_with(own))
}

/// `<!--#exec`, `<esi:include`.
fn includes(text: &str) -> Option<Confidence> {
    if !text.contains('<') {
        return None;
    }
    let flat = text.replace(' ', "");
    ["<!--#", "<!#", "<esi:", "<#exec", "<!--esi"].iter().any(|part| flat.contains(part)).then_some(Certain)
}

/// An address of the machine itself, of the cloud's metadata, or one that hides where it leads.
fn address(value: &Value<'_>, text: &str) -> Option<Confidence> {
    let text = text.trim();
    if text.contains(char::is_whitespace) {
        // `//%09/a.example`
        let slashes = ["//%09/", "//%0a/", "//%0d/", "/%09/", "/%5c"].iter().any(|part| value.written.contains(part));
        return (slashes && !value.written.contains(' ')).then_some(Likely);
    }
    let field = value.place == Place::Field;
    for metadata in [
        "169.254.169.254",
        "metadata.google.internal",
        "100.100.100.200",
        "metadata.tencentyun",
        "169.254.170.2",
        "instance-data/",
        "metadata.azure",
        "metadata/identity",
        "192.0.0.192",
        "metadata.packet",
        "/latest/meta-data",
        "0xa9fea9fe",
        "2852039166",
        "fd00:ec2::254",
    ] {
        if text.contains(metadata) {
            return Some(if field { Certain } else { Likely });
        }
    }
    const SCHEMES: [&str; 12] = [
        "gopher://",
        "dict://",
        "jar:http",
        "netdoc:",
        "ldap://",
        "ldaps://",
        "rmi://",
        "tftp://",
        "sftp://",
        "local_file:",
        "unix:",
        "smb://",
    ];
    if let Some(scheme) = SCHEMES.iter().find(|scheme| text.contains(**scheme)) {
        let usual = ["ldap://", "ldaps://", "sftp://", "smb://", "unix:"].contains(scheme);
        return if field { Some(if usual { Likely } else { Certain }) } else { (!usual).then_some(Likely) };
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((
            scheme @ ("http" | "https" | "ftp" | "//http" | "/http" | "/https" | "url=http" | "url=https"),
            rest,
        )) => (scheme, rest),
        _ if text.starts_with("//")
            || text.starts_with("/\\")
            || text.starts_with("\\/")
            || text.starts_with("\\\\") && is_share(text)
            || text.starts_with("/http") =>
        {
            ("", text)
        }
        _ => return None,
    };
    let slashes = rest.bytes().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    let authority = rest.trim_start_matches(['/', '\\']);
    let authority = authority.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // Letters that a resolver takes for digits and dots.
    let odd_letters = authority.contains(['。', '．', '｡', '①', '⑦', '⓪', '②'])
        || authority.chars().any(|letter| ('\u{2460}'..='\u{24ff}').contains(&letter));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let bare = host.trim_start_matches('[').split(']').next().unwrap_or_default();
    let name = if host.starts_with('[') { bare } else { bare.split(':').next().unwrap_or_default() };
    let numeric = !name.is_empty()
        && name.split('.').all(|part| {
            !part.is_empty()
                && (part.starts_with("0x") && part.len() > 2 || part.bytes().all(|byte| byte.is_ascii_digit()))
        });
    let odd_number = numeric
        && (name.split('.').count() != 4
            || name.split('.').any(|part| {
                part.len() > 3
                    || part.parse::<u32>().is_ok_and(|number| number > 255)
                    || part.starts_with('0') && part.len() > 1
            }));
    let mapped = host.starts_with('[')
        && (name.contains("ffff:") || name == "::" || name == "::1" || name.contains('.') || name.starts_with("0:0"));
    let local = matches!(name, "localhost" | "0.0.0.0" | "127.1" | "0" | "::1" | "127.0.1" | "localtest.me")
        || name.starts_with("127.")
        || name.ends_with(".nip.io")
        || name.ends_with(".xip.io")
        || name.ends_with(".sslip.io");
    let rebinds = [".nip.io", ".xip.io", ".sslip.io", "localtest.me", ".lvh.me"].iter().any(|end| name.ends_with(end))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    let private = name.starts_with("10.")
        || name.starts_with("192.168.")
        || name.starts_with("172.16.")
        || name.starts_with("169.254.");
    let slash_trick = !scheme.is_empty() && slashes != 2
        || scheme.is_empty() && (slashes >= 3 || rest.starts_with("/\\") || rest.starts_with("\\"));
    let climbs = text.ends_with("/..") || text.ends_with("/../") || text.ends_with("..%2f");
    let disguised = text.contains("\\@")
        || text.contains("#@")
        || authority.contains('@')
            && (authority.starts_with("www.")
                || authority.matches('@').count() > 1
                || authority.contains('\\')
                || authority.split('@').next().is_some_and(|user| user.contains('.') || user.contains('#')));
    let relative = scheme.is_empty() && text.starts_with("//") && name.contains('.') && !name.ends_with(".js");
    let remote_script = field
        && [".php", ".txt?", ".phtml", "shell", "/c99", "/r57", "cmd.", ".asp?"].iter().any(|end| text.contains(end))
        && !name.is_empty()
        && !scheme.is_empty()
        && !value.name.contains("target");
    let wrapped = matches!(scheme, "//http" | "/http" | "/https") || text.starts_with("//http");
    let escaped = value.written.contains('%')
        && value
            .written
            .to_ascii_lowercase()
            .split("://")
            .nth(1)
            .is_some_and(|own| own.split('/').next().is_some_and(|own| own.matches('%').count() >= 3));
    match () {
        () if odd_number || odd_letters || mapped || rebinds || disguised || escaped => {
            Some(if field { Certain } else { Likely })
        }
        () if (slash_trick || wrapped) && (name.contains('.') || field) && !name.is_empty() => Some(Likely),
        () if climbs && name.contains('.') => Some(Likely),
        () if field && !value.name.is_empty() && (local || private && slashes >= 2) && !scheme.is_empty() => {
            Some(Likely)
        }
        () if field && relative && !value.name.is_empty() => Some(Likely),
        () if field && !value.name.is_empty() && !value.spoken_in && numeric && slashes == 2 && !scheme.is_empty() => {
            Some(Likely)
        }
        () if field && !value.name.is_empty() && host.starts_with("[f") && !scheme.is_empty() => Some(Likely),
        () if remote_script => Some(Likely),
        () => None,
    }
}

/// `\\host.example\a`, `\\10.0.0.1\c$`: more than an escape, or the name of a share at home.
fn is_share(text: &str) -> bool {
    let rest = text.trim_start_matches('\\');
    let host = rest.split(['\\', '/']).next().unwrap_or_default();
    host.contains('.') && host.len() < rest.len() || text.contains("$\\") || host == "?" || host == "localhost"
}

/// Programs that scan sites, by the name they give themselves.
fn tools(value: &Value<'_>, text: &str) -> Option<Confidence> {
    const SCANNERS: &[&str] = &[
        "sqlmap",
        "nikto",
        "acunetix",
        "nessus",
        "w3af",
        "dirbuster",
        "gobuster",
        "masscan",
        "nmap scripting",
        "zmeu",
        "havij",
        "jorgee",
        "wpscan",
        "arachni",
        "openvas",
        "netsparker",
        "burpsuite",
        "burpcollaborator",
        "webinspect",
        "nuclei",
        "ffuf/",
        "feroxbuster",
        "zgrab",
        "whatweb",
        "joomscan",
        "skipfish",
        "hydra",
        "metis",
        "morfeus",
        "paros",
        "brutus",
        "absinthe",
        "grendel-scan",
        "pangolin",
        "springenwerk",
        "sqlninja",
        "vega/",
        "whatwaf",
        "xsser",
        "dotdotpwn",
        "commix",
        "fimap",
        "bsqlbf",
        "webshag",
        "datacha0s",
        "core-project/1.0",
        "cgichk",
        "jaeles",
        "interactsh",
        "oast.",
    ];
    let header = value.place == Place::Field && (value.name == "user-agent" || value.name.contains("agent"));
    (header && SCANNERS.iter().any(|name| text.contains(name))).then_some(Likely)
}
