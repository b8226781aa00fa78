//! Syslog over TCP and UDP: what is read is what was written, and a receiver that resets has nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::config::export_settings::SyslogProtocol;
use portcullis::control::export::sinks::syslog::SyslogOptions;
use portcullis::control::export::sinks::{Sink, Syslog};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, UdpSocket};

use crate::home::{Home, until};
use crate::site::settings;

fn sink(port: u16, protocol: SyslogProtocol) -> Sink {
    let options = SyslogOptions {
        host: "127.0.0.1".to_owned(),
        port,
        protocol,
        facility: 13,
        confirm: true,
        hostname: "gw 1\n".to_owned(),
        tls: portcullis::config::towards(None).unwrap(),
        timeout: Duration::from_secs(1),
    };
    Sink::Syslog(Syslog::new(options).unwrap())
}

/// The messages of octet-counted frames.
fn frames(mut text: &str) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((length, rest)) = text.split_once(' ') {
        let (message, after) = rest.split_at(length.parse().unwrap());
        found.push(message.to_owned());
        text = after;
    }
    assert_eq!(text, "");
    found
}

#[tokio::test]
async fn what_a_receiver_did_not_read_to_the_end_is_sent_again() {
    let home = Home::sqlite();
    let site = home.site().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let read: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&read);
    let server = tokio::spawn(async move {
        for number in 0.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            if number < 2 {
                // Goes with everything unread: the other side sees a reset.
                socket.readable().await.unwrap();
                continue;
            }
            let mut text = String::new();
            socket.read_to_string(&mut text).await.unwrap();
            kept.lock().unwrap().push(text);
        }
    });
    let running = site.run(settings("kind = \"syslog\"\naddress = \"x:1\""), sink(port, SyslogProtocol::Tcp));
    site.alert("alt_1|a=b\nCEF:0|x").await;
    site.alert("alt_2").await;
    site.until("they are there", |state| state.delivered == 2).await;
    let messages: Vec<String> = read.lock().unwrap().iter().flat_map(|text| frames(text)).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].starts_with("<107>1 2026-") || messages[0].starts_with("<107>1 20"), "{messages:?}");
    assert!(messages[0].contains(" gw1 portcullis - alert - CEF:0|Portcullis|Portcullis|"), "{messages:?}");
    assert!(messages[0].contains(r"|Prompt injection alt_1\|a=b CEF:0\|x|8|"), "{messages:?}");
    assert!(messages[0].contains(r"cs1=alt_1|a\=b\nCEF:0|x"), "{messages:?}");
    assert!(messages.iter().all(|message| message.lines().count() == 1));
    assert!(messages[1].contains("src=192.0.2.7") && messages[1].contains("suser=ann"), "{messages:?}");
    running.end().await;
    server.abort();
}

#[tokio::test]
async fn each_message_is_a_datagram() {
    let home = Home::sqlite();
    let site = home.site().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let read: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&read);
    let server = tokio::spawn(async move {
        let mut packet = [0_u8; 65_536];
        loop {
            let length = socket.recv(&mut packet).await.unwrap();
            kept.lock().unwrap().push(String::from_utf8(packet[..length].to_vec()).unwrap());
        }
    });
    let running = site.run(settings("kind = \"syslog\"\naddress = \"x:1\""), sink(port, SyslogProtocol::Udp));
    site.alerts(["alt_1", "alt_2"].map(str::to_owned).into_iter()).await;
    until("they are there", || read.lock().unwrap().len() == 2).await;
    assert!(read.lock().unwrap()[1].contains("externalId="));
    running.end().await;
    server.abort();
}
