//! Paths that leave their directory, or name files of the system.

use super::Confidence::{self, Certain, Likely};
use super::carrier::{Place, Value};
use super::list::list;

list!(
    SENSITIVE,
    &[
        "etc/passwd",
        "etc/shadow",
        "etc/group",
        "etc/issue",
        "etc/hosts",
        "etc/motd",
        "etc/mysql",
        "etc/ssh/",
        "etc/sudoers",
        "etc/master.passwd",
        "etc/crontab",
        "proc/self/",
        "proc/version",
        "proc/cmdline",
        "proc/net/",
        "boot.ini",
        "win.ini",
        "system32/",
        "winnt/",
        "windows/system",
        "windows/repair",
        "windows/win",
        "sam.log",
        ".htaccess",
        ".htpasswd",
        "web.config",
        "wp-config",
        "id_rsa",
        ".ssh/",
        ".git/",
        ".svn/",
        ".bash_history",
        ".aws/credentials",
        ".env",
        "php.ini",
        "httpd.conf",
        "access.log",
        "access_log",
        "error.log",
        "error_log",
        "my.cnf",
        "web-inf/",
        "meta-inf/",
        "my.ini",
        "config/database.yml",
        "/.docker/",
        ".kube/config",
        "global.asa",
        "inetpub/",
        "sysprep",
        "ntuser.dat",
        "authorized_keys",
        "known_hosts",
        "pagefile.sys",
        "shadow~",
        "passwd-",
        "auth.log",
        "var/mail/",
        "cmd.exe",
        "/.npmrc",
        "/.netrc",
        "/.pgpass",
        "/.mysql_history",
        "/.viminfo",
        "etc/apache2/",
        "etc/nginx/",
        "etc/httpd/",
        "etc/init.d/",
        "etc/resolv.conf",
        "etc/fstab",
        "etc/cron.",
        "etc/php",
        ".bashrc",
        ".bash_profile",
        "run/secrets/",
        "secrets/kubernetes.io",
    ]
);

/// Whether a reading of a value is such a path.
pub(super) fn look(value: &Value<'_>, text: &str) -> Option<Confidence> {
    if !text.contains(['/', '\\', ':', '.']) {
        return None;
    }
    let path = text
        .replace('\\', "/")
        .replace("??/", "../")
        .replace(".?/", "../")
        .replace("?./", "../")
        .replace("..5c", "../");
    let path = if path.contains("..2f") { path.replace("2f", "/") } else { path };
    // `.%00./`, `/./`, `//`: nothing that leads elsewhere.
    let path = if path.contains(".\0") { path.replace(".\0", ".") } else { path };
    let path = squeezed(path);
    let target = sensitive(&path);
    let climbs = climbs(&path);
    let hidden = value.forced || value.written.contains('%') && climbs > 0;
    let worded = path.split_whitespace().count() > 3;
    if value.forced && (target || climbs > 0 || dots_only(&path)) {
        return Some(Certain);
    }
    if climbs > 0 && target {
        return Some(Certain);
    }
    let field = value.place == Place::Field;
    if climbs > 0 {
        let alone = !worded && !path.contains(['(', '<', '`']);
        let once = climbs == 1 && !value.forced && !value.written.contains("%2e") && !value.written.contains("%2E");
        let ordinary = is_source(&path) && (!hidden && climbs <= 4 || once);
        return match () {
            () if ordinary => None,
            () if hidden && !worded => Some(Certain),
            () if climbs >= 4 && alone => Some(Certain),
            () if !alone => (climbs >= 4 && field).then_some(Likely),
            () if field && !value.name.is_empty() && !value.spoken_in && alone && !is_source(&path) => Some(Likely),
            () if field && (climbs >= 2 || path.starts_with('/') || path.contains("/../")) => Some(Likely),
            () if alone
                && [".asp", ".php", ".aspx", ".jsp", ".inc", ".cgi", ".ini", ".conf", ".bak"]
                    .iter()
                    .any(|end| path.ends_with(end)) =>
            {
                Some(Likely)
            }
            () if bent(text) || text.contains("..\\") || path.starts_with("/..") || path.contains("{file}") => {
                Some(Likely)
            }
            () if climbs >= 2 && path.trim_end().ends_with("../") => (climbs >= 3).then_some(Likely),
            () if climbs >= 3 => Some(Likely),
            () => None,
        };
    }
    wrapper(value, &path).or_else(|| named(value, &path, target, worded)).or_else(|| left_over(value, &path))
}

