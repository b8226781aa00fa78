//! Channels against receivers on this machine.

use std::collections::VecDeque;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use lettre::address::Envelope;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::control::http::{Options, Reach};
use crate::types::Secret;

/// What a receiver saw.
pub(crate) struct Seen {
    pub(crate) path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a receiver answers.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }
}

/// A server that gives these answers in turn, then 404; its address, and what it sees.
pub(crate) async fn receiver(answers: Vec<Answer>) -> (String, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let (sender, seen) = mpsc::unbounded_channel();
    let answer = move |request: Request<Incoming>| {
        let (answers, sender) = (Arc::clone(&answers), sender.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let path = parts.uri.path().to_owned();
            drop(sender.send(Seen { path, headers: parts.headers, body }));
            let answer = answers.lock().unwrap().pop_front().unwrap_or_else(|| Answer::new(404, ""));
            let mut response = Response::new(Full::new(Bytes::from(answer.body)));
            *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
            for (name, value) in answer.headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    };
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer.clone()));
            tokio::spawn(serving);
        }
    });
    (url, seen)
}

fn http(reach: Reach) -> Http {
    let second = Duration::from_secs(5);
    let options = Options { connect: second, total: second, max_answer: 1024, kept: 0, reach };
    Http::new(crate::config::towards(None).unwrap(), options)
}

fn notice() -> Notice {
    Notice {
        id: Arc::from("ntc_1"),
        title: "Repeated injection by <!channel> & others".to_owned(),
        severity: Severity::High,
        text: "Five prompts in two minutes.".to_owned(),
        incident: Some(Arc::from("inc_1")),
        url: Some("https://gateway.example/incidents/inc_1".to_owned()),
        resolved: false,
        time: 1_795_000_000_000_000,
    }
}

/// The example of the Standard Webhooks specification.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook(url: &str, secrets: &[&str]) -> Channel {
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    Channel::Webhook(Webhook::new(http(Reach::Anywhere), url, &secrets).unwrap())
}

