//! Standing orders: finding one that is about a caller, giving and lifting one, among 100,000.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use divan::Bencher;
use portcullis::config::Orders;
use portcullis::types::{Caller, Measure, Order, Subject};

fn main() {
    divan::main();
}

fn order(number: u32) -> Order {
    let subject = match number % 4 {
        0 => Subject::Network { address: IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + number)), prefix: 32 },
        1 => Subject::Network { address: IpAddr::V4(Ipv4Addr::from(0xC000_0000 + (number << 8))), prefix: 24 },
        2 => Subject::User { name: format!("user-{number}").into() },
        _ => Subject::Key { name: format!("key_{number}").into() },
    };
    Order {
        id: format!("ord_{number}").into(),
        subject,
        measure: Measure::Block,
        reason: "".into(),
        made_by: "".into(),
        made: 0,
        expires: None,
    }
}

fn orders() -> Orders {
    Orders::new((0..100_000).map(order))
}

fn caller(address: u32) -> Caller {
    Caller {
        address: Some(IpAddr::V4(Ipv4Addr::from(address))),
        user: Some("somebody".into()),
        key: Some("key_x".into()),
        session: Some("hdr:x".into()),
        agent: Some("openai-python".into()),
        ..Caller::default()
    }
}

#[divan::bench]
fn blocked_address_found(bencher: Bencher<'_, '_>) {
    let (orders, caller) = (orders(), caller(0x0A00_0000 + 40_000));
    assert!(orders.against(&caller, 0).refuses.is_some());
    bencher.bench_local(|| orders.against(black_box(&caller), 0).refuses.is_some());
}

#[divan::bench]
fn nothing_found(bencher: Bencher<'_, '_>) {
    let (orders, caller) = (orders(), caller(0x0B00_0001));
    assert!(orders.against(&caller, 0).refuses.is_none());
    bencher.bench_local(|| orders.against(black_box(&caller), 0).refuses.is_some());
}

#[divan::bench]
fn one_given_and_published(bencher: Bencher<'_, '_>) {
    let orders = Arc::new(orders());
    let new = Arc::new(order(200_001));
    bencher.bench_local(|| {
        let mut copy = Orders::clone(&orders);
        copy.give(black_box(Arc::clone(&new)));
        Arc::new(copy)
    });
}
