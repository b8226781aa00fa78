//! Mail over SMTP. The server's address is judged like any other, and the connection goes to the one that was judged.

use std::time::Duration;

use lettre::address::{Address, Envelope};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Notice, NotifyError, clip};
use crate::control::http::{Reach, Unresolved, resolve};
use crate::types::Secret;
use crate::types::base64;

/// Bytes of a subject, and of a text.
const MOST_SUBJECT: usize = 300;
const MOST_TEXT: usize = 64 << 10;
/// Receivers of one channel.
const MOST_RECEIVERS: usize = 50;
/// Bytes of a word of a subject before they are encoded: the line it begins has at most 76 then (RFC 2047, 2).
const WORD: usize = 36;
/// Letters of a line of the text (RFC 2045, 6.8).
const LINE: usize = 76;

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte (port 465).
    Tls,
    /// TLS after `STARTTLS`, or nothing (port 587).
    StartTls,
    /// In clear: for a relay on the same machine. Takes no password.
    Clear,
}

/// How mail is sent.
#[derive(Debug, Clone)]
pub struct MailOptions {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: MailSecurity,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// Who writes.
    pub from: String,
    /// Who is written to.
    pub to: Vec<String>,
    /// Certificate authorities beside the platform's, as PEM.
    pub ca: Option<String>,
    /// How long sending may take.
    pub timeout: Duration,
    /// Which addresses the server may have.
    pub reach: Reach,
}

/// One mail channel.
#[derive(Debug)]
pub struct Mail {
    options: MailOptions,
    envelope: Envelope,
    tls: Tls,
}

impl Mail {
    /// A channel that writes to these receivers.
    ///
    /// # Errors
    /// Addresses that are none, too many of them, a password that would travel in clear, or authorities that cannot be used.
    pub fn new(options: MailOptions) -> Result<Self, &'static str> {
        let address = |text: &String| text.parse::<Address>().map_err(|_| "not a mail address");
        let to = options.to.iter().map(address).collect::<Result<Vec<_>, _>>()?;
        if to.len() > MOST_RECEIVERS {
            return Err("too many receivers");
        }
        let envelope = Envelope::new(Some(address(&options.from)?), to).map_err(|_| "there is nobody to write to")?;
        let tls = match options.security {
            MailSecurity::Clear if options.login.is_some() => return Err("a password must not travel in clear"),
            MailSecurity::Clear => Tls::None,
            MailSecurity::StartTls => Tls::Required(trust(&options)?),
            MailSecurity::Tls => Tls::Wrapper(trust(&options)?),
        };
        Ok(Self { options, envelope, tls })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), NotifyError> {
        let timeout = self.options.timeout;
        let sending = tokio::time::timeout(timeout, Box::pin(self.deliver(notice)));
        sending.await.map_err(|_| NotifyError::passing(format!("not taken within {timeout:?}")))?
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), NotifyError> {
        let MailOptions { host, port, login, timeout, reach, .. } = &self.options;
        let found = resolve(host, *port, reach).await.map_err(|error| match error {
            Unresolved::Lookup(_) => NotifyError::passing("the mail server's name cannot be looked up"),
            Unresolved::Forbidden => NotifyError::final_(error.to_string()),
        })?;
        let address = found.first().ok_or_else(|| NotifyError::passing("the mail server has no address"))?;
        let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(*port)
            .tls(self.tls.clone())
            .hello_name(ClientId::Domain(self.domain().to_owned()))
            .timeout(Some(*timeout));
        if let Some((name, password)) = login {
            server = server.credentials(Credentials::new(name.clone(), password.expose().to_owned()));
        }
        let (server, mail) = (server.build::<Tokio1Executor>(), message(&self.envelope, self.domain(), notice));
        let sent = server.send_raw(&self.envelope, mail.as_bytes());
        sent.await.map(drop).map_err(|error| {
            // What a server says may quote anything: only its number is told.
            let what = match error.status() {
                Some(code) => format!("the mail server said {code}"),
                None if error.is_tls() => "no TLS with the mail server".to_owned(),
                None => "no connection to the mail server, or it broke".to_owned(),
            };
            if error.is_permanent() || error.is_client() {
                NotifyError::final_(what)
            } else {
                NotifyError::passing(what)
            }
        })
    }

    fn domain(&self) -> &str {
        self.envelope.from().map_or("localhost", Address::domain)
    }
}

fn trust(options: &MailOptions) -> Result<TlsParameters, &'static str> {
    let mut tls = TlsParameters::builder(options.host.clone());
    if let Some(pem) = &options.ca {
        let authority =
            Certificate::from_pem(pem.as_bytes()).map_err(|_| "the certificate authorities cannot be used")?;
        tls = tls.add_root_certificate(authority);
    }
    tls.build_rustls().map_err(|_| "TLS cannot be used")
}

/// The mail, whose id comes from the notice's: a mail server that gets it twice can tell.
pub(super) fn message(envelope: &Envelope, domain: &str, notice: &Notice) -> String {
    let to: Vec<&str> = envelope.to().iter().map(AsRef::as_ref).collect();
    let from = envelope.from().map_or("", AsRef::as_ref);
    let zoned = jiff::Timestamp::from_microsecond(notice.time).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC);
    let date = jiff::fmt::rfc2822::to_string(&zoned).unwrap_or_default();
    let state = if notice.resolved { "resolved" } else { notice.level() };
    let subject = words(&clip(&format!("[{state}] {}", notice.title), MOST_SUBJECT));
    let letters = |text: &str| text.chars().filter(char::is_ascii_graphic).collect::<String>();
    let (id, about) = (letters(&notice.id), letters(notice.about()));
    let mut text = clip(&notice.text, MOST_TEXT);
    text.push_str(&format!(
        "\n\nSeverity: {}\nIncident: {}\n",
        notice.level(),
        notice.incident.as_deref().unwrap_or("none")
    ));
    if let Some(url) = &notice.url {
        text.push_str(&format!("Look here: {url}\n"));
    }
    let body = base64(text.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes());
    let lines: Vec<&str> = body.as_bytes().chunks(LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let head = [
        format!("From: {from}"),
        format!("To: {}", to.join(",\r\n ")),
        format!("Subject: {subject}"),
        format!("Date: {date}"),
        format!("Message-ID: <{id}@{domain}>"),
        // Mails about the same incident stand together.
        format!("References: <{about}@{domain}>"),
        "Auto-Submitted: auto-generated".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
    ];
    format!("{}\r\n\r\n{}\r\n", head.join("\r\n"), lines.join("\r\n"))
}

/// A text as encoded words (RFC 2047): nothing in it can end the line or begin a header.
fn words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at_checked(rest.floor_char_boundary(WORD)).unwrap_or((rest, ""));
        words.push(format!("=?utf-8?B?{}?=", base64(word.as_bytes())));
        rest = after;
    }
    words.join("\r\n ")
}