#[test]
fn the_signature_of_the_specifications_example_is_made() {
    let key = webhook::key(&Secret::new(SECRET)).unwrap();
    let signed = webhook::signatures(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn a_webhook_is_signed_by_every_secret_and_receivers_can_verify_it() {
    let (url, mut seen) = receiver(vec![Answer::new(204, ""), Answer::new(200, &"long".repeat(1000))]).await;
    let other = format!("whsec_{}", crate::types::base64(&[7; 32]));
    let channel = webhook(&format!("{url}/hook"), &[SECRET, &other]);
    channel.send(&notice()).await.unwrap();
    let first = seen.recv().await.unwrap();
    assert_eq!((first.path.as_str(), first.header("webhook-id")), ("/hook", "ntc_1"));
    assert_eq!(first.header("content-type"), "application/json");
    // Verified as a receiver does it, with each secret alone.
    let seconds = first.header("webhook-timestamp").parse().unwrap();
    let signatures: Vec<&str> = first.header("webhook-signature").split(' ').collect();
    for (secret, signature) in [SECRET, &other].into_iter().zip(&signatures) {
        let key = webhook::key(&Secret::new(secret)).unwrap();
        assert_eq!(*signature, webhook::signatures(&[key], "ntc_1", seconds, &first.body));
    }
    assert_eq!(signatures.len(), 2);
    assert_eq!(
        first.json(),
        json!({
            "type": "incident.raised",
            "timestamp": "2026-11-18T11:06:40Z",
            "data": {
                "id": "ntc_1",
                "incident": "inc_1",
                "title": "Repeated injection by <!channel> & others",
                "severity": "high",
                "text": "Five prompts in two minutes.",
                "url": "https://gateway.example/incidents/inc_1",
            },
        })
    );
    // Again: the same id and the same bytes. That the answer is too long does not matter, it was taken.
    channel.send(&notice()).await.unwrap();
    let second = seen.recv().await.unwrap();
    assert_eq!((second.header("webhook-id"), &second.body), ("ntc_1", &first.body));
}

#[test]
fn secrets_that_are_none_are_refused() {
    for secrets in [&[][..], &["whsec_c2hvcnQ="], &["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], &[SECRET; 5]] {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        assert!(Webhook::new(http(Reach::Anywhere), "https://a.example/", &secrets).is_err());
    }
}

#[tokio::test]
async fn what_may_pass_is_told_from_what_is_final_and_nothing_names_the_address() {
    for (status, retryable) in [(301, false), (400, false), (403, false), (404, false), (410, false)]
        .into_iter()
        .chain([408, 425, 429, 500, 502, 503, 504].map(|status| (status, true)))
    {
        let (url, _seen) = receiver(vec![Answer::new(status, "a secret page")]).await;
        let error = webhook(&format!("{url}/T000/secret"), &[SECRET]).send(&notice()).await.unwrap_err();
        assert_eq!((error.retryable, error.after), (retryable, None), "{status}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let wait = Answer { headers: vec![("retry-after", "17")], ..Answer::new(429, "") };
    let (url, _seen) = receiver(vec![wait]).await;
    let error = webhook(&url, &[SECRET]).send(&notice()).await.unwrap_err();
    assert_eq!(error.after, Some(Duration::from_secs(17)));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = webhook(&format!("http://{gone}/secret"), &[SECRET]).send(&notice()).await.unwrap_err();
    assert!(error.retryable && !format!("{error:?}").contains("127.0.0.1"), "{error:?}");
}

#[tokio::test]
async fn a_webhook_does_not_reach_inside_unless_its_channel_may() {
    let (url, mut seen) = receiver(vec![Answer::new(200, "")]).await;
    let to = |and: &[&str]| {
        let and = and.iter().map(|net| net.parse().unwrap()).collect();
        let secret = Secret::new(SECRET);
        Channel::Webhook(Webhook::new(http(Reach::Public { and }), &url, &[secret]).unwrap())
    };
    let error = to(&[]).send(&notice()).await.unwrap_err();
    assert_eq!((error.retryable, error.result), (false, NoticeResult::Refused));
    assert!(seen.try_recv().is_err(), "nothing was sent");
    to(&["127.0.0.0/8"]).send(&notice()).await.unwrap();
    assert!(seen.recv().await.is_some());
}

#[tokio::test]
async fn slack_gets_blocks_in_which_nothing_of_a_notice_is_markup() {
    let (url, mut seen) = receiver(vec![Answer::new(200, "ok")]).await;
    let slack = Slack::new(http(Reach::Anywhere), Secret::new(format!("{url}/services/T/B/x"))).unwrap();
    Channel::Slack(slack).send(&notice()).await.unwrap();
    let seen = seen.recv().await.unwrap();
    assert_eq!(seen.path, "/services/T/B/x");
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    assert_eq!(
        seen.json(),
        json!({
            "text": "\u{1f534} [high] Repeated injection by &lt;!channel&gt; &amp; others",
            "blocks": [
                { "type": "header", "text": plain("\u{1f534} [high] Repeated injection by <!channel> & others") },
                { "type": "section", "text": plain("Five prompts in two minutes.") },
                { "type": "context", "elements": [plain("incident inc_1 \u{b7} notice ntc_1")] },
                { "type": "actions", "elements": [
                    { "type": "button", "text": plain("Open"), "url": "https://gateway.example/incidents/inc_1" },
                ] },
            ],
        })
    );
    let long = Notice { title: "é".repeat(500), text: "é".repeat(5000), url: None, resolved: true, ..notice() };
    let body = slack::body(&long);
    let letters = |at: &str| body.pointer(at).unwrap().as_str().unwrap().chars().count();
    assert!(letters("/blocks/0/text/text") <= 150 && letters("/blocks/1/text/text") <= 3000);
    assert!(
        body["text"].as_str().unwrap().starts_with("\u{2705} [resolved]")
            && body["blocks"].as_array().unwrap().len() == 3
    );
}

#[tokio::test]
async fn pagerduty_opens_and_resolves_by_the_incidents_id() {
    let (url, mut seen) = receiver(vec![Answer::new(202, "{}"), Answer::new(202, "{}")]).await;
    let url = format!("{url}/v2/enqueue");
    let channel =
        Channel::PagerDuty(PagerDuty::new(http(Reach::Anywhere), Secret::new("routing"), Some(&url)).unwrap());
    channel.send(&notice()).await.unwrap();
    assert_eq!(
        seen.recv().await.unwrap().json(),
        json!({
            "routing_key": "routing",
            "event_action": "trigger",
            "dedup_key": "inc_1",
            "payload": {
                "summary": "Repeated injection by <!channel> & others",
                "source": "portcullis",
                "severity": "error",
                "timestamp": "2026-11-18T11:06:40Z",
                "custom_details": { "text": "Five prompts in two minutes.", "notice": "ntc_1" },
            },
            "client": "Portcullis",
            "client_url": "https://gateway.example/incidents/inc_1",
        })
    );
    channel.send(&Notice { id: Arc::from("ntc_2"), resolved: true, ..notice() }).await.unwrap();
    let resolved = json!({ "routing_key": "routing", "event_action": "resolve", "dedup_key": "inc_1" });
    assert_eq!(seen.recv().await.unwrap().json(), resolved);
    assert!(!format!("{channel:?}").contains("routing\""), "the key is not printed");
}

fn metrics_with(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
}

#[tokio::test]
async fn a_channel_that_fails_is_left_alone_and_the_others_are_not() {
    let (bad, mut asked) = receiver((0..9).map(|_| Answer::new(503, "")).collect()).await;
    let (good, _seen) = receiver(vec![Answer::new(400, ""), Answer::new(200, "")]).await;
    let metrics = Metrics::new("portcullis").unwrap();
    let limits = Limits { failures: 2, pause: Duration::from_secs(3600) };
    let named = [(Arc::from("bad"), webhook(&bad, &[SECRET])), (Arc::from("good"), webhook(&good, &[SECRET]))];
    let channels = Channels::new(named, limits, metrics.clone());
    assert_eq!(channels.names().map(|name| &**name).collect::<Vec<_>>(), ["bad", "good"]);
    for result in [NoticeResult::Failed, NoticeResult::Failed, NoticeResult::BreakerOpen] {
        let error = channels.send("bad", &notice()).await.unwrap_err();
        assert_eq!((error.result, error.retryable), (result, true));
        assert_eq!(error.after.is_some(), result == NoticeResult::BreakerOpen);
    }
    assert!(asked.recv().await.is_some() && asked.recv().await.is_some() && asked.try_recv().is_err(), "asked twice");
    // What is refused is no failure of the channel.
    assert_eq!(channels.send("good", &notice()).await.unwrap_err().result, NoticeResult::Refused);
    channels.send("good", &notice()).await.unwrap();
    assert!(!channels.send("nobody", &notice()).await.unwrap_err().retryable);
    let text = metrics.render().unwrap();
    metrics_with(&text, "portcullis_soc_notices_total{channel=\"bad\",result=\"failed\"} 2");
    metrics_with(&text, "portcullis_soc_notices_total{channel=\"bad\",result=\"breaker_open\"} 1");
    metrics_with(&text, "portcullis_soc_notices_total{channel=\"good\",result=\"sent\"} 1");
    metrics_with(&text, "portcullis_soc_notices_total{channel=\"good\",result=\"refused\"} 1");
    metrics_with(&text, "portcullis_soc_breaker_state{channel=\"bad\"} 2");
    metrics_with(&text, "portcullis_soc_breaker_state{channel=\"good\"} 0");
}

/// A mail server that takes one mail and answers a receiver's address with this; where it listens, and what it was told.
async fn mail_server(answer: &'static str) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        socket.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        let (mut line, mut in_data) = (String::new(), false);
        while socket.read_line(&mut line).await.unwrap_or(0) > 0 {
            let answer = match line.get(..4).unwrap_or("") {
                _ if in_data && line != ".\r\n" => "",
                "EHLO" => "250 mail.example\r\n",
                "RCPT" => answer,
                "DATA" => {
                    in_data = true;
                    "354 go on\r\n"
                }
                "QUIT" => "221 bye\r\n",
                _ => {
                    in_data = false;
                    "250 ok\r\n"
                }
            };
            drop(sender.send(std::mem::take(&mut line)));
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, told)
}

fn mail_options(port: u16) -> MailOptions {
    MailOptions {
        host: "localhost".to_owned(),
        port,
        security: MailSecurity::Clear,
        login: None,
        from: "gateway@portcullis.example".to_owned(),
        to: vec!["soc@site.example".to_owned(), "night@site.example".to_owned()],
        ca: None,
        timeout: Duration::from_secs(5),
        reach: Reach::Anywhere,
    }
}

#[test]
fn a_mail_is_what_its_golden_form_says_and_no_title_can_write_a_header() {
    let to = vec!["soc@site.example".parse().unwrap(), "night@site.example".parse().unwrap()];
    let envelope = Envelope::new(Some("gateway@portcullis.example".parse().unwrap()), to).unwrap();
    let hostile = Notice { title: "Bonjour é\r\nBcc: thief@example.com".to_owned(), ..notice() };
    let mail = mail::message(&envelope, "portcullis.example", &hostile);
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head.replace("\r\n", "\n"),
        "From: gateway@portcullis.example\nTo: soc@site.example,\n night@site.example\n\
         Subject: =?utf-8?B?W2hpZ2hdIEJvbmpvdXIgw6kNCkJjYzogdGhpZWZAZXhhbXBs?=\n =?utf-8?B?ZS5jb20=?=\n\
         Date: Wed, 18 Nov 2026 11:06:40 +0000\nMessage-ID: <ntc_1@portcullis.example>\n\
         References: <inc_1@portcullis.example>\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64"
    );
    assert!(body.lines().all(|line| line.len() <= 76), "{body}");
    let text = crate::types::unbase64(&body.replace("\r\n", "")).unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "Five prompts in two minutes.\r\n\r\nSeverity: high\r\nIncident: inc_1\r\n\
         Look here: https://gateway.example/incidents/inc_1\r\n"
    );
    let long = mail::message(&envelope, "portcullis.example", &Notice { title: "é".repeat(400), ..notice() });
    assert!(long.lines().all(|line| line.len() <= 76), "{long}");
}

#[tokio::test]
async fn mail_reaches_every_receiver_and_refusals_are_told_apart() {
    let (port, mut told) = mail_server("250 ok\r\n").await;
    Channel::Mail(Mail::new(mail_options(port)).unwrap()).send(&notice()).await.unwrap();
    let mut all = String::new();
    while let Some(line) = told.recv().await {
        all.push_str(&line);
    }
    for part in [
        "EHLO portcullis.example\r\n",
        "MAIL FROM:<gateway@portcullis.example>",
        "RCPT TO:<soc@site.example>",
        "RCPT TO:<night@site.example>",
        "Message-ID: <ntc_1@portcullis.example>\r\n",
        "\r\n.\r\n",
    ] {
        assert!(all.contains(part), "{part} is missing from\n{all}");
    }
    for (answer, retryable) in [("550 nobody here secret\r\n", false), ("451 later secret\r\n", true)] {
        let (port, _told) = mail_server(answer).await;
        let error = Channel::Mail(Mail::new(mail_options(port)).unwrap()).send(&notice()).await.unwrap_err();
        assert_eq!(error.retryable, retryable, "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let inside = MailOptions { reach: Reach::Public { and: Arc::from([]) }, ..mail_options(port) };
    let error = Channel::Mail(Mail::new(inside).unwrap()).send(&notice()).await.unwrap_err();
    assert_eq!((error.retryable, error.result), (false, NoticeResult::Refused));
}

#[test]
fn mail_settings_that_cannot_work_are_refused() {
    let login = Some(("gateway".to_owned(), Secret::new("password")));
    for options in [
        MailOptions { login: login.clone(), ..mail_options(25) },
        MailOptions { to: Vec::new(), ..mail_options(25) },
        MailOptions { to: vec!["a@b.example\r\nBcc: c@d.example".to_owned()], ..mail_options(25) },
        MailOptions { from: "nobody".to_owned(), ..mail_options(25) },
        MailOptions {
            security: MailSecurity::Tls,
            ca: Some("-----BEGIN CERTIFICATE-----\nno\n".to_owned()),
            ..mail_options(25)
        },
    ] {
        assert!(Mail::new(options).is_err());
    }
    assert!(Mail::new(MailOptions { security: MailSecurity::StartTls, login, ..mail_options(587) }).is_ok());
}