/// A backup, a dump or a setting that a request asks for by its path.
fn left_over(value: &Value<'_>, path: &str) -> Option<Confidence> {
    const ENDS: [&str; 14] = [
        ".bak", ".old", ".orig", ".swp", ".swo", ".sql", ".inc", ".config", ".ini", ".mdb", ".cfg", ".backup", "~",
        ".dump",
    ];
    let asked = value.place == Place::Field && value.name == "target";
    let path = path.split('?').next().unwrap_or(path);
    (asked && ENDS.iter().any(|end| path.ends_with(end))).then_some(Likely)
}

/// Without empty and idle steps.
fn squeezed(mut path: String) -> String {
    if path.contains("://") {
        return path;
    }
    for (idle, plain) in [("/./", "/"), ("///", "/"), ("//", "/")] {
        if path.contains(idle) && !path.contains(&format!("..{idle}")) {
            path = path.replace(idle, plain);
        }
    }
    path
}

/// How many times a path goes up.
fn climbs(path: &str) -> usize {
    let usual = path.matches("../").count() + usize::from(path.ends_with("/.."));
    let bent =
        [".../", "..;/", "..\0", "..//", "./.\u{1}"].iter().map(|form| path.matches(form).count()).max().unwrap_or(0);
    // A percent sign behind dots, but for signs that end a sentence.
    let coded = path
        .match_indices("..%")
        .filter(|(at, form)| {
            let code = path.get(at + form.len()..).and_then(|rest| rest.get(..2)).unwrap_or_default();
            !matches!(code, "" | "20" | "21" | "22" | "27" | "29" | "2c" | "3a" | "3b" | "3f" | "0a" | "0d")
        })
        .count();
    usual.max(bent).max(coded)
}

/// Forms only made to pass a filter.
fn bent(text: &str) -> bool {
    ["....//", "..../", "....\\", "..\\/", "../\\", "..;/", "..//..", ".../...", "...\\", ".\\.", "..\\..", "/./.."]
        .iter()
        .any(|form| text.contains(form))
}

fn dots_only(path: &str) -> bool {
    path.contains('/')
        && path.contains('.')
        && path.bytes().filter(|byte| matches!(byte, b'.' | b'/')).count() * 3 >= path.len() * 2
}

/// Steps of letters, digits and usual signs only.
fn text_is_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b':' | b'~'))
}

/// Files of the system, of the web server and of accounts.
fn sensitive(path: &str) -> bool {
    SENSITIVE.any(path)
}

/// Ends like a file of a source tree.
fn is_source(path: &str) -> bool {
    const ENDS: &[&str] = &[
        ".rs", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".css", ".scss", ".py", ".png", ".jpg", ".jpeg", ".svg", ".md",
        ".html", ".vue", ".go", ".java", ".c", ".h", ".cpp", ".rb", ".csproj", ".toml", ".txt", ".csv", ".pdf", ".sh",
        ".gif",
    ];
    let end = path
        .trim_end_matches(['\'', '"', ';', ')', '`', '.', '?', ','])
        .split_whitespace()
        .next_back()
        .unwrap_or_default();
    ENDS.iter().any(|known| end.ends_with(known)) && !path.contains('\0')
        || ["/src", "/components", "/utils", "/lib", "/types", "/shared", "/packages", "/node_modules"]
            .iter()
            .any(|part| path.contains(part))
}

/// Addresses that read files or run code where a path was expected.
fn wrapper(value: &Value<'_>, path: &str) -> Option<Confidence> {
    const SURE: [&str; 14] = [
        "php://filter",
        "php://input",
        "expect://",
        "phar://",
        "zip://",
        "data://text",
        "ssh2.",
        "zlib:",
        "php://",
        "glob://",
        "compress.zlib://",
        "ogg://",
        "convert.base64",
        "convert.iconv",
    ];
    let written = SURE.iter().any(|scheme| path.contains(scheme));
    if written && path.split_whitespace().count() <= 2 {
        return Some(Certain);
    }
    let file = path.contains("file:///") || path.contains("file:/") && sensitive(path);
    (file && (value.place == Place::Field || sensitive(path)) && path.split_whitespace().count() <= 2).then_some(Likely)
}

/// At the end of a sentence that does not speak of files.
fn prose_like(value: &Value<'_>) -> bool {
    value.spoken() && (value.prose_words >= 3 || value.head.ends_with(": "))
}

/// A path without a climb that names a file of the system.
fn named(value: &Value<'_>, path: &str, target: bool, worded: bool) -> Option<Confidence> {
    if worded || path.contains(['<', '{', '(', ',', '|']) && !path.contains("{file}") {
        return None;
    }
    let path = path.trim_matches(['"', '\'', '`']).trim_end_matches('.');
    // The same below the root of a drive.
    let path = path
        .strip_prefix("c:")
        .filter(|rest| ["/etc/", "/proc/", "/var/log", "/root/", "/boot"].iter().any(|own| rest.starts_with(own)))
        .unwrap_or(path);
    let null = path.contains('\0');
    let begins = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    let system = begins(&[
        "/etc/",
        "/proc/",
        "/var/log/",
        "/var/www/",
        "/root/",
        "/usr/local/",
        "/opt/",
        "/boot/",
        "c:/",
        "/var/adm/",
        "/var/run/",
        "/var/mysql",
        "/apache",
        "/logs/",
        "/home/",
        "/var/lib/",
        "/private/etc/",
        "d:/",
        "/xampp/",
        "/usr/pkg/",
        "/lampp/",
        "c:windows",
        "etc/",
        "winnt",
        "windows/",
        "/var/cpanel",
        "/windows",
        "/winnt",
        "/web/",
        "/sys/",
        "/dev/",
        "/usr/lib/",
        "/usr/etc/",
        "/run/",
        "~/.",
    ]);
    match value.place {
        _ if null && (system || target) => Some(Certain),
        Place::Field if target && path.split_whitespace().count() <= 1 => Some(Certain),
        Place::Field
            if system
                && path.split_whitespace().count() <= 1
                && begins(&[
                    "/etc/",
                    "/proc/",
                    "/root/",
                    "/var/log/",
                    "c:/win",
                    "c:/boot",
                    "c:/xampp",
                    "/var/adm",
                    "/opt/",
                    "/var/run",
                    "/usr/local/",
                    "/boot/",
                    "/run/",
                    "/usr/etc/",
                    "etc/",
                    "d:/",
                    "c:/inetpub",
                    "c:/apache",
                    "/private/etc/",
                    "/sys/",
                ]) =>
        {
            Some(Likely)
        }
        Place::Whole if target && !path.contains(' ') && path.contains('/') && text_is_path(path) => Some(Likely),
        Place::Whole if target && !path.contains(' ') && (system || path.starts_with('/') || path.starts_with('.')) => {
            Some(Likely)
        }
        Place::Whole
            if system
                && !path.contains(' ')
                && begins(&[
                    "/etc/",
                    "/proc/",
                    "/var/log/",
                    "c:/win",
                    "c:/boot",
                    "c:windows",
                    "/root/",
                    "/var/adm",
                    "/var/run",
                    "/usr/local/",
                    "/opt/",
                    "/apache",
                    "/logs/",
                    "c:/apache",
                    "c:/program",
                    "/usr/pkg",
                    "/boot/",
                    "/usr/etc/",
                    "/run/secrets",
                    "etc/",
                    "/private/etc/",
                ]) =>
        {
            Some(Likely)
        }
        Place::Tail
            if target
                && value.spoken()
                && (path.starts_with('/') || path.starts_with(['~', '.']) && value.head.ends_with(": "))
                && !path.contains(' ') =>
        {
            Some(Likely)
        }
        Place::Tail
            if prose_like(value)
                && !path.contains(' ')
                && begins(&["/etc/", "/proc/", "/root/", "/var/log/", "c:/win", "c:/boot"]) =>
        {
            Some(Likely)
        }
        Place::Tail
            if target
                && system
                && !path.contains(' ')
                && begins(&["/etc/", "/proc/", "c:/", "/root/", "/var/log/"]) =>
        {
            Some(Likely)
        }
        _ => None,
    }
}
